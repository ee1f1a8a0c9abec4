from async_migrations import BaseMigration


class Migration(BaseMigration):
    """An index by way of op"""

    transactional = False

    async def upgrade(self):
        await self.op.create_index("ix_orders_total", "orders", ["total"])
