import os

import anyio

from async_migrations import BaseMigration

BATCH = 5_000
PAUSE = float(os.environ.get("PAUSE", "0.5"))


class Migration(BaseMigration):
    """Fill in the totals, slowly enough to watch."""

    async def upgrade(self) -> None:
        highest = (await self.execute("SELECT max(id) FROM orders")).scalar_one()
        for first in range(1, highest + 1, BATCH):
            self.progress(first - 1, highest)
            await self.execute(
                "UPDATE orders SET total_cents = quantity * price_cents WHERE id BETWEEN :first AND :last",
                {"first": first, "last": first + BATCH - 1},
            )
            await anyio.sleep(PAUSE)
        self.progress(highest, highest)
