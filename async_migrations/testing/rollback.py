"""A connection and a session of which nothing stays: all that a test commits is inside a transaction of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession


@asynccontextmanager
async def rolled_back(engine: AsyncEngine) -> AsyncIterator[tuple[AsyncConnection, AsyncSession]]:
    """Open a connection, and a session on it, whose commits end a savepoint only.

    The transaction around them is asyncpg's own: SQLAlchemy does not know of it, so that neither `commit()` nor
    `rollback()` nor AUTOCOMMIT of a test can end it.

    Args:
        engine: on which database; one that keeps no connection may be used in several event loops.
    """
    from sqlalchemy.ext.asyncio import AsyncSession

    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        outer = driver.transaction()
        await outer.start()
        session = AsyncSession(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        try:
            yield connection, session
        finally:
            with anyio.CancelScope(shield=True):
                await session.close()
                await connection.rollback()
                if not driver.is_closed():
                    await outer.rollback()
