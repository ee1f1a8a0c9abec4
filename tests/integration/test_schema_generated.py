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
from tests.schema_cases.corpora import CHANGED, MOVED
from tests.support.generated import comparable, values, walk, walk_back
from tests.support.grouped import (
    Group,
    naming,
    operations_in,
    parametrize,
    snapshot_of,
    values_in,
    walk_back_together,
    walk_together,
)


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, CHANGED, more=MOVED)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_is_found_and_generated_migrations_lead_there_and_back(
    case: Case | Group, shared: AsyncEngine, tmp_path: Path, postgres_version: int, collected: Path
) -> None:
    if isinstance(case, Group):
        await _see_them_together(case, shared, tmp_path, collected)
    else:
        await _see_it_alone(case, shared, tmp_path, postgres_version, collected)


async def _see_it_alone(
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


async def _see_them_together(group: Group, shared: AsyncEngine, tmp_path: Path, collected: Path) -> None:
    way = await walk_together(group, shared, tmp_path)
    assert all(str(each) for each in way.first.operations)
    for path in way.paths:
        shutil.copy(path, collected / f"{group}_{path.name}")
    assert not way.second, str(way.second)
    for place, case in group.cases.items():
        with naming(case):
            found = operations_in({place}, way.first)
            if case in CASES:
                assert sorted(type(each).__name__ for each in found) == list(case.expected), found
            live = comparable(snapshot_of(place, way.second.live), partitions=False)
            assert live == comparable(snapshot_of(place, way.second.wanted), partitions=False)
            if case.kept is not None:
                query, rows = case.kept
                assert await values_in(place, shared, query) == rows
    assert comparable(way.second.live, partitions=False) == comparable(way.second.wanted, partitions=False)
    back = await walk_back_together(way, shared)
    for place, case in group.cases.items():
        with naming(case):
            before = way.first.live if place in way.returning else way.second.live
            assert comparable(snapshot_of(place, back)) == comparable(snapshot_of(place, before))
