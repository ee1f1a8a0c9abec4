"""A read-only standby: refused when something is pending, good enough when nothing is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import Event, MigrationRunner
from async_migrations.errors import DatabaseUnavailableError, NotCurrentError
from async_migrations.events import MigrationsPending
from async_migrations.testing.server import Server, temporary_directory, temporary_server

REPLICATION = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}


async def migrate(server: Server, folder: Path) -> tuple[str, ...]:
    engine = create_async_engine(server.url())
    try:
        return (await MigrationRunner(engine, directory=folder, observers=()).run_migrations()).applied
    finally:
        await engine.dispose()


@asynccontextmanager
async def standby_of(history: Path, version: int) -> AsyncIterator[Server]:
    """Run a standby of a server to which a history was applied."""
    with temporary_directory() as copy:
        with temporary_server(version=version, settings=REPLICATION) as primary:
            assert await migrate(primary, history) == ("001_a",)
            primary.stop()
            await anyio.run_process(["cp", "-a", f"{primary.data_directory}/.", str(copy)])
        # Without a primary to follow it stays in recovery, which is all that a client sees of a standby.
        await anyio.run_process(["cp", "-a", str(copy / "PG_VERSION"), str(copy / "standby.signal")])
        with Server(copy, version=version, durable=False, settings=REPLICATION) as standby:
            yield standby


async def test_a_standby_serves_when_current_and_refuses_when_not(tmp_path: Path, postgres_version: int) -> None:
    (tmp_path / "001_a.sql").write_text("CREATE TABLE a (x int);")
    async with standby_of(tmp_path, postgres_version) as standby:
        assert await migrate(standby, tmp_path) == ()
        (tmp_path / "002_b.sql").write_text("CREATE TABLE b (x int);")
        with pytest.raises(DatabaseUnavailableError, match="read-only standby") as caught:
            await migrate(standby, tmp_path)
        assert "Point the migration URL to the primary" in str(caught.value)


async def test_a_wait_at_a_standby_goes_on_until_it_is_current(tmp_path: Path, postgres_version: int) -> None:
    (tmp_path / "001_a.sql").write_text("CREATE TABLE a (x int);")
    async with standby_of(tmp_path, postgres_version) as standby:
        (tmp_path / "002_b.sql").write_text("CREATE TABLE b (x int);")
        engine = create_async_engine(standby.url())
        pending = anyio.Event()

        def note(event: Event) -> None:
            if isinstance(event, MigrationsPending):
                pending.set()

        runner = MigrationRunner(engine, directory=tmp_path, observers=(note,))
        with pytest.raises(NotCurrentError, match="the next is 002_b"):
            await runner.wait_until_current(0.3)
        pending = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(runner.wait_until_current, 60)
            await pending.wait()
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_promote()"))
            assert await migrate(standby, tmp_path) == ("002_b",)
        await engine.dispose()
