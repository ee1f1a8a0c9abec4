"""Number the notes, a few at a time, and say how far that is."""

from async_migrations import BaseMigration

BATCH = 1000


class Migration(BaseMigration):
    """Give each note a number of its own."""

    async def upgrade(self) -> None:
        await self.execute("ALTER TABLE notes ADD COLUMN number integer")
        total = (await self.execute("SELECT max(id) FROM notes")).scalar_one() or 0
        for first in range(0, total, BATCH):
            await self.execute(
                "UPDATE notes SET number = id * 10 WHERE id BETWEEN :first AND :last",
                {"first": first, "last": first + BATCH},
            )
            self.progress(min(first + BATCH, total), total)

    async def downgrade(self) -> None:
        await self.execute("ALTER TABLE notes DROP COLUMN number")
