"""The pytest plugin: a migrated database for each test, whoever runs its event loop."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from async_migrations.errors import MigrationsError
from async_migrations.integrations.pytest_loops import fixture_in_loop_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

    from async_migrations.testing.databases import Databases
    from async_migrations.testing.given import DatabaseServer
    from async_migrations.testing.recipe import Recipe
    from async_migrations.testing.shared import Home
    from async_migrations.testing.single import BeforeMigration

HOME: pytest.StashKey[Home] = pytest.StashKey()
"""Where the private server lives, once there is one."""

FAILED = pytest.StashKey[bool]()
"""Whether a test has failed, as long as `--keep-databases` asks for it."""

OWN = pytest.StashKey[list[str]]()
"""The URLs of a test's own databases."""

OPTIONS = {
    "directory": "The folder of migrations; from [tool.async_migrations] in pyproject.toml, or migrations.",
    "base": "The models' declarative base or MetaData, as module:attribute; from [tool.async_migrations].",
    "url": "URL of a server to use, or $NAME for an environment variable; without one a private server is started.",
    "postgres": "Major version of the private server; the newest that there is.",
    "samples": "The folder of sample rows, NNN.sql each, for the ready-made test; tests/samples.",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    for name, text in OPTIONS.items():
        parser.addini(f"async_migrations_{name}", text, default="")
    parser.addini("async_migrations_keep_template", "As --keep-template, for every run.", type="bool", default=False)
    group = parser.getgroup("async_migrations")
    group.addoption(
        "--keep-databases", action="store_true", help="keep the database of a failed test, and say where it is"
    )
    group.addoption(
        "--keep-template", action="store_true", help="keep the migrated template for the next run, which starts faster"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load what depends on other plugins and options."""
    if config.pluginmanager.hasplugin("asyncio"):
        from async_migrations.integrations import pytest_asyncio

        config.pluginmanager.register(pytest_asyncio, "async_migrations_asyncio")
    if config.getoption("keep_databases"):
        from async_migrations.integrations import pytest_keeping

        config.pluginmanager.register(pytest_keeping, "async_migrations_keeping")


@pytest.fixture(scope="session")
def migration_recipe(pytestconfig: pytest.Config) -> Recipe:
    """What the test databases are made from; override it to say so in Python."""
    from async_migrations.testing.recipe import recipe_of

    with in_a_sentence():
        return recipe_of(_project(pytestconfig), _ini(pytestconfig, "directory"), _ini(pytestconfig, "base"))


@pytest.fixture(scope="session")
def migration_samples(pytestconfig: pytest.Config) -> Path:
    """The folder of sample rows for the ready-made test."""
    return _project(pytestconfig) / (_ini(pytestconfig, "samples") or "tests/samples")


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[DatabaseServer]:
    """The server of the whole test run; override it to bring your own: it needs `url(database, driver="asyncpg")`."""
    from async_migrations.testing.binaries import newest_version
    from async_migrations.testing.given import GivenServer
    from async_migrations.testing.shared import home_of, kept_home_of, shared_server

    given = _ini(pytestconfig, "url")
    if given.startswith("$"):
        given = os.environ.get(given[1:], "")
    with in_a_sentence():
        if given:
            yield GivenServer(given)
            return
        version = int(_ini(pytestconfig, "postgres") or newest_version())
        keep = _keeps_template(pytestconfig)
        home = kept_home_of(_project(pytestconfig), version) if keep else home_of(_run(pytestconfig))
        pytestconfig.stash[HOME] = home
        with shared_server(home, version) as server:
            yield server


@pytest.fixture(scope="session")
def migrated_databases(pytestconfig: pytest.Config, postgres_server: DatabaseServer) -> Iterator[Databases]:
    """What makes and drops the databases of this process, for fixtures of a wider scope than one test."""
    from async_migrations.testing.databases import databases_of

    home = pytestconfig.stash.get(HOME, None)
    with in_a_sentence(), databases_of(postgres_server, lasting=home is None or home.stays) as databases:
        yield databases


@pytest.fixture(scope="session")
def migrated_template(
    pytestconfig: pytest.Config, migrated_databases: Databases, migration_recipe: Recipe
) -> Iterator[str]:
    """The name of the migrated database that all others are copies of."""
    from async_migrations.testing.template import template_of

    kept_for = str(_project(pytestconfig)) if _keeps_template(pytestconfig) else None
    with in_a_sentence(), template_of(migrated_databases, migration_recipe, kept_for) as name:
        yield name


@pytest.fixture
def migrated_database_url(
    request: pytest.FixtureRequest, migrated_databases: Databases, migrated_template: str
) -> Iterator[str]:
    """The URL of a migrated database of this test's own."""
    yield from _own_database(request, migrated_databases, migrated_template)


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, migrated_databases: Databases) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    yield from _own_database(request, migrated_databases)


@pytest.fixture
def migrated_engine(migrated_database_url: str) -> AsyncEngine:
    """An engine on `migrated_database_url`; it keeps no connection, so that any event loop may use it."""
    return _engine(migrated_database_url)


@pytest.fixture
def migrated_connection(_async_migrations_rolled_back: tuple[AsyncConnection, AsyncSession]) -> AsyncConnection:
    """A connection to a migrated database of which nothing stays, whatever is committed; the quick way."""
    return _async_migrations_rolled_back[0]


@pytest.fixture
def migrated_session(_async_migrations_rolled_back: tuple[AsyncConnection, AsyncSession]) -> AsyncSession:
    """A session on `migrated_connection`; its commits end a savepoint."""
    return _async_migrations_rolled_back[1]


@pytest.fixture
def before_migration(empty_database_url: str, migration_recipe: Recipe) -> BeforeMigration:
    """What brings a database of this test's own to where a migration begins: `async with` what it returns."""
    from async_migrations.testing.single import just_before

    return lambda migration: just_before(migration_recipe, empty_database_url, migration)


@pytest.fixture(scope="session")
def _async_migrations_shared() -> list[AsyncEngine]:
    """Return where the engine on one migrated database is kept, for all tests of this process that roll back."""
    return []


@pytest.fixture
def _async_migrations_place(
    request: pytest.FixtureRequest, migrated_databases: Databases, migrated_template: str
) -> tuple[AsyncEngine, Callable[[], object]]:
    """Return where to roll back, in the test's own database if it has one, and what to call when that is spoiled."""
    if "migrated_database_url" in request.fixturenames:
        return request.getfixturevalue("migrated_engine"), lambda: None
    shared: list[AsyncEngine] = request.getfixturevalue("_async_migrations_shared")
    if not shared:
        shared.append(_engine(migrated_databases.server.url(_taken(migrated_databases, migrated_template))))
    return shared[0], shared.clear


@pytest.fixture
async def _async_migrations_anyio(
    _async_migrations_place: tuple[AsyncEngine, Callable[[], object]],
) -> AsyncIterator[Any]:
    """Be run by anyio's plugin, in its own loop."""
    from async_migrations.testing.rollback import rolled_back

    with in_a_sentence():
        async with rolled_back(*_async_migrations_place) as pair:
            yield pair


@pytest.fixture
def _async_migrations_rolled_back(request: pytest.FixtureRequest) -> Any:
    """Let the plugin that runs the test open the connection, in the test's event loop."""
    return request.getfixturevalue(fixture_in_loop_of(request))


def _engine(url: str) -> AsyncEngine:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    return create_async_engine(url, poolclass=NullPool)


def _own_database(request: pytest.FixtureRequest, databases: Databases, *template: str) -> Iterator[str]:
    name = _taken(databases, *template)
    url = databases.server.url(name)
    request.node.stash.setdefault(OWN, []).append(url)
    yield url
    if request.node.stash.get(FAILED, False):
        databases.keep(name)
        if home := request.config.stash.get(HOME, None):
            home.want()
    else:
        databases.drop(name)


def _taken(databases: Databases, *template: str) -> str:
    with in_a_sentence():
        return databases.take(*template).result()


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Let a failure of ours be its sentence, not a page of traceback."""
    try:
        yield
    except MigrationsError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _ini(config: pytest.Config, name: str) -> str:
    return str(config.getini(f"async_migrations_{name}"))


def _project(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath else config.rootpath


def _keeps_template(config: pytest.Config) -> bool:
    return bool(config.getoption("keep_template") or config.getini("async_migrations_keep_template"))


def _run(config: pytest.Config) -> str:
    """Return what tells this test run from all others, the same in all its workers."""
    worker = getattr(config, "workerinput", {})
    return hashlib.sha256(worker.get("testrunuid", uuid4().hex).encode()).hexdigest()[:16]
