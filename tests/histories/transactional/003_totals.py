from sqlalchemy import text

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Add to each total: twice would show"""

    async def upgrade(self):
        async with self.engine.connect() as connection:
            await connection.execute(text("UPDATE orders SET total = total + id"))
            await connection.execute(text("INSERT INTO audit VALUES ('003_totals')"))
            await connection.commit()
