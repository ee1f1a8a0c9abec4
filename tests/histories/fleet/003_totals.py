from sqlalchemy import text

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Add to each total what the order's number says: twice would double it"""

    async def upgrade(self):
        async with self.engine.connect() as connection:
            await connection.execute(text("UPDATE orders SET total = coalesce(total, 0) + id"))
            await connection.execute(text("INSERT INTO audit VALUES ('003_totals')"))
            await connection.commit()
