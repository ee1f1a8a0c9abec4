"""A user's test suite: a database for each test against one for all, and how long it takes to begin."""

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio

from tests.benchmarks import histories
from tests.benchmarks.place import Place, say
from tests.benchmarks.table import MILLISECOND, Row, skipped
from tests.support.example import ALWAYS

AGAIN = 5
"""Tests that migrate with Alembic."""

CONFTEST = """
import json
import os

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

reports = []


def pytest_runtest_logreport(report):
    reports.append((report.nodeid.partition("::")[0], report.when, report.start, report.stop))


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        with open(os.environ["TIMES"], "w") as file:
            json.dump(reports, file)


@pytest.fixture(scope="session")
def shared_database_url(migrated_databases, migrated_template):
    return migrated_databases.server.url(migrated_databases.take(migrated_template).result())


@pytest.fixture
def shared_engine(shared_database_url):
    return create_async_engine(shared_database_url, poolclass=NullPool)


@pytest.fixture(scope="session")
def data_directory(postgres_server):
    with open(os.environ["TIMES"] + ".data", "w") as file:
        file.write(str(postgres_server.data_directory))
"""
TEST = """
import asyncio

import pytest
from sqlalchemy import text


@pytest.mark.parametrize("number", range({tests}))
async def test_it({engine}, number, data_directory):
    async with {engine}.begin() as connection:
        await connection.execute(text("SELECT count(*) FROM table_0001"))
        await asyncio.sleep(0.03)
"""
ALEMBIC = """
import asyncio

import pytest
from alembic import command
from alembic.config import Config


@pytest.mark.parametrize("number", range({tests}))
def test_it(empty_database_url, number):
    config = Config(attributes={{"url": empty_database_url}})
    config.set_main_option("script_location", {folder!r})
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
"""
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""


@dataclass(frozen=True, slots=True)
class Times:
    """When the tests of one run began and ended, by their file."""

    reports: Sequence[tuple[str, str, float, float]]

    @property
    def start(self) -> float:
        """Seconds until the first test can begin: server, template, copy."""
        _, _, start, stop = self.reports[0]
        return stop - start

    def each(self, file: str) -> float:
        """Seconds for one test of a file, set-up and tear-down included, without the first one: the median."""
        phases = {
            phase: [stop - start for name, when, start, stop in self.reports if name == file and when == phase][1:]
            for phase in ("setup", "call", "teardown")
        }
        return statistics.median(map(sum, zip(*phases.values(), strict=True)))

    @property
    def whole(self) -> float:
        """Seconds from the first test's beginning to the last one's end."""
        return max(stop for *_, stop in self.reports) - min(start for *_, start, _ in self.reports)


class Suite:
    """The suite of a project with many tables.

    Args:
        folder: where it is written.
        tables: how many.
        tests: how many in each file.
        interpreter: what starts a process of Python.
    """

    def __init__(self, folder: Path, tables: int, tests: int, interpreter: Sequence[str]) -> None:
        self.folder = folder
        self._interpreter = interpreter
        (folder / "migrations").mkdir(parents=True)
        histories.sql_files(folder / "migrations", tables)
        self._write("conftest.py", CONFTEST)
        self._write("pytest.ini", SETTINGS)
        self._write("test_1_shared.py", TEST.format(tests=tests, engine="shared_engine"))
        self._write("test_2_own.py", TEST.format(tests=tests, engine="migrated_engine"))

    def add_alembic(self, tables: int, tests: int) -> None:
        """Write tests that each migrate with Alembic."""
        (self.folder / "alembic").mkdir()
        histories.alembic_files(self.folder / "alembic", tables)
        self._write("test_3_alembic.py", ALEMBIC.format(tests=tests, folder=str(self.folder / "alembic")))

    async def run(self, *options: str) -> Times:
        """Run it in a process of its own."""
        times = self.folder / "times.json"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        await anyio.run_process(
            [*self._interpreter, "-m", "pytest", "-q", *ALWAYS, *options],
            cwd=self.folder,
            env={**environment, "TIMES": str(times)},
            stderr=subprocess.STDOUT,
        )
        found: list[Any] = json.loads(times.read_text())
        return Times([tuple(report) for report in found])

    def forget(self) -> None:
        """Remove what `--keep-template` has kept."""
        shutil.rmtree(Path(self.folder.joinpath("times.json.data").read_text()).parent)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


async def rows(place: Place) -> list[Row]:
    """Measure a suite of tests that take 30 ms each."""
    say("a test suite")
    tables, tests = place.scale.few, place.scale.tests
    suite = Suite(place.directory / "suite", tables, tests, place.interpreter)
    repetitions = place.scale.pairs()
    cold = [await suite.run() for _ in range(repetitions)]
    await suite.run("--keep-template")
    kept = [await suite.run("--keep-template", "-k", "0") for _ in range(repetitions)]
    suite.forget()
    what = f"{tables} tables, {tests} tests of 30 ms"
    return [
        _each_test(what, cold),
        *await _alembic(suite, tables, min(AGAIN, tests), cold),
        await _workers(suite, what, repetitions),
        _start(f"{tables} tables: until the first test begins, cold", [each.start for each in cold], 3.0),
        _start(f"{tables} tables: until the first test begins, template kept", [each.start for each in kept], 0.5),
    ]


def _each_test(what: str, runs: Sequence[Times]) -> Row:
    own, shared = ([each.each(file) for each in runs] for file in ("test_2_own.py", "test_1_shared.py"))
    more = statistics.median(a - b for a, b in zip(own, shared, strict=True)) / MILLISECOND
    return Row(
        f"{what}: a test with a database of its own, against one with a shared one",
        _shown(own),
        _shown(shared),
        f"{more:+.1f} ms",
        "≤ +10 ms",
        more <= 10,
    )


async def _alembic(suite: Suite, tables: int, tests: int, runs: Sequence[Times]) -> list[Row]:
    what = f"{tables} tables: a test with a database of its own, against migrating it with Alembic"
    if find_spec("alembic") is None:
        return [skipped(what, "Alembic is not installed")]
    suite.add_alembic(tables, tests)
    again = (await suite.run("test_3_alembic.py")).each("test_3_alembic.py")
    own = statistics.median(each.each("test_2_own.py") for each in runs)
    return [Row(what, _shown([own]), _shown([again]), f"{own / again:.2f}")]


async def _workers(suite: Suite, what: str, repetitions: int) -> Row:
    pairs = [
        [(await suite.run("test_2_own.py", *options)).whole for options in (("-n2",), ())] for _ in range(repetitions)
    ]
    two, one = ([pair[index] for pair in pairs] for index in (0, 1))
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(f"{what}, a database each: two workers against one process", _shown(two), _shown(one), f"{ratio:.2f}")


def _start(what: str, seconds: Sequence[float], bound: float) -> Row:
    median = statistics.median(seconds)
    return Row(what, f"{median / MILLISECOND:,.0f} ms", "—", "", f"≤ {bound:g} s", median <= bound)


def _shown(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) / MILLISECOND:,.1f} ms"
