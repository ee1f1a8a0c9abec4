"""Every benchmark still runs; no time is asserted here."""

from pathlib import Path

import pytest

from async_migrations.testing.server import Server
from tests.benchmarks.__main__ import BENCHMARKS, measure
from tests.benchmarks.place import Place, Scale, compare
from tests.benchmarks.table import Row, markdown
from tests.support.example import PYTEST
from tests.support.zygote import ENGINE, SERVICE, zygote

SUITE = "suite"
TINY = Scale(migrations=4, few=2, waiters=2, repetitions=0, tables=5, tests=3)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted({*BENCHMARKS} - {SUITE}))
async def test_a_benchmark_fills_its_rows(name: str, server: Server, tmp_path: Path) -> None:
    rows = await measure(Place(server, TINY, tmp_path, zygote(*ENGINE, *SERVICE).interpreter), [name])
    assert rows
    assert all(row.what and row.bare for row in rows)


@pytest.mark.timeout(300)
async def test_a_suite_runs_on_servers_of_its_own(tmp_path: Path) -> None:
    place = Place(Server(tmp_path / "unused"), TINY, tmp_path, zygote(*PYTEST).interpreter)
    rows = await measure(place, [SUITE])
    assert rows
    assert all(row.what and row.bare for row in rows)


def test_a_table_says_what_is_within_its_bound() -> None:
    table = markdown([Row("this", "1 ms", "2 ms", "0.50", "≤ 1", within=True), Row("that", "", "not here", "")])
    assert table.splitlines()[2:] == ["| this | 1 ms | 2 ms | 0.50 | ≤ 1 | yes |", "| that |  | not here |  |  |  |"]


async def test_two_works_take_turns_at_being_first() -> None:
    done: list[str] = []

    async def work(name: str) -> float:
        done.append(name)
        return len(done)

    medians, ratio = await compare(2, lambda: work("ours"), lambda: work("bare"))
    assert done == ["ours", "bare", "bare", "ours"]
    assert medians == (2.5, 2.5)
    assert ratio == (1 / 2 + 4 / 3) / 2
