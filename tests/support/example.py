"""A small project of a user, with tests that our plugin serves; `pytester` runs them in a process of their own."""

import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

import pytest
from _pytest.config import default_plugins

from tests.support.zygote import PLUGIN, Order, Streams, zygote

MIGRATIONS = {
    "001_users.sql": "CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar NOT NULL);",
    "001_users.down.sql": "DROP TABLE users;",
    "002_theme.sql": "ALTER TABLE users ADD COLUMN theme varchar NOT NULL DEFAULT 'light';",
    "002_theme.down.sql": "ALTER TABLE users DROP COLUMN theme;",
}
MODELS = """
from sqlalchemy import Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str]
    theme: Mapped[str] = mapped_column(server_default="light")
"""
TESTS = """
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

{mark}

COUNT = text("SELECT count(*) FROM users")
ADD = text("INSERT INTO users (email) VALUES ('ada@example.org')")
TWICE = pytest.mark.parametrize("time", [1, 2])


async def add(connection):
    assert await connection.scalar(COUNT) == 0
    await connection.execute(ADD)
    await connection.commit()
    assert await connection.scalar(COUNT) == 1


class TestAll:
    @TWICE
    async def test_session(self, migrated_session, time):
        await add(migrated_session)
        await migrated_session.execute(ADD)
        await migrated_session.rollback()
        assert await migrated_session.scalar(COUNT) == 1

    @TWICE
    async def test_connection(self, migrated_connection, time):
        await add(migrated_connection)

    async def test_both_see_the_same(self, migrated_connection, migrated_session):
        await add(migrated_session)
        assert await migrated_connection.scalar(COUNT) == 1

    @TWICE
    async def test_engine(self, migrated_engine, time):
        async with migrated_engine.connect() as connection:
            await add(connection)
        async with migrated_engine.connect() as connection:
            assert await connection.scalar(COUNT) == 1

    async def test_own_database_of_a_session(self, migrated_engine, migrated_session):
        async with migrated_engine.begin() as connection:
            await connection.execute(ADD)
        assert await migrated_session.scalar(COUNT) == 1

    async def test_empty(self, empty_database_url):
        engine = create_async_engine(empty_database_url)
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT to_regclass('users') IS NULL"))
        await engine.dispose()

    async def test_one_migration(self, before_migration):
        async with before_migration("002") as migration:
            await migration.execute("INSERT INTO users (email) VALUES (:email)", email="ada@example.org")
            await migration.apply()
            assert await migration.rows("SELECT email, theme FROM users") == [("ada@example.org", "light")]
            await migration.revert()
            assert await migration.rows("SELECT * FROM users") == [(1, "ada@example.org")]
"""
WHERE = """
import os


def test_where(postgres_server, migrated_database_url):
    with open(os.environ["WHERE"], "a") as file:
        print(getattr(postgres_server, "data_directory", ""), file=file)
"""
PASSED = 10
# Plugins of others that none of it needs, and that take a fifth of a start.
ALWAYS = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:faker", "-W", "error"]
TELL_MORE = ("CI", "BUILD_NUMBER")
"""Variables with which pytest's summary repeats each message whole."""

PROGRAM = "import sys; del sys.path[0]; import pytest; sys.exit(pytest.console_main())"
"""The command `pytest`; of the directory in which it runs only its settings say what can be imported."""

PLUGINS = (
    "anyio.pytest_plugin",
    "anyio._backends._asyncio",
    "anyio.from_thread",
    "async_migrations.executor",
    "async_migrations.integrations.pytest_asyncio",
    "async_migrations.integrations.pytest_plugin",
    "async_migrations.online",
    "async_migrations.testing.databases",
    "async_migrations.testing.ready_made",
    "async_migrations.testing.shared",
    "async_migrations.testing.template",
    "pytest_asyncio.plugin",
    "pytest_timeout",
    "xdist.looponfail",
    "xdist.plugin",
)
"""What a run imports, sooner or later, that belongs to plugins of pytest's."""
PYTEST = (
    "asyncpg",
    "email.parser",
    "encodings.utf_8_sig",
    "execnet",
    "postgast",
    "pytest",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "stamina",
    *(f"_pytest.{name}" for name in default_plugins),
    *(f"{PLUGIN}{name}" for name in PLUGINS),
    # What our own tests import, whose workers are forked there, too.
    f"{PLUGIN}_hypothesis_globals",
    f"{PLUGIN}hypothesis",
    "alembic.config",
    "fastapi",
    "httpx",
    "kubernetes_validate",
    "litestar",
    "PIL.Image",
    "playwright.async_api",
    "psutil",
    "rich.console",
    "starlette.testclient",
    "uvloop",
    "yaml",
)


class Example:
    """The project, in the directory of a test.

    Args:
        pytester: whose directory it is.
        monkeypatch: sets the environment of its processes.
        postgres: major version of its private servers.

    Attributes:
        url: of the server that its settings name; empty for a private one.
    """

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, postgres: int) -> None:
        self.pytester = pytester
        self._postgres = postgres
        self.url = ""
        self.where = pytester.path / "where.txt"
        monkeypatch.setenv("WHERE", str(self.where))
        for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
            monkeypatch.delenv(name)
        for name in TELL_MORE:
            monkeypatch.delenv(name, raising=False)
        self.write("models.py", MODELS)
        for name, script in MIGRATIONS.items():
            self.write(f"migrations/{name}", script)

    def write(self, path: str, text: str) -> Path:
        """Write one of its files."""
        target = self.pytester.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def settings(self, **ini: str) -> None:
        """Write its pytest.ini."""
        ours = {
            "asyncio_default_fixture_loop_scope": "function",
            "async_migrations_postgres": self._postgres,
            "async_migrations_url": self.url,
        }
        said = {**ours, **ini}
        self.write("pytest.ini", "[pytest]\n" + "".join(f"{name} = {value}\n" for name, value in said.items()))

    def tests(self, *marks: str) -> None:
        """Write the tests that use each fixture, in a file for each mark."""
        self.write("tests/__init__.py", "")
        for number, mark in enumerate(marks or ("",)):
            self.write(f"tests/test_users_{number}.py", TESTS.format(mark=mark))
        self.write("tests/test_where.py", WHERE)

    def run(self, *options: str) -> pytest.RunResult:
        """Run its tests in a process of their own."""
        return forked_pytest(self.pytester.path, *ALWAYS, f"--basetemp={self.pytester.path / 'basetemp'}", *options)

    def begin(self, *options: str) -> IO[str]:
        """Begin to run its tests, as `begun_pytest`."""
        nowhere = Path(os.devnull)
        return begun_pytest(self.pytester.path, *ALWAYS, *options, out=nowhere, err=nowhere)

    def execute(self, *options: str) -> pytest.RunResult:
        """Run its tests in a process that has imported nothing yet."""
        return self.pytester.runpytest_subprocess(*ALWAYS, *options)

    def servers(self) -> set[Path]:
        """Return the data directories that its tests have seen."""
        return {Path(line) for line in self.where.read_text().split("\n") if line}

    def said(self, word: str) -> list[str]:
        """Return the lines that its tests have written about something."""
        return self.where.with_suffix(f".txt.{word}").read_text().splitlines()

    def kept(self, result: pytest.RunResult) -> list[str]:
        """Return the URLs of databases that a run has kept."""
        return re.findall(r"^(postgresql\S+)$", result.stdout.str(), re.MULTILINE)


def forked_pytest(
    project: Path, *options: str, environment: Mapping[str, str] | None = None, said: Path | None = None
) -> pytest.RunResult:
    """Run the tests of a project in a process that has imported already what takes long, and so have its workers.

    Args:
        project: the directory in which it runs.
        options: those of pytest.
        environment: all its variables; by default those that we have.
        said: the directory for what it says, if not the project's.
    """
    started = time.perf_counter()
    out, err = ((said or project) / name for name in ("stdout.txt", "stderr.txt"))
    with begun_pytest(project, *options, out=out, err=err, environment=environment) as end:
        *_, code = end.read().split()
    stdout_lines, stderr_lines = (each.read_text().splitlines() for each in (out, err))
    return pytest.RunResult(int(code), stdout_lines, stderr_lines, time.perf_counter() - started)


def begun_pytest(
    project: Path, *options: str, out: Path, err: Path, environment: Mapping[str, str] | None = None
) -> IO[str]:
    """Begin what `forked_pytest` does.

    Returns:
        What says its pid, on a line, and when it has ended its exit code.
    """
    program = ["-c", PROGRAM, *chain.from_iterable(map(_forked, options))]
    order = Order(program, dict(environment or os.environ), str(project))
    with Path(os.devnull).open() as stdin, out.open("w") as stdout, err.open("w") as stderr:
        streams = Streams(stdin.fileno(), stdout.fileno(), stderr.fileno())
        return os.fdopen(zygote(*PYTEST).fork(order, streams))


def _forked(option: str) -> Sequence[str]:
    """Have two workers forked, too: what asks for them is written out, and their interpreter named."""
    interpreter = shlex.join(zygote(*PYTEST).interpreter)
    return ("--dist=load", f"--tx=2*popen//python={interpreter}") if option == "-n2" else (option,)
