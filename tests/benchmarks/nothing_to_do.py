"""The start of most replicas: everything is applied already."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from tests.benchmarks import histories
from tests.benchmarks.place import Place, compare, engine_on, migrate, say, seconds
from tests.benchmarks.table import Row, timed


def contents(folder: Path) -> Iterator[bytes]:
    """Read all files of a folder, one after the other."""
    return (path.read_bytes() for path in folder.iterdir())


async def bare(url: str, folder: Path) -> None:
    """Connect, SELECT the ledger's rows, and read all the files."""
    async with engine_on(url) as engine, engine.connect() as connection:
        (await connection.execute(text(f"SELECT * FROM {histories.LEDGER}"))).fetchall()
    for content in contents(folder):
        len(content)


async def least(url: str, folder: Path) -> None:
    """Connect, SELECT what must be known of each row, read all the files and hash them."""
    async with engine_on(url) as engine, engine.connect() as connection:
        select = f"SELECT migration_name, raw_checksum FROM {histories.LEDGER}"
        (await connection.execute(text(select))).fetchall()
    for content in contents(folder):
        hashlib.sha256(content).hexdigest()


async def rows(place: Place) -> list[Row]:
    """Compare a start that finds nothing to do with both bare scripts."""
    say("nothing to do")
    scale = place.scale
    folder = place.folder(histories.python_files, scale.migrations)
    what = f"{scale.migrations:,} applied migrations, nothing to do"
    async with place.database() as database:
        url = place.server.url(database)
        await migrate(url, folder)
        found = [
            await compare(
                scale.pairs(3),
                lambda: seconds(lambda: migrate(url, folder)),
                lambda work=work: seconds(lambda: work(url, folder)),  # type: ignore[misc]
            )
            for work in (bare, least)
        ]
    return [
        timed(f"{what}: against connect, `SELECT *`, read the files", *found[0], bound=1.5),
        timed("the same: against connect, SELECT name and checksum, read and hash the files", *found[1]),
    ]
