"""What integration tests share."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.history import History


@pytest.fixture
def history(tmp_path: Path, engine: AsyncEngine) -> History:
    """Return an empty folder of migrations and a database of its own."""
    return History(tmp_path / "migrations", engine)
