from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Keep a record of every effect: no constraint hides one that came twice"""

    async def upgrade(self):
        await self.execute("CREATE TABLE audit (migration text, written_at timestamptz DEFAULT clock_timestamp())")
        await self.execute("INSERT INTO audit VALUES (:name)", {"name": self.name})
        return {"tables_created": 1}
