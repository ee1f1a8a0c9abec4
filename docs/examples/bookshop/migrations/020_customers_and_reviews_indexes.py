"""Migration 020: Customers and reviews: built beside running writes."""

import sqlalchemy as sa
from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Customers and reviews: built beside running writes."""

    transactional = False

    async def upgrade(self) -> None:
        await self.op.create_index("ix_reviews_latest", "reviews", [sa.text("written_at DESC")])

    async def downgrade(self) -> None:
        await self.op.drop_index("ix_reviews_latest", "reviews")
