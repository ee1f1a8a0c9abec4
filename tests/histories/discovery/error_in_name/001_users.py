from async_migrations import BaseMigration


class Migration(BaseMigration):
    @property
    def description(self) -> str:
        return f"for {self.base.metadata.tables}"

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE users (id integer PRIMARY KEY)")
