"""Where sessions come from: a service's own engine, or the bare driver."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

from async_migrations.errors import ConfigurationError, DatabaseUnavailableError
from async_migrations.retry import (
    REFUSED,
    PoolExhaustedError,
    describe,
    hopeless,
    is_exhausted,
    is_unavailable,
    sqlstate,
)
from async_migrations.session import Session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_migrations.events import Emit

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two tries to connect: the first, and no more than."""

FIRST_TRY = 5.0
"""Seconds that the first try to connect may take, each next one twice as many.

Who accepts and stays silent must not use up the deadline with one try; and a server that is only slow gets its time:
the longest try has at least a third of the deadline, up to the 60 s after which the driver ends one by itself.
"""

SHORTEST_TRY = 1.0
"""Seconds that a try may take however little is left: a deadline of 0 asks for one look, and a look needs a session."""


@dataclass(frozen=True, slots=True)
class EngineConnector:
    """Opens sessions over SQLAlchemy.

    Args:
        engine: the service's own `AsyncEngine`, on asyncpg.

    Raises:
        ConfigurationError: it is another kind of engine.
    """

    engine: AsyncEngine

    def __post_init__(self) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        if not isinstance(self.engine, AsyncEngine):
            given = type(self.engine).__name__
        elif self.engine.dialect.name != "postgresql" or self.engine.dialect.driver != "asyncpg":
            given = f"one for {self.engine.dialect.name}+{self.engine.dialect.driver}"
        else:
            return
        raise ConfigurationError(
            f"MigrationRunner needs an AsyncEngine for PostgreSQL over asyncpg, and was given {given}. Use "
            'create_async_engine("postgresql+asyncpg://…").'
        )

    @property
    def where(self) -> str:
        """The database without its credentials: host, port and name."""
        url = self.engine.url
        return where(url.host or str(url.query.get("host", "")), url.port, url.database)

    @property
    def is_exhausted(self) -> bool:
        """Whether all connections that the pool may have are in use."""
        from sqlalchemy.pool import QueuePool

        pool = self.engine.sync_engine.pool
        if not isinstance(pool, QueuePool):
            return False
        most: int = pool._max_overflow  # noqa: SLF001 - it has no public name; -1 is no limit
        return 0 <= most <= pool.overflow() and pool.checkedin() == 0

    async def open(self) -> Session:
        """Try once to open a session."""
        connection = await self.engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            raw = await connection.get_raw_connection()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await connection.close()
            raise
        return Session(raw.driver_connection, connection)

    def twin(self) -> EngineConnector:
        """Return one with a pool of its own: of the same kind, with the same way to connect and the same listeners."""
        from sqlalchemy import Engine
        from sqlalchemy.ext.asyncio import AsyncEngine

        pool = self.engine.sync_engine.pool.recreate()
        return EngineConnector(AsyncEngine(Engine(pool, self.engine.sync_engine.dialect, self.engine.url)))


@dataclass(frozen=True, slots=True)
class DriverConnector:
    """Opens sessions over asyncpg alone: enough to look at the ledger, without SQLAlchemy's import.

    Args:
        where: the database without its credentials.
        arguments: those of `asyncpg.connect`; may hold a password.
    """

    where: str
    arguments: Mapping[str, Any] = field(repr=False)
    is_exhausted: ClassVar[bool] = False

    async def open(self) -> Session:
        """Try once to open a session."""
        import asyncpg

        return Session(await asyncpg.connect(**self.arguments))

    def twin(self) -> DriverConnector:
        """Return itself: there is no pool to keep out of."""
        return self


Connector = EngineConnector | DriverConnector
"""Opens sessions on one database."""

Opening = Callable[[], Awaitable[Session]]
"""Opens one session."""


@asynccontextmanager
async def connect(
    connector: Connector, emit: Emit, *, deadline: float, named: str = "connect_deadline", again: bool = False
) -> AsyncIterator[Session]:
    """Open a session, waiting for a database that is not there yet.

    Args:
        connector: opens it.
        emit: is told of each failed try.
        deadline: seconds to wait at most.
        named: what the deadline is called where it can be raised.
        again: whether a session was lost before; the server has to answer then, for one more round trip.

    Raises:
        DatabaseUnavailableError: refused, or not there by the deadline.
    """
    # A pooler lets clients in whose server is away, and says so at their first query only.
    session = await _open(_answering(connector.open) if again else connector.open, connector, emit, deadline, named)
    try:
        yield session
    except BaseException as error:
        if not isinstance(error, Exception):
            # Cancelled in the middle, nobody knows yet what the server made of the last word: a BEGIN, a LISTEN.
            session.hold()
        raise
    finally:
        await session.close()


@asynccontextmanager
async def spare(connector: Connector, emit: Emit, *, deadline: float, pooled: bool) -> AsyncIterator[Session]:
    """Open one more session beside the working one; a pool of one connection has no room for it.

    Args:
        connector: the run's own; its pool is left alone.
        emit: is told of each failed try.
        deadline: seconds to wait at most.
        pooled: whether a pooler stands between.

    Raises:
        DatabaseUnavailableError: refused, or not there by the deadline.
    """
    async with connect(connector.twin(), emit, deadline=deadline) as session:
        session.hold()
        if not pooled:
            await session.settle()
        yield session


def where(host: str, port: int | None, database: str | None) -> str:
    """Name a database for people.

    Args:
        host: its host, or the directory of its socket; empty for the driver's choice.
        port: its port; None for the usual one.
        database: its name; None for the user's own.
    """
    return f"{host or 'the local socket'}:{port or 5432}/{database or ''}"


async def _open(opening: Opening, connector: Connector, emit: Emit, deadline: float, named: str) -> Session:
    from async_migrations.events import DatabaseAwaited

    started, pause, limit = anyio.current_time(), FIRST_PAUSE, FIRST_TRY
    while True:
        left = max(deadline - (anyio.current_time() - started), SHORTEST_TRY)
        try:
            return await _try(opening, connector, min(limit, left))
        except Exception as error:
            waited = anyio.current_time() - started
            if not (is_unavailable(error) or is_exhausted(error)) or waited + pause > deadline:
                raise _unavailable(connector, error, waited, named) from None
            emit(DatabaseAwaited(connector.where, describe(error), waited, deadline))
        await anyio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        pause, limit = min(2 * pause, LONGEST_PAUSE), 2 * limit


async def _try(opening: Opening, connector: Connector, limit: float) -> Session:
    exhausted = connector.is_exhausted  # asked before this try takes a place itself
    try:
        with anyio.fail_after(limit):
            return await opening()
    except TimeoutError as error:
        if exhausted:
            raise PoolExhaustedError from error
        raise


def _answering(opening: Opening) -> Opening:
    async def opened() -> Session:
        session = await opening()
        try:
            await session.send("SELECT 1")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await session.close()
            raise
        return session

    return opened


def _unavailable(connector: Connector, error: Exception, waited: float, named: str) -> DatabaseUnavailableError:
    code = sqlstate(error)
    if code is None and (found := hopeless(error)):
        return DatabaseUnavailableError(connector.where, *found)
    if is_exhausted(error):
        advice = (
            f"Waited {waited:.0f} s. Migrate before the service opens sessions, give the engine a larger pool "
            f"(pool_size, max_overflow), or raise {named}."
        )
        return DatabaseUnavailableError(connector.where, describe(error), advice)
    if is_unavailable(error):
        advice = f"Waited {waited:.0f} s. See that the server runs and can be reached from here, or raise {named}."
        return DatabaseUnavailableError(connector.where, describe(error), advice)
    reason = REFUSED.get(code or "", describe(error))
    detail = f"{reason} ({describe(error)}, SQLSTATE {code})" if code else reason
    return DatabaseUnavailableError(
        connector.where, detail, "Waiting would not help: correct the database URL or the role's rights."
    )
