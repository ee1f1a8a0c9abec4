"""Migration 018: Returns: rows looked at beside running writes."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Returns: rows looked at beside running writes."""

    transactional = False

    async def upgrade(self) -> None:
        await self.op.validate_constraint("ck_orders_refund_has_its_time", "orders")

    async def downgrade(self) -> None:
        # What was looked at stays looked at.
        return
