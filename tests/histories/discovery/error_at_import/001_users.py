import sys

from async_migrations import BaseMigration

if len(sys.argv) < 1000:
    sys.exit("usage: 001_users.py ...")


class Migration(BaseMigration):
    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE users (id integer PRIMARY KEY)")
