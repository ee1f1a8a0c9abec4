"""A connection and a session of which nothing stays: all that a test commits is inside a transaction of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from async_migrations.errors import MigrationsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession


class TransactionEndedError(MigrationsError):
    """A test has ended the transaction that was around it."""

    def __init__(self) -> None:
        super().__init__(
            "The test has ended the transaction around it with SQL of its own, COMMIT or ROLLBACK, so what it wrote "
            "stays in its database; the next test gets another one. Call commit() or rollback() of the session or "
            "connection, or ask for migrated_engine, whose database is the test's own."
        )


@asynccontextmanager
async def rolled_back(
    engine: AsyncEngine, spoiled: Callable[[], object]
) -> AsyncIterator[tuple[AsyncConnection, AsyncSession]]:
    """Open a connection, and a session on it, whose commits end a savepoint only.

    The transaction around them is asyncpg's own: SQLAlchemy does not know of it, so that neither `commit()` nor
    `rollback()` nor AUTOCOMMIT of a test can end it.

    Args:
        engine: on which database; one that keeps no connection may be used in several event loops.
        spoiled: is called when the database is not as it was.

    Raises:
        TransactionEndedError: at the end; the test has sent a COMMIT or ROLLBACK that SQLAlchemy knows nothing of.
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
                ended = not driver.is_closed() and not driver.is_in_transaction()
                if ended:
                    spoiled()
                    # Its savepoints are gone, too, so there is nothing that could be rolled back.
                    await connection.invalidate()
                await session.close()
                await connection.rollback()
                if ended:
                    raise TransactionEndedError
                if not driver.is_closed():
                    await outer.rollback()
