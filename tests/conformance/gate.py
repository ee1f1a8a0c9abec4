"""A history that stops where a test wants it to, until the test lets it go on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner
from tests.conformance.aftermath import watching
from tests.support.waiting import eventually

DIRECTORY = Path(__file__).parents[1] / "histories" / "gated"
INDEXES = ["ix_orders_customer", "ix_orders_total"]
RUNNING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND state = 'active' AND backend_type = 'client backend' AND query LIKE '%' || $1 || '%' "
    "AND wait_event_type IN ('Timeout', 'Lock')"
)
ALIVE = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
TRUNCATE = "TRUNCATE gate"


@dataclass(frozen=True, slots=True)
class Stop:
    """A place in the history of `DIRECTORY` where a replica can be held.

    Attributes:
        migration: The migration.
        number: Its number.
        statement: What runs on the server meanwhile, a part of it.

    """

    migration: str
    number: int
    statement: str

    @property
    def is_build(self) -> bool:
        """Whether it is a concurrent index, which waits for older transactions."""
        return self.number in {4, 5}


STOPS = [
    Stop("002_python", 2, "pg_sleep"),
    Stop("003_message", 3, "pg_sleep"),
    Stop("004_statements", 4, "INDEX CONCURRENTLY"),
    Stop("005_operation", 5, "INDEX CONCURRENTLY"),
]


class Gate:
    """The gate before one stop, shut."""

    def __init__(self, stop: Stop, witness: asyncpg.Connection, blocker: asyncpg.Connection) -> None:
        self._stop = stop
        self._witness = witness
        self._blocker = blocker

    async def reached(self) -> int:
        """Wait until a replica stands at the gate; return the pid of its backend."""

        async def stands() -> int | None:
            pid: int | None = await self._witness.fetchval(RUNNING, self._stop.statement)
            return pid

        return await eventually(stands, deadline=20) or 0

    async def open(self) -> None:
        """Let whoever comes pass; a statement that sleeps already sleeps on."""
        if self._stop.is_build:
            await self._blocker.execute("ROLLBACK")
        else:
            await self._witness.execute(TRUNCATE)


@asynccontextmanager
async def shut(
    stop: Stop, url: str, witness: asyncpg.Connection, engine: AsyncEngine, *, seconds: int = 60
) -> AsyncIterator[Gate]:
    """Migrate a database up to a stop, and shut the gate there.

    Args:
        stop: Where.
        url: The database.
        witness: A connection of `watching` to it.
        engine: An engine on it.
        seconds: How long a statement at the gate sleeps; a build waits until the gate is opened.

    """
    await MigrationRunner(engine, directory=DIRECTORY, observers=[]).run_migrations(stop.number - 1)
    async with watching(url) as blocker:
        if stop.is_build:
            await blocker.execute("BEGIN; UPDATE orders SET customer = customer")
        else:
            await witness.execute("INSERT INTO gate VALUES ($1)", seconds)
        yield Gate(stop, witness, blocker)


async def ended(witness: asyncpg.Connection, pid: int, *, deadline: float) -> None:
    """Wait until a backend has ended."""

    async def is_gone() -> bool:
        return not await witness.fetchval(ALIVE, pid)

    await eventually(is_gone, deadline=deadline)
