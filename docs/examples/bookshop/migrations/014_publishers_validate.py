"""Migration 014: Publishers: rows looked at beside running writes."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Publishers: rows looked at beside running writes."""

    transactional = False

    async def upgrade(self) -> None:
        await self.op.validate_constraint("fk_books_publisher_id", "books")

    async def downgrade(self) -> None:
        # What was looked at stays looked at.
        return
