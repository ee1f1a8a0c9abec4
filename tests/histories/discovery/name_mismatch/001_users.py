from async_migrations import BaseMigration


class Migration(BaseMigration):
    @property
    def name(self) -> str:
        return "001_accounts"

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE users (id integer PRIMARY KEY)")
