from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Add to each total: twice would show"""

    async def upgrade(self):
        await self.execute("UPDATE orders SET total = total + id")
        await self.execute("INSERT INTO audit VALUES ('003_totals')")
