from async_migrations import BaseMigration


class Migration(BaseMigration):
    name = 1

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE users (id integer PRIMARY KEY)")
