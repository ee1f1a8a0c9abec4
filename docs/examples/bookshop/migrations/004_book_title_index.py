from sqlalchemy import text

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Find books by title, whatever its capitals, while the shop stays open"""

    # PostgreSQL builds an index beside running writes only outside a transaction.
    transactional = False

    async def upgrade(self) -> dict[str, int]:
        created = await self.op.create_index("ix_books_title_lower", "books", [text("lower(title)")])
        return {"indexes_created": created}

    async def downgrade(self) -> None:
        await self.op.drop_index("ix_books_title_lower", "books")
