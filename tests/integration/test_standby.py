"""A read-only standby: refused when something is pending, good enough when nothing is."""

from pathlib import Path

import anyio
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import MigrationRunner
from async_migrations.errors import DatabaseUnavailableError
from async_migrations.testing.server import Server, temporary_directory, temporary_server

REPLICATION = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}


async def migrate(server: Server, folder: Path) -> tuple[str, ...]:
    engine = create_async_engine(server.url())
    try:
        return (await MigrationRunner(engine, directory=folder, observers=()).run_migrations()).applied
    finally:
        await engine.dispose()


async def test_a_standby_serves_when_current_and_refuses_when_not(tmp_path: Path, postgres_version: int) -> None:
    (tmp_path / "001_a.sql").write_text("CREATE TABLE a (x int);")
    with temporary_directory() as copy:
        with temporary_server(version=postgres_version, settings=REPLICATION) as primary:
            assert await migrate(primary, tmp_path) == ("001_a",)
            primary.stop()
            await anyio.run_process(["cp", "-a", f"{primary.data_directory}/.", str(copy)])
        # Without a primary to follow it stays in recovery, which is all that a client sees of a standby.
        await anyio.run_process(["cp", "-a", str(copy / "PG_VERSION"), str(copy / "standby.signal")])
        with Server(copy, version=postgres_version, durable=False, settings=REPLICATION) as standby:
            assert await migrate(standby, tmp_path) == ()
            (tmp_path / "002_b.sql").write_text("CREATE TABLE b (x int);")
            with pytest.raises(DatabaseUnavailableError, match="read-only standby") as caught:
                await migrate(standby, tmp_path)
            assert "Point the migration URL to the primary" in str(caught.value)
