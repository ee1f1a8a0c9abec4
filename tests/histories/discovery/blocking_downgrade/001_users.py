from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Create users"""

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE users (id integer PRIMARY KEY)")

    def downgrade(self) -> None:
        self.execute("DROP TABLE users")
