"""A whole history applied to an empty database, in this process."""

import asyncio
import tempfile
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from async_migrations.testing.server import Server
from tests.benchmarks import histories
from tests.benchmarks.place import Place, Scale, Timed, compare, engine_on, migrate, say, seconds
from tests.benchmarks.table import MILLISECOND, Row, skipped, timed

WRITERS = {"`.sql` files": histories.sql_files, "Python files": histories.python_files}
BARE = "the asyncpg messages"
KIB, MIB = 2**10, 2**20
FLAT = 1.1
"""What may grow with a history: what was read from its files."""
SAFE = {"fsync": "on", "full_page_writes": "on", "wal_level": "replica"}
"""What a durable server has; to make one takes an initdb, which is not what is measured."""


async def send_messages(place: Place, database: str, count: int) -> None:
    """Do the least: one connection, one message a migration, nothing read, nothing checked, no lock."""
    connection = await place.connect(database)
    try:
        await connection.execute(histories.CREATE_LEDGER)
        for number in range(1, count + 1):
            await connection.execute(histories.message(number))
    finally:
        await connection.close()


async def send_statements(place: Place, database: str, count: int) -> None:
    """Do the least that awaits each statement, as a Python migration does: its row, each statement, COMMIT."""
    connection = await place.connect(database)
    try:
        await connection.execute(histories.CREATE_LEDGER)
        for number in range(1, count + 1):
            await connection.execute(f"BEGIN; {histories.record(number)}")
            for statement in histories.statements(number):
                await connection.execute(statement)
            await connection.execute("COMMIT")
    finally:
        await connection.close()


async def use_sqlalchemy(url: str, count: int) -> None:
    """Do the least that sends the same statements through SQLAlchemy: a transaction a migration, and its row."""
    async with engine_on(url) as engine, engine.connect() as connection:
        await connection.exec_driver_sql(histories.CREATE_LEDGER)
        await connection.commit()
        for number in range(1, count + 1):
            async with connection.begin():
                for statement in (*histories.statements(number), histories.record(number)):
                    await connection.exec_driver_sql(statement)


async def run_alembic(url: str, folder: Path) -> None:
    """Upgrade with Alembic as its own asyncio template does, one transaction a migration."""
    config: Any = import_module("alembic.config").Config(attributes={"url": url})
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    # Its env.py runs an event loop of its own.
    await asyncio.to_thread(import_module("alembic.command").upgrade, config, "head")


def on_empty(place: Place, work: Callable[[str], Awaitable[object]]) -> Timed:
    """Return a measurement of `work` on an empty database, whose making is not measured."""

    async def measure() -> float:
        async with place.database() as database:
            return await seconds(lambda: work(database))

    return measure


def ours(place: Place, write: Callable[[Path, int], None], count: int) -> Timed:
    """Return a measurement of our own run."""
    folder = place.folder(write, count)
    return on_empty(place, lambda database: migrate(place.server.url(database), folder))


def messages(place: Place, count: int) -> Timed:
    """Return a measurement of the bare script."""
    return on_empty(place, lambda database: send_messages(place, database, count))


async def against_bare(place: Place, note: str = "") -> list[Row]:
    """Compare with an asyncpg script."""
    count, repetitions = place.scale.migrations, place.scale.pairs()
    found = []
    for kind, write in WRITERS.items():
        say(f"applying {kind}{note}")
        medians, ratio = await compare(repetitions, ours(place, write, count), messages(place, count))
        what = f"{count:,} migrations of two statements as {kind}{note}: against one asyncpg message each"
        found.append(timed(what, medians, ratio, 1.5))
    return found


async def against_statements(place: Place) -> list[Row]:
    """Compare Python files with an asyncpg script that awaits each statement, and that one with single messages."""
    say("statements")
    count, repetitions = place.scale.migrations, place.scale.pairs()
    bare = on_empty(place, lambda database: send_statements(place, database, count))
    what = f"{count:,} migrations as Python files: against asyncpg, one message each for BEGIN, statements, COMMIT"
    ours_row = timed(what, *await compare(repetitions, ours(place, histories.python_files, count), bare))
    floor = timed(
        "those asyncpg messages themselves: against one message each",
        *await compare(repetitions, bare, messages(place, count)),
    )
    return [ours_row, floor]


async def against_sqlalchemy(place: Place) -> list[Row]:
    """Compare Python files with the same statements over a bare SQLAlchemy connection."""
    say("SQLAlchemy")
    count = place.scale.migrations
    bare = on_empty(place, lambda database: use_sqlalchemy(place.server.url(database), count))
    medians, ratio = await compare(place.scale.pairs(), ours(place, histories.python_files, count), bare)
    return [timed(f"{count:,} migrations as Python files: against a bare SQLAlchemy script", medians, ratio)]


async def against_alembic(place: Place) -> list[Row]:
    """Compare with Alembic on the same statements."""
    what = f"{place.scale.migrations:,} migrations as %s: against Alembic"
    if find_spec("alembic") is None:
        return [skipped(what % "both", "Alembic is not installed")]
    count, repetitions = place.scale.migrations, place.scale.pairs()
    folder = place.folder(histories.alembic_files, count)
    alembic = on_empty(place, lambda database: run_alembic(place.server.url(database), folder))
    # Importing Alembic, and writing its bytecode, is not on the bill.
    await alembic()
    found = []
    for kind, write in WRITERS.items():
        say(f"Alembic, {kind}")
        medians, ratio = await compare(repetitions, ours(place, write, count), alembic)
        found.append(timed(what % kind, medians, ratio, 0.5))
    return found


async def growth(place: Place) -> list[Row]:
    """Compare the time a migration of a long history with that of a short one, ours and the bare script's."""
    say("growth")
    works: dict[str, Callable[[int], Timed]] = {kind: partial(ours, place, write) for kind, write in WRITERS.items()}
    works[BARE] = partial(messages, place)
    return [await _grown(place.scale, kind, work) for kind, work in works.items()]


async def _grown(scale: Scale, kind: str, work: Callable[[int], Timed]) -> Row:
    few, many = scale.few, scale.migrations
    (long, short), ratio = await compare(scale.pairs(), work(many), work(few))
    shown = f"{long / many / MILLISECOND:.2f} ms", f"{short / few / MILLISECOND:.2f} ms"
    return Row(f"Time a migration of {many:,}, against of {few:,}: {kind}", *shown, f"{ratio * few / many:.2f}")


async def memory(place: Place) -> list[Row]:
    """Compare the peak of memory over a long and a short history: a process's, and what Python allocated in it."""
    say("memory")
    few, many = place.scale.few, place.scale.migrations
    found = []
    for kind, write in WRITERS.items():
        folders = [place.folder(write, count) for count in (many, few)]
        await _peak(place, folders[-1])  # what is imported at the first run is not on the bill
        what = f"at {many:,} migrations, against at {few:,}: {kind}"
        long, short = [await _footprint(place, folder) for folder in folders]
        shown = f"{long / MIB:.1f} MiB", f"{short / MIB:.1f} MiB"
        found.append(
            Row(f"Memory of a process {what}", *shown, f"{long / short:.2f}", f"≤ {FLAT:g}", long / short <= FLAT)
        )
        long, short = [await _peak(place, folder) for folder in folders]
        each = (long - short) / (many - few) / KIB
        shown = f"{long / KIB:,.0f} KiB", f"{short / KIB:,.0f} KiB"
        found.append(Row(f"What a run allocates in it {what}", *shown, f"{each:+.1f} KiB each"))
    return found


async def _footprint(place: Place, folder: Path) -> int:
    async with place.database() as database:
        command = *place.interpreter, "-m", "tests.benchmarks.footprint", place.server.url(database), str(folder)
        program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await program.communicate()
    assert program.returncode == 0
    return int(said)


async def _peak(place: Place, folder: Path) -> int:
    async with place.database() as database:
        tracemalloc.start()
        try:
            await migrate(place.server.url(database), folder)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


async def durable(place: Place) -> list[Row]:
    """Compare once more where a commit waits for the disk."""
    # Not in memory, where fsync costs nothing.
    with tempfile.TemporaryDirectory() as directory, _safe_server(place, directory) as server:
        return await against_bare(Place(server, place.scale, place.directory), ", fsync on")


def _safe_server(place: Place, directory: str) -> Server:
    return Server(directory, version=place.server.version, durable=False, settings=SAFE)
