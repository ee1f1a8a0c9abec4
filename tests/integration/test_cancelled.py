"""What is cancelled in the middle leaves nothing in the service's pool: no transaction, no LISTEN, no lock."""

import sys
from collections.abc import Callable, Coroutine
from threading import Event
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import compare_schema
from async_migrations.schema.comparison import read_schema
from tests.support.history import History
from tests.support.waiting import eventually

Work = Callable[[History, MetaData], Coroutine[Any, Any, object]]
WAITS = """
SELECT count(*) > 0 FROM pg_locks
WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LEFT = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND (state <> 'idle' OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'))
"""
WORK: dict[str, tuple[str, Work]] = {
    "comparing": ("pg_catalog.pg_sequence", lambda history, models: compare_schema(history.engine, models)),
    "reading": ("pg_catalog.pg_sequence", lambda history, _: read_schema(history.engine)),
    "status": ("schema_migrations", lambda history, _: history.runner().status()),
    "plan": ("schema_migrations", lambda history, _: history.runner().plan()),
    "verify": ("schema_migrations", lambda history, _: history.runner().verify()),
    "waiting": ("schema_migrations", lambda history, _: history.runner().wait_until_current(60)),
    "migrating": ("schema_migrations", lambda history, _: history.runner().run_migrations()),
    "reverting": ("schema_migrations", lambda history, _: history.runner().downgrade(0)),
}


@pytest.mark.parametrize("name", WORK)
async def test_the_next_user_of_the_connection_finds_it_clean(name: str, history: History, database_url: str) -> None:
    table, work = WORK[name]
    models = MetaData()
    Table("a", models, Column("id", Integer, primary_key=True, autoincrement=False))
    history.sql("001_a", "CREATE TABLE a (id int PRIMARY KEY);")
    history.sql("001_a.down", "DROP TABLE a;")
    await history.runner().run_migrations()
    other = create_async_engine(database_url)
    async with other.begin() as connection:
        await connection.exec_driver_sql(f"LOCK TABLE {table}")
        # A scope of anyio's cancels each await that follows, too.
        async with anyio.create_task_group() as group:
            group.start_soon(work, history, models)
            # Asked beside the pool: one connection of it is all that there is.
            await eventually(lambda: waits(other), deadline=20)
            group.cancel_scope.cancel()
    assert await history.value("SELECT count(*) FROM schema_migrations") == 1
    assert await history.value("SELECT count(*) FROM pg_listening_channels()") == 0
    await eventually(lambda: nobody_is_left(other), deadline=20)
    assert (await history.runner().run_migrations()).applied == ()
    assert not await compare_schema(history.engine, models)
    await other.dispose()


async def waits(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool((await connection.exec_driver_sql(WAITS)).scalar())


async def nobody_is_left(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return (await connection.exec_driver_sql(LEFT)).scalar() == 0


async def test_a_file_whose_import_does_not_end_keeps_no_run_from_being_cancelled(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = Event(), Event()
    monkeypatch.setitem(sys.modules, "a_slow_import", SimpleNamespace(began=began, may_end=may_end))
    top = "import a_slow_import\na_slow_import.began.set()\na_slow_import.may_end.wait(60)"
    history.python("001_a", "pass", top=top)
    try:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(history.runner().run_migrations)
                await anyio.to_thread.run_sync(began.wait, 20)
                group.cancel_scope.cancel()
    finally:
        may_end.set()
    assert began.is_set()
