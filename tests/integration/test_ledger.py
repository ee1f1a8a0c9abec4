"""The ledger's table, made and extended while others use it."""

import asyncio
import re
import secrets
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from async_migrations.errors import ConfigurationError, LedgerError
from async_migrations.events import LedgerAwaited, LedgerExtended
from async_migrations.testing.server import temporary_server
from tests.support.history import History
from tests.support.waiting import eventually

SEEDS = """CREATE TABLE schema_migrations (id SERIAL PRIMARY KEY, migration_name VARCHAR(255) UNIQUE NOT NULL,
 applied_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP, description TEXT, execution_time_ms INTEGER)"""

HELD_UP = """SELECT count(*) > 0 FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%CREATE SCHEMA%'"""


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


@pytest.mark.parametrize("quicker", ["", SEEDS.replace("TABLE ", "TABLE shop.")], ids=["schema", "table"])
async def test_who_loses_the_race_for_a_schema_makes_what_is_still_missing(history: History, quicker: str) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    async with history.engine.begin() as other:
        await other.exec_driver_sql("CREATE SCHEMA shop")
        if quicker:
            await other.exec_driver_sql(quicker)
        run = asyncio.create_task(history.runner(schema="shop").run_migrations())
        await eventually(lambda: history.value(HELD_UP))
    assert (await run).applied == ("001_a",)
    assert await history.value("SELECT migration_name FROM shop.schema_migrations WHERE NOT dirty") == "001_a"


async def test_several_ledgers_in_one_new_schema_at_once(history: History) -> None:
    history.sql("001_a", "SELECT 1;")
    for schema in (f"s{number}" for number in range(5)):
        runners = [history.runner(schema=schema, table=f"ledger_{number}") for number in range(4)]
        reports = await asyncio.gather(*(runner.run_migrations() for runner in runners))
        assert [report.applied for report in reports] == [("001_a",)] * 4


async def test_who_does_not_own_an_older_ledger_is_told_what_its_owner_has_to_run(older: History) -> None:
    role, owner = f"poor_{secrets.token_hex(4)}", f"owner_{secrets.token_hex(4)}"
    await older.do(
        f"CREATE ROLE {owner}; CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role};"
        f"ALTER TABLE schema_migrations OWNER TO {owner}; GRANT ALL ON schema_migrations TO {role}"
    )
    rich, older.engine = older.engine, create_async_engine(older.engine.url.set(username=role))
    with pytest.raises(LedgerError, match=f"belongs to the role {owner}: let that one run ALTER TABLE") as caught:
        await older.runner().run_migrations()
    await older.engine.dispose()
    older.engine = rich
    assert "GRANT" not in str(caught.value)
    (script,) = re.findall(r"run (ALTER TABLE .*); or migrate", str(caught.value))
    await older.do(script)
    assert (await older.runner().run_migrations()).applied == ("001_a",)
    await older.do(f"DROP OWNED BY {role}, {owner}; DROP ROLE {role}, {owner}")


OTHERS = {
    "view": ("CREATE VIEW other AS SELECT 1 AS migration_name", "its migration_name is no text"),
    "view of texts": (f"{SEEDS}; CREATE VIEW other AS SELECT * FROM schema_migrations", "is no table"),
    "numbers": ("CREATE TABLE other (migration_name int); INSERT INTO other VALUES (1)", "is no text"),
    "too few": (
        "CREATE TABLE other (id serial, migration_name text UNIQUE, applied_at timestamptz)",
        r"If it is a ledger: ALTER TABLE .* ADD COLUMN description TEXT, ADD COLUMN execution_time_ms INTEGER; If",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_cannot_be_a_ledger_is_refused_with_a_sentence(history: History, name: str) -> None:
    script, sentence = OTHERS[name]
    history.sql("001_a", "CREATE TABLE a (x int);")
    await history.do(script)
    with pytest.raises(LedgerError, match=sentence) as caught:
        await history.runner(table="other").run_migrations()
    assert "ive this engine a table of its own" in str(caught.value)
    assert not await history.exists("a")


@pytest.mark.parametrize("target", ["9", "typo"])
async def test_a_downgrade_to_what_there_is_not_touches_nothing(history: History, target: str) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    async with history.engine.connect() as connection:
        with pytest.raises(ConfigurationError, match=f"no migration '{target}'"):
            await history.runner().downgrade(target)
        assert not await history.exists("schema_migrations")
        await connection.rollback()


async def test_a_downgrade_of_nothing_makes_no_ledger(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    assert (await history.runner().downgrade(0)).applied == ()
    assert not await history.exists("schema_migrations")


async def test_a_type_that_has_the_ledgers_name_is_told_of(history: History) -> None:
    history.sql("001_a", "SELECT 1;")
    await history.do("CREATE TYPE schema_migrations AS ENUM ('a')")
    with pytest.raises(LedgerError, match='type "schema_migrations" already exists'):
        await history.runner().run_migrations()
