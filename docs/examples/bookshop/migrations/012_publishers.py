"""Migration 012: Publishers."""

import sqlalchemy as sa
from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Publishers."""

    async def upgrade(self) -> None:
        await self.op.create_table(
            "publishers",
            sa.Column("id", sa.Integer(), sa.Identity()),
            sa.Column("name", sa.Text(), nullable=False),
            sa.Column("website", sa.Text()),
            sa.PrimaryKeyConstraint("id", name="pk_publishers"),
            sa.UniqueConstraint("name", name="uq_publishers_name"),
        )
        await self.op.add_column("books", sa.Column("publisher_id", sa.Integer()))
        await self.op.create_foreign_key(
            "fk_books_publisher_id", "books", "publishers", ["publisher_id"], ["id"], not_valid=True
        )

    async def downgrade(self) -> None:
        await self.op.drop_constraint("fk_books_publisher_id", "books")
        await self.op.drop_column("books", "publisher_id")
        await self.op.drop_table("publishers")
