"""Create users"""

from async_migrations import BaseMigration
from no_such_service.models import User


class Migration(BaseMigration):
    async def upgrade(self) -> None:
        await self.run_sync(User.__table__.create)
