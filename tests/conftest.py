"""A PostgreSQL server for the whole test run, and a database of its own for each test."""

import asyncio
import gc
import os
import shlex
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from zlib import crc32

import asyncpg
import execnet
import pytest
import uvloop
from hypothesis import settings
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations.testing.databases import Databases, databases_of
from async_migrations.testing.server import (
    Server,
    ServerError,
    find_binaries,
    temporary_directory,
    temporary_server,
)
from tests.conformance.aftermath import watching
from tests.support.example import PYTEST
from tests.support.replica_launcher import ON_UVLOOP
from tests.support.zygote import ENGINE, SERVICE, share, shared, zygote

# What decides about a change must say the same of it twice; whoever works on it looks at other examples each time.
settings.register_profile("gate", derandomize=True)
settings.register_profile("deep", max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

SERVER_DIRECTORY = pytest.StashKey[Path]()
WHOLE = 18
"""The version of PostgreSQL on which all tests run; on another one those that are about a server of it."""
SKIPPED_WHEN_MISSING = 15  # Debian's; the others come with a wheel that the tests require


class MakeDatabase(Protocol):
    """Create a database and return its URL; options are those of CREATE DATABASE."""

    def __call__(self, name: str | None = None, **options: str) -> Awaitable[str]: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        type=int,
        default=int(os.environ.get("ASYNC_MIGRATIONS_TEST_POSTGRES", WHOLE)),
        help="major version of PostgreSQL to test on: 18, 16, or Debian's 15",
    )
    parser.addoption("--uvloop", action="store_true", help="run on uvloop, as services under uvicorn do that have it")
    parser.addoption("--alone", action="store_true", help="look at each schema of a corpus by itself")
    parser.addoption("--postgres-bin", type=Path, help="directory with the programs of another PostgreSQL to test on")


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory in which all workers share one server, in the process that outlives them."""
    # Our servers have no TLS, and to be told so each time is a fifth of what a connection takes.
    os.environ.setdefault("PGSSLMODE", "disable")
    if config.getoption("--uvloop"):
        os.environ[ON_UVLOOP] = "1"
    if binaries := config.getoption("--postgres-bin"):
        config.option.postgres = _offer(binaries)
    if hasattr(config, "workerinput"):
        config.stash[SERVER_DIRECTORY] = Path(config.workerinput["server_directory"])
        share(config.workerinput["zygotes"])
        return
    stack = ExitStack()
    config.stash[SERVER_DIRECTORY] = stack.enter_context(temporary_directory())
    config.add_cleanup(stack.close)


def _offer(binaries: Path) -> int:
    """Have the programs of a directory found by this process and its children; return their major version."""
    answer = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True)
    version = int(answer.stdout.split()[2].partition(".")[0])
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    if find_binaries(version) != binaries.resolve():
        raise pytest.UsageError(
            f"PostgreSQL {version} is here already, in {find_binaries(version)}: --postgres={version}"
        )
    return version


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[execnet.XSpec]) -> None:
    """Have the workers forked, and have them share what forks for their tests: each import takes place once."""
    interpreter = shlex.join(zygote(*PYTEST).interpreter)
    zygote(*ENGINE, *SERVICE)
    specs[:] = [execnet.XSpec(f"{each}//id={each.id}//python={interpreter}") for each in specs]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker where the server is, and what forks."""
    node.workerinput["server_directory"] = str(node.config.stash[SERVER_DIRECTORY])  # type: ignore[attr-defined]
    node.workerinput["zygotes"] = shared()  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Return what makes the event loops of a test."""
    if config.getoption("--uvloop"):
        return {"uvloop": uvloop.new_event_loop}
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if item.get_closest_marker("both_loops") else {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def postgres_version(pytestconfig: pytest.Config) -> int:
    version: int = pytestconfig.getoption("--postgres")
    try:
        find_binaries(version)
    except ServerError as error:
        if version == SKIPPED_WHEN_MISSING:
            pytest.skip(str(error))
        raise
    return version


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config, postgres_version: int) -> Iterator[Server]:
    """Run the server of the whole test run: the first worker starts it, the last one stops it."""
    directory = pytestconfig.stash[SERVER_DIRECTORY]
    if not directory.exists():
        pytest.exit("The test run was killed, and its server is gone with it.")
    with Server(directory, version=postgres_version, durable=False) as server:
        yield server


@pytest.fixture
def own_server(postgres_version: int) -> Iterator[Server]:
    """Run a server for one test only, which may stop and restart it."""
    with temporary_server(version=postgres_version) as server:
        yield server


@pytest.fixture
def reachable_path() -> Iterator[Path]:
    """Make a directory that the server's account reaches: root's `tmp_path` is closed to it."""
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def databases(server: Server) -> Iterator[Databases]:
    with databases_of(server) as databases:
        yield databases


@pytest.fixture(scope="session")
def opened(server: Server, databases: Databases) -> str:
    """Return the name of an empty database that was opened once.

    PostgreSQL leaves a file there from which later sessions, also those of a copy, read what they must know of the
    catalogs; without it the first session of each test's database takes six milliseconds longer.
    """

    async def open_once() -> None:
        connection = await asyncpg.connect(server.url(name, driver=""))
        await connection.close()

    name = databases.create().result()
    databases.portal.call(open_once)
    return name


@pytest.fixture
async def make_database(server: Server, databases: Databases, opened: str) -> AsyncIterator[MakeDatabase]:
    """Return a function that makes further databases; they go after the test."""
    names: list[str] = []

    async def make(name: str | None = None, **options: str) -> str:
        options = options or {"template": opened}  # a locale or an encoding asks for PostgreSQL's own template
        names.append(await asyncio.wrap_future(databases.create(name, **options)))
        return server.url(names[-1])

    yield make
    for name in names:
        databases.drop(name)


@pytest.fixture
async def database_url(server: Server, databases: Databases, opened: str) -> AsyncIterator[str]:
    """Return the URL of a fresh, empty database, for SQLAlchemy with asyncpg."""
    name = await asyncio.wrap_future(databases.take(opened))
    yield server.url(name)
    databases.drop(name)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Return an engine on `database_url`, with a pool as services have them."""
    engine = create_async_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def witness(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that looks at the test's database from the side."""
    async with watching(database_url) as witness:
        yield witness


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another version, leave out what does not ask for one: it runs the same there.

    Files come in an order that has nothing to do with their names: those whose tests wait stand together by name, and
    all workers would wait at once.
    """
    items.sort(key=lambda each: crc32(each.nodeid.partition("::")[0].encode()))
    if config.getoption("--postgres") == WHOLE:
        return
    asks = [each for each in items if "postgres_version" in getattr(each, "fixturenames", ())]
    config.hook.pytest_deselected(items=[each for each in items if each not in set(asks)])
    items[:] = asks


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage among what tests make, not in what was imported for all of them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        gc.enable()
