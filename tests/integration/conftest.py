"""What integration tests share."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.support.history import History
from tests.support.shell import Shell


@pytest.fixture
def history(tmp_path: Path, engine: AsyncEngine) -> History:
    """Return an empty folder of migrations and a database of its own."""
    return History(tmp_path / "migrations", engine)


@pytest.fixture
def bare(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return a project without migrations and an empty database."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Shell(tmp_path, database_url.replace("+asyncpg", ""))


@pytest.fixture
def shell(bare: Shell) -> Shell:
    """Return a project with three migrations and an empty database."""
    bare.write_three()
    return bare


@pytest.fixture(scope="module")
def shared_name(databases: Databases, opened: str) -> Iterator[str]:
    name = databases.take(opened).result()
    yield name
    databases.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_name: str, server: Server) -> AsyncIterator[AsyncEngine]:
    """Return an engine on a database that all cases of a module use one after the other."""
    # Connections are kept: one that knows the catalog already answers in half the time.
    engine = create_async_engine(server.url(shared_name), connect_args={"prepared_statement_cache_size": 0})
    yield engine
    await engine.dispose()
