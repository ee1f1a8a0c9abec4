"""Migration 015: Returns: labels that the next file uses."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Returns: labels that the next file uses."""

    async def upgrade(self) -> None:
        await self.op.add_enum_value("order_status", "returned")

    async def downgrade(self) -> None:
        await self.op.set_enum_values("order_status", ["placed", "paid", "shipped", "cancelled", "refunded"])
