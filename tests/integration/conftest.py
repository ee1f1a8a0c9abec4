"""What integration tests share."""

import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

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
