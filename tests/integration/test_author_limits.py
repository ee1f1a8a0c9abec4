"""An author's own time limits, exits and cancelled tasks, and the engine's deadline: each told as what it is."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import MigrationFailedError
from async_migrations.errors import RunStoppedError
from async_migrations.events import ConnectionLost
from tests.support.history import History
from tests.support.waiting import eventually

SLEEP = "await self.execute('SELECT pg_sleep(60)')"
CAUGHT = f"""
try:
    async with asyncio.timeout(0.1):
        {SLEEP}
except TimeoutError:
    pass
"""
FAILURES = {
    "not caught": (f"async with asyncio.timeout(0.1):\n    {SLEEP}", "a time limit was up"),
    "caught": (CAUGHT, "went on after a time limit of its own"),
    "caught, and gone on": (f"{CAUGHT}\nawait self.execute('SELECT 1')", "went on after a time limit"),
    "caught in a savepoint": (
        "async with self.engine.begin():" + CAUGHT.replace("\n", "\n    "),
        "went on after a time limit",
    ),
    "exit": ("raise SystemExit(0)", r"upgrade\(\) ended with SystemExit"),
    "cancelled task": (
        "task = asyncio.create_task(asyncio.sleep(60))\ntask.cancel()\nawait task",
        r"upgrade\(\) awaited a task that was cancelled",
    ),
    "isolation of the engine": (
        "async with self.engine.execution_options(isolation_level='SERIALIZABLE').connect():\n    pass",
        "asks for isolation_level='SERIALIZABLE'",
    ),
    "isolation of the connection": (
        "await self.connection.execution_options(isolation_level='REPEATABLE READ')",
        "asks for isolation_level='REPEATABLE READ'",
    ),
    "silent error": ("raise ValueError", "failed: ValueError. "),
    "unspeakable error": ("class E(Exception):\n    __str__ = None\nraise E", "its text cannot be shown"),
    "group": (
        "async with asyncio.TaskGroup() as group:\n    group.create_task(self.execute('SELECT 1/0'))",
        r"division by zero \(SQLSTATE 22012\)",
    ),
}


@pytest.mark.parametrize("attributes", ["", "transactional = False"], ids=["transaction", "steps"])
@pytest.mark.parametrize("what", FAILURES)
async def test_it_fails_once_and_says_why(history: History, what: str, attributes: str) -> None:
    body, reason = FAILURES[what]
    history.sql("001_first", "CREATE TABLE a (x int);")
    history.python(
        "002_limited",
        f"await self.execute('CREATE TABLE b (x int)')\n{body}",
        top="import asyncio",
        attributes=attributes,
    )
    with pytest.raises(MigrationFailedError, match=reason) as failed:
        await history.runner().run_migrations()
    # Nothing of the cancellation is left for the next await.
    await asyncio.sleep(0)
    assert failed.value.applied == ("001_first",)
    assert not history.told(ConnectionLost)
    assert await history.exists("b") == bool(attributes)
    assert await history.is_unlocked()


async def test_a_loss_while_no_statement_runs_is_a_lost_connection(history: History) -> None:
    own = "pid = (await self.execute('SELECT pg_backend_pid()')).scalar_one()\n"
    kill = (
        "if not killed:\n"
        "    killed.append(pid)\n"
        "    async with create_async_engine(self.engine.url, poolclass=NullPool).connect() as other:\n"
        "        await other.exec_driver_sql(f'SELECT pg_terminate_backend({pid}, 10000)')\n"
        "    await asyncio.sleep(0.1)\n"
    )
    imports = ("sqlalchemy.ext.asyncio import create_async_engine", "sqlalchemy.pool import NullPool")
    top = "\n".join(["import asyncio", *(f"from {each}" for each in imports), "killed = []"])
    history.python("001_a", own + kill, top=top)
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    (lost,) = history.told(ConnectionLost)
    assert "COMMIT inside" not in lost.reason


@pytest.fixture
async def slow_commit(history: History, database_url: str) -> Any:
    """Have the COMMIT of what writes to a table wait until a lock is free; yield what frees it."""
    await history.do(
        "CREATE TABLE slow (x int);"
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        yield connection
    await engine.dispose()


WAITS = """
SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.mark.usefixtures("slow_commit")
async def test_a_stop_during_a_commit_that_does_not_come_through_says_so(history: History) -> None:
    history.sql("001_a", "SELECT 1;")
    history.sql("002_b", "INSERT INTO slow VALUES (1);")
    runner = history.runner()
    run = asyncio.create_task(runner.run_migrations())
    await eventually(lambda: history.value(WAITS), deadline=20)
    runner.stop()
    with pytest.raises(RunStoppedError) as stopped:
        await run
    assert (stopped.value.applied, stopped.value.migration) == (("001_a",), "002_b")
    assert await history.value("SELECT count(*) FROM schema_migrations") == 1


async def test_autocommit_in_a_transaction_says_how_to_do_without(history: History) -> None:
    body = "await self.connection.execution_options(isolation_level='AUTOCOMMIT')"
    history.python("001_a", body)
    with pytest.raises(MigrationFailedError, match="set transactional = False"):
        await history.runner().run_migrations()
    history.python("001_a", body, attributes="transactional = False")
    assert (await history.runner().run_migrations()).applied == ("001_a",)


@pytest.mark.usefixtures("slow_commit")
@pytest.mark.parametrize("language", ["sql", "python"])
async def test_a_commit_has_the_deadline_of_its_migration(history: History, language: str) -> None:
    if language == "sql":
        history.sql("001_a", "INSERT INTO slow VALUES (1);")
    else:
        history.python("001_a", "await self.execute('INSERT INTO slow VALUES (1)')")
    with pytest.raises(MigrationFailedError, match=r"did not finish within its deadline of 0\.5 s"):
        await asyncio.wait_for(history.runner(migration_deadline=0.5).run_migrations(), 20)
    assert await history.value("SELECT count(*) FROM schema_migrations") == 0
    assert await history.value("SELECT count(*) FROM slow") == 0
