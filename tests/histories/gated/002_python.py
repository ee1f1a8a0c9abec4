from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Sleep for as long as the gate says, in the middle of the work"""

    async def upgrade(self):
        await self.execute("INSERT INTO audit VALUES ('002_python')")
        await self.execute("SELECT pg_sleep(seconds) FROM gate")
        await self.execute("ALTER TABLE orders ADD COLUMN total integer")
