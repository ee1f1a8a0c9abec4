from async_migrations import BaseMigration


class Migration(BaseMigration):
    """An index that is built and dropped concurrently, with a step beside it"""

    transactional = False

    async def upgrade(self):
        await self.op.create_index("ix_orders_customer", "orders", ["customer"])

    async def downgrade(self):
        await self.op.drop_index("ix_orders_customer", "orders")
        await self.step("audit", self.note)

    async def note(self):
        await self.execute("INSERT INTO audit VALUES ('003_index')")
