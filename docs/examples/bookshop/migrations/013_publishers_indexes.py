"""Migration 013: Publishers: built beside running writes."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Publishers: built beside running writes."""

    transactional = False

    async def upgrade(self) -> None:
        await self.op.create_index("ix_books_publisher_id", "books", ["publisher_id"])

    async def downgrade(self) -> None:
        await self.op.drop_index("ix_books_publisher_id", "books")
