"""The way of every case through generated migrations: the catalog is that of the models, and what was kept is kept."""

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.schema_cases import Case
from tests.schema_cases.changed import CASES
from tests.schema_cases.hindered import CASES as HINDERED
from tests.schema_cases.moved import every
from tests.schema_cases.rare import CASES as RARE
from tests.support.generated import comparable, values, walk, walk_back


@pytest.fixture(scope="module")
def shared_name(databases: Databases) -> Iterator[str]:
    name = databases.take().result()
    yield name
    databases.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_name: str, server: Server) -> AsyncIterator[AsyncEngine]:
    """Return an engine on a database that all cases of a module use one after the other."""
    # Connections are kept: one that knows the catalog already answers in half the time.
    engine = create_async_engine(server.url(shared_name), connect_args={"prepared_statement_cache_size": 0})
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for all that is written, which the formatter has nothing to add to."""
    folder = tmp_path_factory.mktemp("collected")
    yield folder
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--isolated",
        "--line-length",
        "120",
        "--check",
        "--diff",
        str(folder),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


ALL = [*CASES, *every(), *HINDERED, *RARE]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", ALL, ids=str)
async def test_generated_migrations_lead_there_and_back(
    case: Case, shared: AsyncEngine, tmp_path: Path, postgres_version: int, collected: Path
) -> None:
    way = await walk(case, shared, tmp_path, postgres_version)
    for path in way.paths:
        shutil.copy(path, collected / f"{case}_{path.name}")
    assert not way.second, f"{way.second}\n{way.text}"
    live = comparable(way.second.live, partitions=False)
    assert live == comparable(way.second.wanted, partitions=False), way.text
    if case.kept is not None:
        query, rows = case.kept
        assert await values(shared, query) == rows, way.text
    if way.paths and (back := await walk_back(way, shared)) is not None:
        assert comparable(back) == comparable(way.first.live), way.text


def test_the_corpus_is_large_and_about_everything() -> None:
    assert len(ALL) >= 250
    assert {tag for case in ALL for tag in case.tags} >= TAGS


TAGS = {
    "check",
    "column",
    "comment",
    "compound",
    "computed",
    "default",
    "domain",
    "enum",
    "exclude",
    "fk",
    "identity",
    "index",
    "inheritance",
    "names",
    "naming conventions",
    "nullable",
    "options",
    "partition",
    "pk",
    "rename",
    "schema",
    "sequence",
    "table",
    "type",
    "unique",
}
