"""Migration 019: Customers and reviews."""

import sqlalchemy as sa
from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Customers and reviews."""

    async def upgrade(self) -> None:
        await self.op.rename_column("customers", "name", "full_name")
        await self.op.add_column(
            "customers", sa.Column("newsletter", sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )

    async def downgrade(self) -> None:
        await self.op.drop_column("customers", "newsletter")
        await self.op.rename_column("customers", "full_name", "name")
