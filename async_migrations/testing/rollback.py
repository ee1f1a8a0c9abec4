"""A connection and a session of which nothing stays: all that a test commits is inside a transaction of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from async_migrations.testing.template import engine_on

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


@asynccontextmanager
async def rolled_back(url: str) -> AsyncIterator[tuple[AsyncConnection, AsyncSession]]:
    """Open a connection, and a session on it, whose commits end a savepoint only.

    The transaction around them is asyncpg's own: SQLAlchemy does not know of it, so that neither `commit()` nor
    `rollback()` nor AUTOCOMMIT of a test can end it.

    Args:
        url: of which database.
    """
    from sqlalchemy.ext.asyncio import AsyncSession

    async with engine_on(url) as engine, engine.connect() as connection:
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
