from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Double each total; the way back halves it, and twice would quarter it"""

    async def upgrade(self):
        await self.execute("UPDATE orders SET total = total * 2")

    async def downgrade(self):
        await self.execute("UPDATE orders SET total = total / 2")
        await self.execute("INSERT INTO audit SELECT '002_totals' FROM orders WHERE id = 50 AND total = 50")
