"""How often a run waits for the server. Counts, not times: these hold on any machine."""

import sys
from pathlib import Path

import pytest

from async_migrations.testing.server import Server
from tests.benchmarks import histories, round_trips
from tests.benchmarks.place import Place, Scale, migrate
from tests.support.proxy import WireProxy

EXPLOSIVE = '''"""A file that must not be imported again."""

import os

from async_migrations import BaseMigration

if "MUST_NOT_BE_IMPORTED" in os.environ:
    raise RuntimeError("imported")


class Migration(BaseMigration):
    """Create a table."""

    async def upgrade(self) -> None:
        await self.execute("CREATE TABLE t (id integer)")
'''


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Place:
    return Place(server, Scale(), tmp_path)


async def test_nothing_to_do_costs_two_round_trips_at_most(server: Server, database_url: str, place: Place) -> None:
    folder = place.folder(histories.python_files, 3)
    async with WireProxy("127.0.0.1", server.port) as proxy:
        ours, bare = await round_trips.of_nothing_to_do(round_trips.Counter(proxy, database_url), folder)
    assert ours - bare <= 2


async def test_nothing_to_do_takes_no_lock(server: Server, database_url: str, place: Place) -> None:
    folder = place.folder(histories.python_files, 3)
    await migrate(database_url, folder)
    async with WireProxy("127.0.0.1", server.port) as proxy:
        counter = round_trips.Counter(proxy, database_url)
        await counter.round_trips(lambda: migrate(counter.url, folder))
        said = counter.said()
    assert histories.LEDGER in said
    assert "advisory" not in said
    assert "LOCK" not in said.upper()


async def test_nothing_to_do_imports_no_migration(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "001_explosive.py").write_text(EXPLOSIVE, "utf-8")
    assert (await migrate(database_url, tmp_path)).applied == ("001_explosive",)
    imported = [name for name in sys.modules if "001_explosive" in name]
    for name in imported:
        del sys.modules[name]
    monkeypatch.setenv("MUST_NOT_BE_IMPORTED", "1")
    assert (await migrate(database_url, tmp_path)).applied == ()
    assert imported
    assert not [name for name in sys.modules if "001_explosive" in name]


async def test_a_python_migration_costs_two_round_trips_beside_its_statements(place: Place) -> None:
    ours = await round_trips.each(place, lambda url, n: migrate(url, place.folder(histories.python_files, n)))
    assert ours <= 2 + await round_trips.each(place, round_trips.run_statements)


async def test_a_sql_file_costs_two_round_trips_at_most(place: Place) -> None:
    assert await round_trips.each(place, lambda url, n: migrate(url, place.folder(histories.sql_files, n))) <= 2
