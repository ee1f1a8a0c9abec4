"""Where a benchmark runs: a server, fresh databases on it, folders of migrations, and the clock."""

import gc
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner, Report
from async_migrations.testing.admin import create_statement, drop_statement
from async_migrations.testing.server import Server

Timed = Callable[[], Awaitable[float]]
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done.

    Attributes:
        migrations: The long history.
        few: The short one, to see what grows.
        waiters: Replicas that wait.
        repetitions: How often each side is measured, in turns; 0 to see that it works: once, whatever it takes.
        tables: Those of a schema that is compared.
        tests: Those of a suite, in each of its files.
    """

    migrations: int = 1000
    few: int = 200
    waiters: int = 50
    repetitions: int = 5
    tables: int = 1000
    tests: int = 40

    def pairs(self, times: int = 1) -> int:
        """Return how often both sides are measured where an answer takes `times` as many."""
        return self.repetitions * times or 1


@dataclass(frozen=True, slots=True)
class Place:
    """A running server, a directory for files, and what starts a process of Python."""

    server: Server
    scale: Scale
    directory: Path
    interpreter: tuple[str, ...] = (sys.executable,)

    def folder(self, write: Callable[[Path, int], None], number: int) -> Path:
        """Return a folder with `number` migrations, written once."""
        folder = self.directory / f"{write.__name__}_{number}"
        if not folder.exists():
            folder.mkdir()
            write(folder, number)
        return folder

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Yield the name of an empty database that is dropped afterwards."""
        name = f"benchmark_{os.getpid()}_{next(_numbers)}"
        await self._administer(create_statement(name, {"strategy": "file_copy"}))
        try:
            yield name
        finally:
            await self._administer(drop_statement(name))

    async def connect(self, database: str) -> asyncpg.Connection:
        """Open a bare connection."""
        return await asyncpg.connect(self.server.url(database, driver=""))

    async def _administer(self, statement: str) -> None:
        connection = await self.connect("postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine as a replica makes it when it starts: nothing is pooled, nothing is known of the server."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        yield engine
    finally:
        await engine.dispose()


async def migrate(url: str, folder: Path) -> Report:
    """Do what a replica does when it starts."""
    async with engine_on(url) as engine:
        return await MigrationRunner(engine, directory=folder).run_migrations()


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """Return how long `work` took; what was garbage before is not on its bill."""
    gc.collect()
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def compare(repetitions: int, ours: Timed, bare: Timed) -> tuple[tuple[float, float], float]:
    """Measure two works in turns, first one first, then the other.

    Args:
        repetitions: How many pairs.
        ours: Returns its own time in seconds.
        bare: As `ours`.

    Returns:
        Both medians in seconds, and the median of the pairs' ratios: a machine that is slow for a while is
        slow for both halves of a pair.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(repetitions):
        if number % 2:
            other = await bare()
            pairs.append((await ours(), other))
        else:
            pairs.append((await ours(), await bare()))
    medians = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    return medians, statistics.median(a / b for a, b in pairs)


def say(text: str) -> None:
    """Tell whoever waits what is measured now, beside the table."""
    print(text, file=sys.stderr, flush=True)
