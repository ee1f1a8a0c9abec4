"""Fifty replicas wait for one that migrates: how soon are they ready after its commit?"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import Event, MigrationRunner
from async_migrations.events import LockAwaited, LockTaken
from tests.benchmarks import histories
from tests.benchmarks.place import Place, compare, say
from tests.benchmarks.table import Row, timed

PENDING = 5
CHANNEL = "benchmark"
GATED = '''"""Wait until everybody waits."""

from async_migrations import BaseMigration
from tests.benchmarks.waiting import gate


class Migration(BaseMigration):
    """Wait until everybody waits."""

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE last_table (id integer)")
        await gate.pass_through()
'''


class Gate:
    """Where the leader stands, at the end of its last migration, until everybody waits for it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.passed_at = 0.0

    def close(self) -> None:
        """Stop whoever comes next."""
        self.open = asyncio.Event()

    async def pass_through(self) -> None:
        """Wait until it is open; the commit comes next."""
        await self.open.wait()
        self.passed_at = time.perf_counter()


gate = Gate()


def gated_files(folder: Path, count: int) -> None:
    """Write `count` migrations whose last one stops at the gate."""
    histories.sql_files(folder, count - 1)
    (folder / f"{histories.name(count)}.py").write_text(GATED, "utf-8")


@asynccontextmanager
async def pooled_engine_on(url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine as a service makes it, which goes on with the connection that waited."""
    engine = create_async_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()


async def replica(engine: AsyncEngine, folder: Path, event: type[Event], seen: asyncio.Event) -> float:
    """Run one replica; return when it was ready.

    Args:
        engine: Its own, which it goes on to use.
        folder: The migrations.
        event: What is waited for.
        seen: Is set when it has happened.
    """

    def observe(happened: Event) -> None:
        if isinstance(happened, event):
            seen.set()

    await MigrationRunner(engine, directory=folder, observers=[observe]).run_migrations()
    return time.perf_counter()


async def ours(place: Place) -> float:
    """Return the seconds from the leader's COMMIT until the last of the waiters is ready."""
    folder = place.folder(gated_files, PENDING)
    async with place.database() as database, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        url = place.server.url(database)
        engines = [await stack.enter_async_context(pooled_engine_on(url)) for _ in range(place.scale.waiters + 1)]
        gate.close()
        leading = asyncio.Event()
        tasks.create_task(replica(engines.pop(), folder, LockTaken, leading))
        await leading.wait()
        waiting = [asyncio.Event() for _ in engines]
        waiters = [
            tasks.create_task(replica(engine, folder, LockAwaited, each))
            for engine, each in zip(engines, waiting, strict=True)
        ]
        for each in waiting:
            await each.wait()
        gate.open.set()
        return max([await waiter for waiter in waiters]) - gate.passed_at


async def bare(place: Place) -> float:
    """Return the seconds from a COMMIT with a NOTIFY until the last of the listeners has read the ledger."""
    async with place.database() as database, AsyncExitStack() as stack:
        leader = await _connected(place, database, stack)
        await leader.execute(histories.CREATE_LEDGER)
        for number in range(1, PENDING):
            await leader.execute(histories.record(number))
        heard = [asyncio.Event() for _ in range(place.scale.waiters)]
        listeners = []
        for each in heard:
            connection = await _connected(place, database, stack)
            await connection.add_listener(CHANNEL, lambda *_, each=each: each.set())
            listeners.append(asyncio.create_task(_read_when(each, connection)))
        started = time.perf_counter()
        await leader.execute(f"BEGIN; {histories.record(PENDING)}; NOTIFY {CHANNEL}; COMMIT")
        return max(await asyncio.gather(*listeners)) - started


async def _connected(place: Place, database: str, stack: AsyncExitStack) -> Any:
    connection: asyncpg.Connection = await place.connect(database)
    stack.push_async_callback(connection.close)
    return connection


async def _read_when(heard: asyncio.Event, connection: Any) -> float:
    await heard.wait()
    await connection.fetch(f"SELECT * FROM {histories.LEDGER}")
    return time.perf_counter()


async def rows(place: Place) -> list[Row]:
    """Compare our waiters with bare listeners."""
    say("waiting")
    medians, ratio = await compare(place.scale.pairs(3), lambda: ours(place), lambda: bare(place))
    what = f"{place.scale.waiters} waiting replicas, from the leader's commit until the last is ready"
    return [timed(f"{what}: against LISTEN and one SELECT", medians, ratio, 1.5)]
