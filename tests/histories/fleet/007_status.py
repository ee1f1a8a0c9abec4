from async_migrations import BaseMigration


class Migration(BaseMigration):
    """A status for every order, and the statements that give it one"""

    async def upgrade(self):
        await self.execute("CREATE TYPE order_status AS ENUM ('open', 'closed')")
        await self.execute("ALTER TABLE orders ADD COLUMN status order_status NOT NULL DEFAULT 'open'")
        await self.execute("UPDATE orders SET status = 'closed' WHERE id % 2 = 0")
        await self.execute("INSERT INTO audit VALUES ('007_status')")
        return {"columns_added": 1}
