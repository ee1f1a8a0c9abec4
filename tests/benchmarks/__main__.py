"""Run the benchmarks and print their table: `python -m tests.benchmarks`."""

import argparse
import asyncio
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from async_migrations.testing.server import temporary_server
from tests.benchmarks import applying, command, comparing, exactness, gate, nothing_to_do, round_trips, suite, waiting
from tests.benchmarks.place import Place, Scale
from tests.benchmarks.table import Row, markdown

BENCHMARKS = {
    "round-trips": round_trips.rows,
    "nothing-to-do": nothing_to_do.rows,
    "bare": applying.against_bare,
    "statements": applying.against_statements,
    "sqlalchemy": applying.against_sqlalchemy,
    "alembic": applying.against_alembic,
    "growth": applying.growth,
    "memory": applying.memory,
    "durable": applying.durable,
    "waiting": waiting.rows,
    "wait": command.rows,
    "gate": gate.rows,
    "suite": suite.rows,
    "comparing": comparing.rows,
    "exactness": exactness.rows,
}
SETTINGS = {"autovacuum": "off"}


async def measure(place: Place, names: list[str]) -> list[Row]:
    """Run the benchmarks of these names, one after the other."""
    return [row for name in names for row in await BENCHMARKS[name](place)]


def about() -> str:
    """Say what the numbers were taken on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "asyncpg"))
    return f"Python {platform.python_version()}, {packages}, PostgreSQL 18 with fsync off, {os.cpu_count()} cores."


def main() -> None:
    """Measure what was asked for and print the table."""
    whole = Scale()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--migrations", type=int, default=whole.migrations)
    parser.add_argument("--few", type=int, default=whole.few)
    parser.add_argument("--waiters", type=int, default=whole.waiters)
    parser.add_argument("--repetitions", type=int, default=whole.repetitions)
    parser.add_argument("--tables", type=int, default=whole.tables)
    asked = parser.parse_args()
    scale = Scale(asked.migrations, asked.few, asked.waiters, asked.repetitions, asked.tables)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory, temporary_server(settings=SETTINGS) as server:
        place = Place(server, scale, Path(directory))
        rows = asyncio.run(measure(place, asked.names or list(BENCHMARKS)))
    print(about(), markdown(rows), sep="\n\n")


if __name__ == "__main__":
    main()
