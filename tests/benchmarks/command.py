"""What an init container runs: a whole process of `async-migrations wait` that finds nothing to wait for."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks import histories
from tests.benchmarks.place import Place, Timed, compare, migrate, say, seconds
from tests.benchmarks.table import Row, timed

BARE = f"""
import asyncio
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.fetch("SELECT * FROM {histories.LEDGER}")
    await connection.close()


asyncio.run(main())
"""
TIMES = 6
"""As many pairs as one repetition of the others: a process is over soon, and its time varies."""


def process(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> Timed:
    """Return a measurement of a Python process from its start to its end."""

    async def run() -> None:
        program = await asyncio.create_subprocess_exec(
            *command, cwd=directory, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        assert await program.wait() == 0

    return lambda: seconds(run)


async def rows(place: Place) -> list[Row]:
    """Compare it with a process that connects with asyncpg and SELECTs the ledger."""
    say("wait, as a process")
    few = 50
    folder = place.folder(histories.sql_files, few)
    script = place.directory / "bare.py"
    script.write_text(BARE, "utf-8")
    async with place.database() as database:
        await migrate(place.server.url(database), folder)
        environment = {
            "DATABASE_URL": place.server.url(database, driver=""),
            "ASYNC_MIGRATIONS_DIRECTORY": str(folder),
        }
        ours = process([*place.interpreter, "-m", "async_migrations", "wait"], place.directory, environment)
        bare = process([*place.interpreter, str(script)], place.directory, environment)
        await compare(1, ours, bare)  # the bytecode is written and the files are in memory
        found = await compare(place.scale.pairs(TIMES), ours, bare)
    what = f"`async-migrations wait`, {few} applied migrations: a process, against asyncpg's connect and `SELECT *`"
    return [timed(what, *found, bound=1.3)]
