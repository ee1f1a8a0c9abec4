"""MigrationRunner: each method on a real database."""

import asyncio
import logging
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.event import listens_for
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationFailedError, MigrationRunner, Report, State
from async_migrations.connector import EngineConnector
from async_migrations.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    HistoryError,
    IrreversibleError,
    LedgerError,
    LockWaitError,
    NotCurrentError,
)
from async_migrations.events import (
    ConnectionLost,
    DatabaseAwaited,
    Event,
    HistoryWarning,
    LedgerAwaited,
    LockAwaited,
    MigrationMessage,
    MigrationRetried,
    MigrationsPending,
)
from async_migrations.ledger.holders import patiently
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.support.history import HERE, History
from tests.support.waiting import eventually

WANTED = """ FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


WAITS = """SELECT count(*) > 0 FROM pg_stat_activity
 WHERE wait_event_type = 'Lock' AND datname = current_database() AND application_name = 'async_migrations: 002_b'"""


def three(history: History) -> None:
    history.sql("001_a", "-- description: Make a\nCREATE TABLE a (x int);")
    history.python(
        "002_b", "await self.execute('CREATE TABLE b (x int)')", downgrade="await self.execute('DROP TABLE b')"
    )
    history.sql("003_c", "CREATE TABLE c (x int);")
    history.sql("003_c.down", "DROP TABLE c;")


async def test_a_target_is_included_and_named_by_number_or_name(history: History) -> None:
    three(history)
    assert (await history.runner().run_migrations(1)).applied == ("001_a",)
    assert (await history.runner().run_migrations("002")).applied == ("002_b",)
    assert (await history.runner().run_migrations("003_c")).applied == ("003_c",)
    with pytest.raises(ConfigurationError, match="Did you mean 003_c"):
        await history.runner().run_migrations("03_c")


async def test_the_ledger_holds_the_seeds_columns_and_ours(history: History) -> None:
    three(history)
    await history.runner().run_migrations()
    rows = await history.rows(
        "SELECT id, migration_name, description, execution_time_ms >= 0, applied_by LIKE '%@%:%', "
        "length(checksum), length(raw_checksum), dirty FROM schema_migrations ORDER BY id"
    )
    assert [row[1:3] for row in rows] == [("001_a", "Make a"), ("002_b", "The migration 002_b."), ("003_c", "")]
    assert all(row[3:] == (True, True, 64, 64, False) for row in rows)
    assert isinstance(await history.value("SELECT applied_at FROM schema_migrations LIMIT 1"), datetime)


async def test_down_to_a_target_and_up_again(history: History) -> None:
    three(history)
    await history.runner().run_migrations()
    assert (await history.runner().downgrade(1)).applied == ("003_c", "002_b")
    assert not await history.exists("b")
    assert not await history.exists("c")
    assert await history.ledger() == ["001_a"]
    assert (await history.runner().run_migrations()).applied == ("002_b", "003_c")


async def test_one_migration_without_a_way_back_stops_all_of_them(history: History) -> None:
    three(history)
    await history.runner().run_migrations()
    with pytest.raises(IrreversibleError, match="001_a cannot be downgraded"):
        await history.runner().downgrade(0)
    assert len(await history.ledger()) == 3


async def test_a_downgrade_that_fails_keeps_its_row(history: History) -> None:
    history.python("001_a", "pass", downgrade="await self.execute('DROP TABLE none')")
    await history.runner().run_migrations()
    with pytest.raises(MigrationFailedError, match="The downgrade of 001_a failed") as caught:
        await history.runner().downgrade(0)
    assert caught.value.sqlstate == "42P01"
    assert await history.ledger() == ["001_a"]


async def test_a_non_transactional_way_back(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    history.sql("001_a.down", "DROP TABLE a;")
    history.sql("002_b", "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON a (x);")
    history.sql("002_b.down", "-- transactional: false\nDROP INDEX CONCURRENTLY ix;")
    await history.runner().run_migrations()
    assert (await history.runner().downgrade("001_a")).applied == ("002_b",)
    assert not await history.exists("ix")
    assert (await history.runner().downgrade(0)).applied == ("001_a",)


async def test_status_shows_every_state(history: History) -> None:
    three(history)
    history.sql("004_d", "-- transactional: false\nSELECT 1; SELECT 1/0;")
    history.sql("005_e", "SELECT 1;")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    await history.do("INSERT INTO schema_migrations (migration_name) VALUES ('002_gone'), ('777_newer')")
    history.sql("001_a", "CREATE TABLE a (x int, y int);")
    status = await history.runner().status()
    assert {each.name: each.state for each in status} == {
        "001_a": State.CHANGED,
        "002_b": State.APPLIED,
        "002_gone": State.MISSING,
        "003_c": State.APPLIED,
        "004_d": State.DIRTY,
        "005_e": State.PENDING,
        "777_newer": State.UNKNOWN,
    }
    kinds = {finding.kind for finding in await history.runner().verify()}
    assert kinds == {"changed", "missing", "unknown", "dirty", "pending"}


EAST = "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Etc/GMT-14''', current_database()); END$$"
"""So that a time may be in a year of Python's at the server, and not in UTC."""

TIMES = ["infinity", "-infinity", "0044-03-15 12:00 BC", "10000-01-01", "0001-01-01 00:00+14"]


@pytest.mark.parametrize("applied_at", TIMES)
async def test_a_time_that_python_does_not_have_is_none(history: History, applied_at: str) -> None:
    three(history)
    await history.do(EAST)
    await history.engine.dispose()  # new connections have it
    await history.runner().run_migrations()
    await history.do(f"UPDATE schema_migrations SET applied_at = '{applied_at}' WHERE migration_name = '002_b'")
    status = await history.runner().status()
    assert [(each.state, each.applied_at is None) for each in status] == [
        (State.APPLIED, False),
        (State.APPLIED, True),
        (State.APPLIED, False),
    ]
    assert (await history.runner().downgrade(1)).applied == ("003_c", "002_b")


async def test_a_plan_changes_nothing(history: History) -> None:
    three(history)
    plan = await history.runner().plan("002")
    assert [file.name for file in plan.pending] == ["001_a", "002_b"]
    assert not await history.exists("schema_migrations")


async def test_comments_and_formatting_change_nothing(history: History) -> None:
    three(history)
    await history.runner().run_migrations()
    history.sql("001_a", "-- description: Make a\n/* why */ CREATE  TABLE a\n(x int);")
    path = history.directory / "002_b.py"
    path.write_text('"""A docstring."""\n# A comment\n' + path.read_text())
    assert (await history.runner().run_migrations()).applied == ()
    assert await history.runner().verify() == []


@pytest.mark.parametrize("choice", ["error", "warn", "ignore"])
@pytest.mark.parametrize("kind", ["changed", "missing", "out_of_order", "unknown"])
async def test_each_policy_is_an_error_a_warning_or_nothing(history: History, kind: str, choice: str) -> None:
    history.sql("002_b", "CREATE TABLE b (x int);")
    await history.runner().run_migrations()
    if kind == "changed":
        history.sql("002_b", "CREATE TABLE b (y int);")
    elif kind == "out_of_order":
        history.sql("001_a", "CREATE TABLE a (x int);")
    else:
        name = "001_gone" if kind == "missing" else "003_newer"
        await history.do(f"INSERT INTO schema_migrations (migration_name) VALUES ('{name}')")
    runner = history.runner(**{kind: choice})
    if choice == "error":
        with pytest.raises(HistoryError, match=r"002_b|001_gone|003_newer|001_a"):
            await runner.run_migrations()
        return
    await runner.run_migrations()
    assert [warning.kind for warning in history.told(HistoryWarning)] == ([kind] if choice == "warn" else [])
    assert await history.exists("a") == (kind == "out_of_order")


async def test_the_defaults_let_the_seeds_semantics_through(history: History) -> None:
    history.sql("002_b", "SELECT 1;")
    await history.runner().run_migrations()
    history.sql("001_a", "SELECT 1;")
    await history.do("INSERT INTO schema_migrations (migration_name) VALUES ('009_newer')")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    history.sql("002_b", "SELECT 2;")
    with pytest.raises(HistoryError, match="was changed after it was applied"):
        await history.runner().run_migrations()


async def test_stamp_records_without_running(history: History) -> None:
    three(history)
    assert (await history.runner().stamp("002", "003_c")).applied == ("002_b", "003_c")
    assert not await history.exists("b")
    assert (await history.runner().run_migrations()).applied == ("001_a",)


async def test_a_migration_that_is_stamped_by_two_names_is_recorded_once(history: History) -> None:
    three(history)
    assert (await history.runner().stamp(1, "001_a", "001", 2)).applied == ("001_a", "002_b")
    assert await history.ledger() == ["001_a", "002_b"]


async def test_a_baseline_records_all_up_to_its_target_on_an_empty_ledger_only(history: History) -> None:
    three(history)
    assert (await history.runner().baseline(2)).applied == ("001_a", "002_b")
    with pytest.raises(LedgerError, match="A baseline needs an empty ledger"):
        await history.runner().baseline(3)
    assert (await history.runner().run_migrations()).applied == ("003_c",)


async def test_repair_accepts_changed_files_and_clears_dirty_rows(history: History) -> None:
    three(history)
    history.sql("004_d", "-- transactional: false\nSELECT 1; SELECT 1/0;")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    history.sql("001_a", "CREATE TABLE a (x int, y int);")
    history.sql("004_d", "SELECT 4;")
    assert (await history.runner().repair()).applied == ("001_a", "004_d")
    assert (await history.runner().run_migrations()).applied == ("004_d",)
    assert await history.runner().verify() == []


async def test_a_dirty_migration_that_became_transactional_is_claimed(history: History) -> None:
    history.sql("001_a", "-- transactional: false\nCREATE TABLE a (x int); SELECT 1/0;")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    history.sql("001_a", "CREATE TABLE b (x int); SELECT 1;")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows("SELECT migration_name, dirty FROM schema_migrations") == [("001_a", False)]


async def test_waiting_until_current_ends_with_the_leaders_commit(history: History) -> None:
    three(history)
    waiter = asyncio.create_task(history.runner().wait_until_current(30))
    await history.runner().run_migrations()
    report = await waiter
    assert report.applied == ()
    assert report.waited < 30


async def test_waiting_until_current_tells_what_is_pending_and_who_migrates(history: History) -> None:
    history.python("001_slow", "await self.execute('SELECT pg_advisory_xact_lock(42)')")
    history.sql("002_b", "CREATE TABLE b (x int)")
    async with history.engine.connect() as blocker, asyncio.TaskGroup() as tasks:
        await blocker.exec_driver_sql("SELECT pg_advisory_lock(42)")
        tasks.create_task(history.runner(lock_timeout=None, observers=()).run_migrations())
        tasks.create_task(history.runner().wait_until_current(60))

        async def word() -> list[LockAwaited]:
            return history.told(LockAwaited)

        awaited, *_ = await eventually(word, deadline=60)
        await blocker.exec_driver_sql("SELECT pg_advisory_unlock(42)")
    assert awaited.migration == "001_slow"
    assert awaited.holder.startswith("The lock is held by pid ")
    assert history.told(MigrationsPending) == [MigrationsPending(("001_slow", "002_b"))]


async def test_waiting_until_current_ends_at_its_deadline(history: History) -> None:
    three(history)
    with pytest.raises(NotCurrentError, match=r"still lacks 3 migration\(s\), the next is 001_a"):
        await history.runner().wait_until_current(0.2)
    assert not await history.exists("schema_migrations")


@pytest.mark.parametrize("deadline", [None, "3", -1, float("nan"), True])
async def test_waiting_until_current_needs_a_number_of_seconds(history: History, deadline: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^deadline={deadline!r} is no number of seconds\.$"):
        await history.runner().wait_until_current(deadline)
    assert history.events == []


async def test_waiting_until_current_gives_up_connecting_at_its_own_deadline(history: History) -> None:
    three(history)
    history.engine = create_async_engine("postgresql+asyncpg://postgres@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnavailableError, match=r"or raise the deadline\.$"):
        await history.runner(connect_deadline=600).wait_until_current(0.5)
    assert {wait.deadline <= 0.5 for wait in history.told(DatabaseAwaited)} == {True}


async def test_waiting_until_current_waits_longer_for_a_database_than_connect_deadline(
    history: History, own_server: Server
) -> None:
    three(history)
    history.engine = create_async_engine(own_server.url(), poolclass=NullPool)
    own_server.stop()
    waiter = asyncio.create_task(history.runner(connect_deadline=0).wait_until_current(60))
    await eventually(lambda: asyncio.sleep(0, bool(history.told(DatabaseAwaited))))
    await asyncio.to_thread(own_server.start)
    await history.runner(observers=()).run_migrations()
    assert (await waiter).applied == ()


async def test_waiting_until_current_connects_again_for_what_is_left_of_its_deadline(
    history: History, own_server: Server
) -> None:
    three(history)
    history.engine = create_async_engine(own_server.url(), poolclass=NullPool)
    waiter = asyncio.create_task(history.runner(connect_deadline=600).wait_until_current(3))
    await eventually(lambda: asyncio.sleep(0, bool(history.told(MigrationsPending))))
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(DatabaseUnavailableError, match="or raise the deadline"):
        await waiter
    assert {wait.deadline < 3 for wait in history.told(DatabaseAwaited)} <= {True}


async def test_waiting_until_current_outlasts_what_ends_idle_sessions_of_its_role(history: History) -> None:
    three(history)
    await history.do(
        "DO $$BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || "
        "' SET idle_session_timeout = 100'; END$$"
    )
    await history.engine.dispose()  # new connections have it
    with pytest.raises(NotCurrentError):
        await history.runner().wait_until_current(1.5)
    assert history.told(ConnectionLost) == []


async def test_several_ledgers_and_runners_in_one_process_do_not_meet(history: History, tmp_path: Path) -> None:
    histories = [History(tmp_path / f"service{n}", history.engine) for n in range(4)]
    for number, each in enumerate(histories):
        each.sql("001_a", f"CREATE TABLE of_{number} (x int);")
        each.python("002_b", f"await self.execute('CREATE TABLE b_{number} (x int)')")
    runs = [each.runner(table=f"ledger_{n}") for n, each in enumerate(histories) for _ in range(3)]
    reports = await asyncio.gather(*(runner.run_migrations() for runner in runs))
    assert sorted(name for report in reports for name in report.applied) == ["001_a"] * 4 + ["002_b"] * 4


async def test_a_pool_of_one_connection_is_enough(history: History, database_url: str) -> None:
    three(history)
    history.sql("004_d", "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON a (x);")
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=3)
    runner = MigrationRunner(engine, directory=history.directory, observers=())
    assert len((await runner.run_migrations()).applied) == 4
    async with engine.connect() as connection:
        settings = (await connection.exec_driver_sql("SHOW client_connection_check_interval")).scalar_one()
        assert settings == "0", "the pool got a connection with our settings"
    await engine.dispose()


async def test_the_engine_of_the_service_keeps_its_connections_when_nothing_is_pending(
    history: History, database_url: str
) -> None:
    three(history)
    engine = create_async_engine(database_url, pool_size=1)
    runner = MigrationRunner(engine, directory=history.directory, observers=())
    await runner.run_migrations()
    async with engine.connect() as connection:
        first = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
    await runner.run_migrations()
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one() == first
    await engine.dispose()


KILLED_ONCE = """
if not killed:
    killed.append(True)
    await self.execute("SELECT pg_terminate_backend(pg_backend_pid())")
"""


async def test_a_file_is_imported_once_although_the_connection_is_lost(history: History) -> None:
    # A module that is imported again has forgotten that it has killed its connection.
    there, back = KILLED_ONCE, KILLED_ONCE.replace("killed", "killed_back")
    history.python("001_users", there, downgrade=back, top="killed, killed_back = [], []")
    assert (await history.runner().run_migrations()).applied == ("001_users",)
    assert len(history.told(ConnectionLost)) == 1
    assert (await history.runner().downgrade(0)).applied == ("001_users",)
    assert len(history.told(ConnectionLost)) == 2


MODELS = """
from models_of_the_service import metadata
from sqlalchemy import Column, Integer, Table
table = Table("drafts", metadata, Column("id", Integer, primary_key=True))
"""


async def test_runs_of_one_process_import_a_file_once(
    history: History, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLAlchemy refuses to define a table twice.
    monkeypatch.setitem(sys.modules, "models_of_the_service", SimpleNamespace(metadata=MetaData()))
    history.python("001_drafts", "self.log_info(table.name)", top=MODELS)
    runs = (history.runner(schema=f"service_{n}").run_migrations() for n in range(3))
    assert [report.applied for report in await asyncio.gather(*runs)] == [("001_drafts",)] * 3
    other = History(history.directory, create_async_engine(await make_database()))
    assert (await other.runner().run_migrations()).applied == ("001_drafts",)
    await other.engine.dispose()


TABLE_AWAITED = f"""SELECT count(*) > 0 FROM pg_locks
 WHERE relation = 'schema_migrations'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted AND {HERE}"""

BOTH = pytest.mark.parametrize("language", ["sql", "python"])
TAKEN = "INSERT INTO schema_migrations (migration_name) VALUES ('002_b')"


def two(history: History, language: str) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    if language == "sql":
        history.sql("002_b", "CREATE TABLE b (x int);")
        history.sql("002_b.down", "DROP TABLE b;")
    else:
        create, drop = "await self.execute('CREATE TABLE b (x int)')", "await self.execute('DROP TABLE b')"
        history.python("002_b", create, downgrade=drop)


@BOTH
async def test_a_row_that_another_session_holds_is_waited_for_until_the_deadline(
    history: History, language: str
) -> None:
    two(history, language)
    await history.runner().stamp()
    runner = history.runner(wait_deadline=0.3, retry_deadline=60)
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql(TAKEN)
        with pytest.raises(
            LockWaitError, match=r"applied nothing after 001_a\. Another session holds the row of 002_b"
        ):
            await runner.run_migrations()
        await other.rollback()
        assert (await runner.run_migrations()).applied == ("002_b",)
        await other.exec_driver_sql("SELECT * FROM schema_migrations FOR UPDATE")
        with pytest.raises(LockWaitError, match="application_name 'async_migrations: 002_b'"):
            await runner.downgrade(1)
    assert await history.exists("b")
    assert history.told(MigrationRetried) == []


@BOTH
async def test_a_ledger_that_is_locked_when_a_row_turns_out_to_be_taken_is_waited_for_until_the_deadline(
    history: History, language: str
) -> None:
    two(history, language)
    await history.runner().stamp()
    async with asyncio.timeout(30), history.engine.connect() as other, history.engine.connect() as third:
        await other.exec_driver_sql(TAKEN)
        run = asyncio.create_task(history.runner(wait_deadline=2, retry_deadline=60).run_migrations())
        await eventually(lambda: history.value(WAITS))
        # Behind the claim, and before whatever the run asks the ledger next.
        lock = asyncio.create_task(third.exec_driver_sql("LOCK TABLE schema_migrations"))
        await eventually(lambda: history.value(TABLE_AWAITED))
        await other.commit()
        await lock
        with pytest.raises(LockWaitError, match=r"locked rows of .*, or the whole table\. It is held by pid \d+"):
            await run
    assert not await history.exists("b")


async def test_the_beginning_of_a_migration_outside_a_transaction_waits_for_a_row_until_the_deadline(
    history: History,
) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    await history.runner().run_migrations()
    history.sql("002_b", "-- transactional: false\nCREATE TABLE b (x int);")
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql(TAKEN)
        with pytest.raises(LockWaitError, match=r"Another session holds the row of 002_b"):
            await history.runner(wait_deadline=0.3, retry_deadline=60).run_migrations()
        assert not await history.exists("b")
        await other.rollback()
    assert (await history.runner().run_migrations()).applied == ("002_b",)


@pytest.mark.parametrize(
    ("correct", "held"),
    [
        (lambda runner: runner.stamp(2), TAKEN),
        (lambda runner: runner.baseline(2), TAKEN),
        (lambda runner: runner.repair(), "UPDATE schema_migrations SET description = 'x'"),
    ],
    ids=["stamp", "baseline", "repair"],
)
async def test_a_correction_waits_for_what_another_session_has_locked_until_the_deadline(
    history: History, correct: Callable[[MigrationRunner], Awaitable[Report]], held: str
) -> None:
    two(history, "sql")
    await history.runner().stamp(*([1] if "INTO" not in held else []))
    history.sql("001_a", "SELECT 1;")
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql("SET application_name = 'other'")
        await other.exec_driver_sql(held)
        with pytest.raises(LockWaitError, match=r"locked rows of .* held by pid \d+ \(other\), idle in transaction"):
            await correct(history.runner(wait_deadline=0.3))
        await other.rollback()
    assert (await correct(history.runner(wait_deadline=0.3))).applied


@BOTH
async def test_the_wait_for_a_row_counts(history: History, language: str) -> None:
    two(history, language)
    await history.runner().stamp()
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql(TAKEN)
        run = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: history.value(WAITS))
        await other.exec_driver_sql("SELECT pg_sleep(0.2)")
        await other.commit()
        report = await run
    assert report.applied == ("001_a",)
    assert report.waited >= 0.2


@BOTH
async def test_a_row_that_comes_meanwhile_and_is_dirty_is_no_row_of_an_applied_one(
    history: History, language: str
) -> None:
    two(history, language)
    await history.runner().run_migrations(1)
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql("INSERT INTO schema_migrations (migration_name, dirty) VALUES ('002_b', true)")
        run = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: history.value(WAITS))
        await other.commit()
        assert (await run).applied == ("002_b",)
    assert await history.exists("b")
    assert not await history.value("SELECT bool_or(dirty) FROM schema_migrations")


@BOTH
async def test_a_lock_that_is_not_the_rows_is_tried_again_whatever_the_deadline(
    history: History, language: str
) -> None:
    await history.do("CREATE TABLE busy ()")
    if language == "sql":
        history.sql("001_a", "ALTER TABLE busy ADD x int;")
    else:
        history.python("001_a", "await self.execute('ALTER TABLE busy ADD x int')")
    async with asyncio.timeout(30), history.engine.connect() as other:
        await other.exec_driver_sql("LOCK TABLE busy")
        run = asyncio.create_task(history.runner(wait_deadline=0.05, lock_timeout=0.1).run_migrations())
        await eventually(lambda: asyncio.sleep(0, history.told(MigrationRetried)))
        await other.commit()
        assert (await run).applied == ("001_a",)


async def test_an_observer_that_fails_stops_nothing(history: History, caplog: pytest.LogCaptureFixture) -> None:
    three(history)

    def broken(event: Event) -> None:
        raise RuntimeError(type(event).__name__)

    assert len((await history.runner(observers=(broken,)).run_migrations()).applied) == 3
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "An observer failed on RunStarted")
    assert record.exc_info


async def test_an_observer_that_fails_again_is_told_of_to_who_looks_closely(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    three(history)
    caplog.set_level(logging.DEBUG, "async_migrations")
    told: list[Event] = []

    def broken(event: Event) -> None:
        told.append(event)
        raise RuntimeError(type(event).__name__)

    await history.runner(observers=(broken,)).run_migrations()
    failures = [record.levelname for record in caplog.records if record.message.startswith("An observer failed on")]
    assert failures == ["ERROR", *["DEBUG"] * (len(told) - 1)]


async def test_the_start_up_log_is_the_seeds(history: History, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "async_migrations")
    history.python(
        "001_audit_log",
        "self.log_info('Creating audit_logs table...')\nreturn {'tables_created': 1, 'indexes_created': 5}",
        attributes='description = "Add audit_logs table for tracking user activities and system events"',
    )
    rule = "=" * 60
    start = [rule, "Starting database migration process", rule]
    await history.runner(observers=None).run_migrations()
    lines = [re.sub(r"\d+ms", "45ms", record.message) for record in caplog.records]
    assert lines == [
        *start,
        "Creating schema_migrations tracking table",
        "✓ schema_migrations table created",
        "Discovered 1 migration file(s)",
        "▶ 001_audit_log: Add audit_logs table for tracking user activities and system events",
        "[001_audit_log] Creating audit_logs table...",
        "✓ 001_audit_log: Completed in 45ms (tables: 1, columns: 0, indexes: 5)",
        rule,
        "Migration summary: 1 migration(s) applied, 1 table(s) created, 0 column(s) added, 5 index(es) created",
        rule,
    ]
    caplog.clear()
    await history.runner(observers=None).run_migrations()
    assert [record.message for record in caplog.records] == [
        *start,
        "Discovered 1 migration file(s)",
        "⊘ 001_audit_log: Already applied, skipping",
        rule,
        "Database schema is up to date - no migrations needed",
        rule,
    ]


async def test_the_lock_is_seen_and_ended_from_outside(history: History) -> None:
    started = asyncio.Event()

    def watch(event: Event) -> None:
        if type(event).__name__ == "MigrationMessage":
            started.set()

    history.python("001_slow", "self.log_info('x')\nawait self.execute('SELECT pg_sleep(60)')")
    assert await history.runner().holder() is None
    run = asyncio.create_task(history.runner(observers=(watch,), connect_deadline=5).run_migrations())
    await asyncio.wait_for(started.wait(), 10)
    holder = await history.runner().holder()
    assert holder is not None
    assert holder.migration == "001_slow"
    assert f"pid {holder.pid}" in str(holder)
    history.sql("001_slow", "SELECT 1;")
    (history.directory / "001_slow.py").unlink()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await history.runner().run_migrations()).applied == ("001_slow",)


Ask = Callable[[], Awaitable[bool]]


async def test_runners_of_one_process_elect_one_leader(history: History, server: Server) -> None:
    assert server.is_running()
    three(history)
    history.sql("004_d", "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON a (x);")
    reports = await asyncio.gather(*(history.runner().run_migrations() for _ in range(10)))
    assert sorted(name for report in reports for name in report.applied) == ["001_a", "002_b", "003_c", "004_d"]
    assert await history.is_unlocked()


MIGRATIONS: dict[str, Callable[[History], object]] = {
    "a SQL file": lambda history: history.sql("004_d", "CREATE TABLE d (x int);"),
    "a Python file": lambda history: history.python("004_d", "await self.execute('CREATE TABLE d (x int)')"),
    "SQL in steps": lambda history: history.sql("004_d", "-- transactional: false\nCREATE TABLE d (x int);"),
}


@pytest.mark.parametrize("kind", MIGRATIONS)
async def test_a_ledger_whose_sequence_lags_behind_stops_the_run_and_says_how_to_mend_it(
    history: History, kind: str
) -> None:
    three(history)
    await history.runner().run_migrations()
    await history.do("ALTER SEQUENCE schema_migrations_id_seq RESTART")
    MIGRATIONS[kind](history)
    with pytest.raises(MigrationFailedError, match="schema_migrations_pkey") as failed:
        await history.runner().run_migrations()
    (mend,) = re.findall(r"SELECT setval\(.*\);", str(failed.value))
    await history.do(mend)
    assert (await history.runner().run_migrations()).applied == ("004_d",)
    assert await history.exists("d")


@pytest.mark.parametrize("kind", MIGRATIONS)
async def test_a_ledger_that_takes_no_row_stops_the_run(history: History, kind: str) -> None:
    three(history)
    await history.runner().run_migrations()
    await history.do(
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER nothing BEFORE INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION nothing()"
    )
    MIGRATIONS[kind](history)
    with pytest.raises(MigrationFailedError, match="ledger"):
        await history.runner().run_migrations()
    assert not await history.exists("d")


async def test_a_migration_that_records_itself_is_not_taken_for_another_replicas(history: History) -> None:
    three(history)
    by_hand = "INSERT INTO schema_migrations (migration_name, description) VALUES ('004_d', 'Manual application');"
    history.sql("004_d", f"CREATE TABLE d (x int);\n{by_hand}")
    with pytest.raises(MigrationFailedError, match="take that out") as failed:
        await history.runner().run_migrations()
    assert (failed.value.line, failed.value.applied) == (2, ("001_a", "002_b", "003_c"))
    assert not await history.exists("d")


async def test_what_another_runner_reverts_meanwhile_is_applied_again(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    history.python("002_b", "pass", downgrade="await self.execute('SELECT pg_advisory_lock_shared(7)')")
    await history.runner().run_migrations()
    history.sql("003_c", "CREATE TABLE c (x int);")
    async with history.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        reverting = asyncio.create_task(history.runner().downgrade(1))
        await eventually(lambda: history.value("SELECT count(*) > 0" + WANTED))
        waiting = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: asyncio.sleep(0, bool(history.told(LockAwaited))))
        await connection.exec_driver_sql("SELECT pg_advisory_unlock(7)")
    assert (await reverting).applied == ("002_b",)
    assert (await waiting).applied == ("002_b", "003_c")


async def test_the_way_back_of_a_file_may_be_non_transactional_by_itself(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int); CREATE INDEX ix ON a (x);")
    history.sql("001_a.down", "-- transactional: false\nDROP INDEX CONCURRENTLY ix;\nDROP TABLE a;")
    await history.runner().run_migrations()
    assert (await history.runner().downgrade(0)).applied == ("001_a",)
    assert not await history.exists("a")


async def test_a_waiter_says_who_holds_the_lock_and_which_migration_it_is_at(history: History) -> None:
    history.sql("001_quick", "SELECT 1;")
    history.python("002_slow", "await self.execute('SELECT pg_advisory_lock_shared(7)')")
    async with history.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        leader = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: history.value("SELECT count(*) > 0" + WANTED))
        waiter = history.runner()
        waiting = asyncio.create_task(waiter.run_migrations())
        await eventually(lambda: asyncio.sleep(0, bool(history.told(LockAwaited))))
        (pid,) = [row[0] for row in await history.rows("SELECT pid" + WANTED)]
        with pytest.raises(LockWaitError, match=rf"SELECT pg_terminate_backend\({pid}\)"):
            await history.runner(wait_deadline=0.2).run_migrations()
        await connection.exec_driver_sql("SELECT pg_advisory_unlock(7)")
    told = history.told(LockAwaited)[0]
    assert told.migration == "002_slow"
    assert f"pid {pid} (async_migrations: 002_slow) from 127.0.0.1, at migration 002_slow" in told.holder
    assert (await leader).applied == ("001_quick", "002_slow")
    assert (await waiting).applied == ()
    assert (await waiting).waited > 0.5


async def test_a_waiter_that_has_waited_checks_the_files_by_its_policy(history: History, tmp_path: Path) -> None:
    history.python("001_a", "await self.execute('SELECT pg_advisory_lock_shared(7)')")
    other = History(tmp_path / "other", history.engine)
    other.python("001_a", "await self.execute('SELECT 2')")
    async with history.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        leader = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: history.value("SELECT count(*) > 0" + WANTED))
        waiter = asyncio.create_task(other.runner().run_migrations())
        await eventually(lambda: asyncio.sleep(0, bool(other.told(LockAwaited))))
        await connection.exec_driver_sql("SELECT pg_advisory_unlock(7)")
    assert (await leader).applied == ("001_a",)
    with pytest.raises(HistoryError, match=r"001_a\.py was changed"):
        await waiter


LOOKS: dict[str, Callable[[MigrationRunner], Awaitable[object]]] = {
    "run_migrations": lambda runner: runner.run_migrations(),
    "downgrade": lambda runner: runner.downgrade(0),
    "status": lambda runner: runner.status(),
    "plan": lambda runner: runner.plan(),
    "wait_until_current": lambda runner: runner.wait_until_current(0.6),
}


@pytest.mark.parametrize("name", LOOKS)
async def test_a_look_at_a_ledger_that_is_locked_has_an_end_and_a_face(
    history: History, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_migrations.ledger.holders.FIRST_LOOK", 0.5)
    three(history)
    await history.runner().run_migrations()
    async with history.engine.begin() as connection:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        await connection.exec_driver_sql("LOCK TABLE schema_migrations")
        with pytest.raises(LedgerError, match=rf"could not be read for \d+ s.*held by pid {pid}"):
            await asyncio.wait_for(LOOKS[name](history.runner(wait_deadline=0.6)), 20)
        assert history.told(LedgerAwaited)
    assert (await history.runner().run_migrations()).applied == ()


async def test_a_ledger_that_is_unlocked_in_time_is_read(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("async_migrations.ledger.holders.FIRST_LOOK", 0.5)
    three(history)
    await history.runner().run_migrations()
    async with history.engine.begin() as connection:
        await connection.exec_driver_sql("LOCK TABLE schema_migrations")
        look = asyncio.create_task(history.runner().status())
        await eventually(lambda: asyncio.sleep(0, bool(history.told(LedgerAwaited))))
    assert len(await asyncio.wait_for(look, 20)) == 3


HURRIED = {
    "lock_timeout": {"server_settings": {"lock_timeout": "100"}},
    "statement_timeout": {"server_settings": {"statement_timeout": "100"}},
    "command_timeout": {"command_timeout": 0.1},
}


def hurried(history: History, limit: str) -> None:
    """Have the service's sessions end what takes longer than a request may."""
    history.engine = create_async_engine(history.engine.url, poolclass=NullPool, connect_args=HURRIED[limit])


@pytest.mark.parametrize("limit", HURRIED)
async def test_a_limit_that_is_made_for_requests_does_not_end_the_wait_for_a_locked_ledger(
    history: History, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_migrations.ledger.holders.FIRST_LOOK", 0.5)
    three(history)
    await history.runner().run_migrations(2)
    async with history.engine.begin() as connection:
        await connection.exec_driver_sql("LOCK TABLE schema_migrations")
        hurried(history, limit)
        run = asyncio.create_task(history.runner().run_migrations())
        await eventually(lambda: asyncio.sleep(0, bool(history.told(LedgerAwaited))))
    assert (await asyncio.wait_for(run, 20)).applied == ("003_c",)
    assert "It is held by pid" in history.told(LedgerAwaited)[0].holder


async def test_a_limit_of_the_driver_holds_for_authors_and_not_for_sql_files(history: History) -> None:
    hurried(history, "command_timeout")
    history.sql("001_a", "SELECT pg_sleep(0.3);")
    history.sql("001_a.down", "SELECT pg_sleep(0.3);")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert (await history.runner().downgrade(0)).applied == ("001_a",)
    (history.directory / "001_a.sql").write_text("SELECT 1;")
    history.python("002_b", "await self.execute('SELECT pg_sleep(60)')")
    with pytest.raises(MigrationFailedError, match="the driver's command_timeout"):
        await asyncio.wait_for(history.runner().run_migrations(), 20)


async def test_a_server_that_only_takes_long_is_not_said_to_have_locked_the_ledger(history: History) -> None:
    said: list[str] = []
    session = await EngineConnector(history.engine).open()
    with pytest.raises(LedgerError, match="nobody has locked its table, and there was no answer"):
        await patiently(
            session,
            "schema_migrations",
            lambda: session.send("SELECT pg_sleep(60)"),
            lambda word, _waited: said.append(word),
            deadline=0,
        )
    await session.close()
    assert said[0].startswith("Nobody holds it, and there was no answer in")


async def test_every_migration_runs_as_whom_the_services_listener_has_made_of_the_session(history: History) -> None:
    role = f"plain_{secrets.token_hex(4)}"
    await history.do(f"CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}")

    @listens_for(history.engine.sync_engine, "connect")
    def become(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION AUTHORIZATION {role}")
        cursor.close()
        connection.commit()

    await history.engine.dispose()  # new connections have it
    for name in ("001_a", "002_b", "003_c"):
        history.sql(name, f"CREATE TABLE {name[4:]} (x int);")
    await history.runner().run_migrations()
    owners = await history.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(role,)]
    await history.do(f"RESET SESSION AUTHORIZATION; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_nothing_to_roll_back_is_no_warning(history: History) -> None:
    history.sql("001_a", "SELECT 1;\nSELEC 2;")
    with pytest.raises(MigrationFailedError, match="syntax error"):
        await history.runner().run_migrations()
    assert history.told(MigrationMessage) == []


async def test_own_parameters_last_that_are_given_at_the_connections_start(history: History, tmp_path: Path) -> None:
    arguments = {"server_settings": {"app.tenant": "acme"}}
    tenants = History(tmp_path / "tenants", create_async_engine(history.engine.url, connect_args=arguments))
    for name in ("001_a", "002_b"):
        tenants.sql(name, f"CREATE TABLE {name[4:]} AS SELECT current_setting('app.tenant') AS tenant;")
    await tenants.runner().run_migrations()
    await tenants.engine.dispose()
    assert await history.rows("SELECT a.tenant, b.tenant FROM a, b") == [("acme", "acme")]
