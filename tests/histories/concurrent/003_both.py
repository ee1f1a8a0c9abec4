from async_migrations import BaseMigration


class Migration(BaseMigration):
    """An index by way of op, and a step beside it"""

    transactional = False

    async def upgrade(self):
        await self.op.create_index("ix_orders_both", "orders", ["customer", "total"])
        await self.step("audit", self.note)

    async def note(self):
        await self.execute("INSERT INTO audit VALUES ('003_both')")
