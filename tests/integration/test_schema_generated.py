"""Every change is found and called what it is, and its migrations lead to the models' catalog and keep what is kept."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.schema_cases import Case
from tests.schema_cases.changed import CASES
from tests.schema_cases.hindered import CASES as HINDERED
from tests.schema_cases.moved import every
from tests.schema_cases.rare import CASES as RARE
from tests.support.generated import comparable, values, walk, walk_back


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
async def test_a_change_is_found_and_generated_migrations_lead_there_and_back(
    case: Case, shared: AsyncEngine, tmp_path: Path, postgres_version: int, collected: Path
) -> None:
    way = await walk(case, shared, tmp_path, postgres_version)
    found = way.first.operations
    assert all(str(each) for each in found)
    if case in CASES:
        assert sorted(type(each).__name__ for each in found) == list(case.expected), str(way.first)
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
