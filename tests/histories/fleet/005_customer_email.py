from async_migrations import BaseMigration


class Migration(BaseMigration):
    """One more of them, unique, by way of op, and a step beside it"""

    transactional = False

    async def upgrade(self):
        await self.op.create_index("ix_customers_email", "customers", ["email"], unique=True)
        await self.step("audit", self.note)
        return {"indexes_created": 1}

    async def note(self):
        await self.execute("INSERT INTO audit VALUES ('005_customer_email')")
