from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Keep a record of every effect: no constraint hides one that came twice"""

    async def upgrade(self):
        await self.execute("CREATE TABLE audit (migration text); INSERT INTO audit VALUES ('001_audit')")
        return {"tables_created": 1}
