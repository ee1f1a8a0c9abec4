"""The ledger's table, made and extended while others use it."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from async_migrations.errors import LedgerError
from async_migrations.events import LedgerAwaited, LedgerExtended
from async_migrations.testing.server import temporary_server
from tests.support.history import History
from tests.support.waiting import eventually

SEEDS = """CREATE TABLE schema_migrations (id SERIAL PRIMARY KEY, migration_name VARCHAR(255) UNIQUE NOT NULL,
 applied_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP, description TEXT, execution_time_ms INTEGER)"""


@pytest.fixture
async def older(history: History) -> History:
    """Return a database with the seed's ledger, and a migration to apply."""
    await history.do(SEEDS)
    history.sql("001_a", "CREATE TABLE a (x int);")
    return history


async def back_up(reader: AsyncConnection) -> None:
    """Read the ledger in a transaction that stays open, as `pg_dump` does."""
    await reader.exec_driver_sql("SET application_name = 'backup'")
    await reader.exec_driver_sql("SELECT * FROM schema_migrations")


async def test_an_older_ledger_that_a_backup_reads_is_extended_when_that_has_ended(older: History) -> None:
    async with older.engine.connect() as reader:
        await back_up(reader)
        run = asyncio.create_task(older.runner().run_migrations())
        await eventually(lambda: asyncio.sleep(0, len(older.told(LedgerAwaited)) >= 2))
    assert (await run).applied == ("001_a",)
    assert "(backup), idle in transaction for" in older.told(LedgerAwaited)[0].holder
    assert len(older.told(LedgerExtended)) == 1


async def test_who_keeps_an_older_ledger_from_being_extended_is_named_at_the_deadline(
    older: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_migrations.ledger.LOCK_TIMEOUT", "50ms")
    async with older.engine.connect() as reader:
        await back_up(reader)
        pid = (await reader.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        with pytest.raises(
            LedgerError, match=rf"held by pid {pid} \(backup\), idle in transaction for \d+ s"
        ) as caught:
            await older.runner(retry_deadline=0.3).run_migrations()
    assert f"SELECT pg_terminate_backend({pid}), or raise retry_deadline." in str(caught.value)
    assert await older.ledger() == []
    assert await older.is_unlocked()


async def test_a_prepared_transaction_that_keeps_the_ledger_is_told_without_a_session(
    tmp_path: Path, postgres_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_migrations.ledger.LOCK_TIMEOUT", "50ms")
    with temporary_server(version=postgres_version, settings={"max_prepared_transactions": "1"}) as server:
        older = History(tmp_path / "migrations", create_async_engine(server.url()))
        older.sql("001_a", "CREATE TABLE a (x int);")
        await older.do(SEEDS)
        await older.do("BEGIN; SELECT FROM schema_migrations; PREPARE TRANSACTION 'left'")
        with pytest.raises(LedgerError, match="see pg_prepared_xacts, and end it"):
            await older.runner(retry_deadline=0.2).run_migrations()
        await older.engine.dispose()
