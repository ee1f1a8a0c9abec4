"""One look at a ledger: most waits end with it, so it needs neither SQLAlchemy nor anyio's event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from async_migrations import discovery
from async_migrations.connector import Connector
from async_migrations.ledger import Ledger, digest_of

DEADLINE = 1.0
"""Seconds for the look; who does not see anything in this time has to wait properly."""


async def shows_current(connector: Connector, directory: Path, ledger: Ledger, *, deadline: float) -> bool:
    """Tell whether the ledger holds exactly the folder's files; False if that cannot be seen at once.

    Args:
        connector: opens the session, once.
        directory: the folder of migrations.
        ledger: which one.
        deadline: seconds, though never more than `DEADLINE`.

    Raises:
        DiscoveryError: the folder is not in order.
    """
    files = discovery.discover(directory).files
    if not files:
        return False
    try:
        async with asyncio.timeout(min(deadline, DEADLINE)):
            session = await connector.open()
            try:
                return await ledger.matches(session, digest_of(files))
            finally:
                # Not by the session's own way, which shields it with anyio.
                await session.driver.close()
    except Exception:
        return False  # whatever it is, the wait that follows meets it again, and knows what to say
