"""A run is told to stop: what is at work may finish within its grace, nothing new begins, and the report is true."""

import asyncio
import contextvars
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import Event, MigrationRunner
from async_migrations.errors import RunStoppedError
from async_migrations.events import LockAwaited, MigrationProgress, StopAsked
from tests.conformance.aftermath import LOCKS, gone, watching
from tests.support.history import History
from tests.support.processes import COMMAND, Child, child_process
from tests.support.servers import ONE, serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.conformance

DOOR = 4_711
AT_THE_DOOR = (
    f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {DOOR} AND NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
LONG = 300


@pytest.fixture
def history(tmp_path: Path, engine: AsyncEngine) -> History:
    """Return three migrations; the second waits at a door, in the middle of its work."""
    history = History(tmp_path / "migrations", engine)
    history.sql("001_a", "CREATE TABLE a (id int);")
    history.python(
        "002_b",
        f"""
        await self.execute("CREATE TABLE b (id int)")
        await self.execute("SELECT pg_advisory_xact_lock({DOOR})")
        """,
        downgrade=f"""
        await self.execute("SELECT pg_advisory_xact_lock({DOOR})")
        await self.execute("DROP TABLE b")
        """,
    )
    history.sql("003_c", "CREATE TABLE c (id int);")
    history.sql("003_c.down", "DROP TABLE c;")
    return history


class Door:
    """A lock that the test holds and the second migration wants."""

    def __init__(self, keeper: asyncpg.Connection) -> None:
        self._keeper = keeper

    async def reached(self) -> None:
        await eventually(lambda: self._keeper.fetchval(AT_THE_DOOR), deadline=60)

    async def open(self) -> None:
        await self._keeper.execute(f"SELECT pg_advisory_unlock({DOOR})")


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    async with watching(database_url) as keeper:
        await keeper.execute(f"SELECT pg_advisory_lock({DOOR})")
        yield Door(keeper)


def runner_of(history: History, grace: float) -> MigrationRunner:
    return history.runner(grace=grace, lock_timeout=None)


async def applied(witness: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await witness.fetch("SELECT migration_name FROM schema_migrations ORDER BY 1")]


async def test_the_migration_at_work_finishes_and_no_other_begins(
    history: History, door: Door, witness: asyncpg.Connection
) -> None:
    runner = runner_of(history, LONG)
    run = asyncio.create_task(runner.run_migrations())
    await door.reached()
    assert runner.stop()
    await door.open()
    with pytest.raises(RunStoppedError) as stopped:
        await asyncio.wait_for(run, 60)
    assert (stopped.value.applied, stopped.value.migration) == (("001_a", "002_b"), None)
    assert await applied(witness) == ["001_a", "002_b"]
    assert history.told(StopAsked) == [StopAsked("002_b", LONG)]
    assert (await history.runner().run_migrations()).applied == ("003_c",)


async def test_a_second_call_cancels_at_once(history: History, door: Door, witness: asyncpg.Connection) -> None:
    runner = runner_of(history, LONG)
    run = asyncio.create_task(runner.run_migrations())
    await door.reached()
    assert runner.stop()
    assert runner.stop()
    with pytest.raises(RunStoppedError, match=r"002_b was cancelled\. Done before: 001_a") as stopped:
        await asyncio.wait_for(run, 60)
    assert (stopped.value.applied, stopped.value.migration) == (("001_a",), "002_b")
    assert await applied(witness) == ["001_a"]
    assert await witness.fetchval("SELECT to_regclass('b')") is None


@pytest.mark.parametrize("grace", [0, 0.2])
async def test_the_migration_is_cancelled_when_its_grace_is_over(
    history: History, door: Door, witness: asyncpg.Connection, grace: float
) -> None:
    runner = runner_of(history, grace)
    run = asyncio.create_task(runner.run_migrations())
    await door.reached()
    runner.stop()
    with pytest.raises(RunStoppedError) as stopped:
        await asyncio.wait_for(run, 60)
    assert stopped.value.migration == "002_b"
    assert await applied(witness) == ["001_a"]
    assert not runner.stop()


@pytest.mark.parametrize("grace", [0, 0.2])
async def test_a_signals_callback_may_ask_which_is_in_no_task(
    history: History, door: Door, witness: asyncpg.Connection, grace: float
) -> None:
    runner = runner_of(history, grace)
    run = asyncio.create_task(runner.run_migrations())
    await door.reached()
    asyncio.get_running_loop().call_soon(runner.stop, context=contextvars.Context())
    with pytest.raises(RunStoppedError, match="002_b was cancelled"):
        await asyncio.wait_for(run, 60)
    assert await applied(witness) == ["001_a"]


@pytest.mark.parametrize("grace", [0, 0.2])
async def test_a_migration_that_blocks_the_event_loop_after_the_stop_is_cancelled(
    history: History, witness: asyncpg.Connection, grace: float
) -> None:
    body = "self.progress(1)\ntry:\n    await asyncio.sleep(0.1)\nfinally:\n    time.sleep(600)"
    history.python("002_b", body, top="import asyncio, time")
    runner = runner_of(history, grace)
    run = asyncio.create_task(runner.run_migrations())
    await eventually(lambda: asyncio.sleep(0, bool(history.told(MigrationProgress))), deadline=60)
    runner.stop()
    with pytest.raises(RunStoppedError, match="002_b was cancelled"):
        await asyncio.wait_for(run, 60)
    assert await applied(witness) == ["001_a"]


async def test_a_run_that_gets_everything_done_in_its_grace_is_no_failure(history: History, door: Door) -> None:
    runner = runner_of(history, LONG)
    run = asyncio.create_task(runner.run_migrations(2))
    await door.reached()
    runner.stop()
    await door.open()
    assert (await asyncio.wait_for(run, 60)).applied == ("001_a", "002_b")


async def test_a_waiter_has_nothing_to_finish(history: History, door: Door, witness: asyncpg.Connection) -> None:
    said: list[Event] = []
    leader, waiter = runner_of(history, 0), runner_of(history, LONG).watched_by(said.append)
    leading = asyncio.create_task(leader.run_migrations())
    await door.reached()
    waiting = asyncio.create_task(waiter.run_migrations())

    async def waits() -> bool:
        return any(isinstance(event, LockAwaited) for event in said)

    await eventually(waits, deadline=60)
    waiter.stop()
    with pytest.raises(RunStoppedError, match="Nothing was done before") as stopped:
        await asyncio.wait_for(waiting, 60)
    assert stopped.value.migration is None
    await door.open()
    assert (await asyncio.wait_for(leading, 60)).applied == ("001_a", "002_b", "003_c")
    assert await witness.fetchval(LOCKS) == 0


async def test_a_downgrade_stops_between_two_migrations(
    history: History, door: Door, witness: asyncpg.Connection
) -> None:
    await door.open()
    await history.runner().run_migrations()
    await witness.execute(f"SELECT pg_advisory_lock({DOOR})")
    runner = runner_of(history, LONG)
    history.sql("001_a.down", "DROP TABLE a;")
    run = asyncio.create_task(runner.downgrade(0))
    await door.reached()
    runner.stop()
    await witness.execute(f"SELECT pg_advisory_unlock({DOOR})")
    with pytest.raises(RunStoppedError) as stopped:
        await asyncio.wait_for(run, 60)
    assert stopped.value.applied == ("003_c", "002_b")
    assert await applied(witness) == ["001_a"]


async def test_a_run_that_loses_its_connection_while_it_is_told_to_stop_does_not_come_back(
    history: History, door: Door, witness: asyncpg.Connection
) -> None:
    runner = runner_of(history, LONG)
    run = asyncio.create_task(runner.run_migrations())
    await door.reached()
    runner.stop()
    await witness.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'async_migrations: %' AND datname = current_database()"
    )
    with pytest.raises(RunStoppedError) as stopped:
        await asyncio.wait_for(run, 60)
    assert stopped.value.applied == ("001_a",)
    await gone(witness)
    assert await applied(witness) == ["001_a"]


@asynccontextmanager
async def upgrading(history: History, url: str, *arguments: str) -> AsyncIterator[Child]:
    environment = {
        "DATABASE_URL": url.replace("+asyncpg", ""),
        "ASYNC_MIGRATIONS_DIRECTORY": str(history.directory),
        "ASYNC_MIGRATIONS_LOCK_TIMEOUT": str(LONG),
        "ASYNC_MIGRATIONS_GRACE": str(LONG),
    }
    async with child_process(COMMAND, "upgrade", "--json", *arguments, environment=environment) as child:
        yield child


def told(child: Child) -> dict[str, object]:
    error: dict[str, object] = json.loads("\n".join(child.lines))["error"]
    return error


async def test_sigterm_lets_the_commands_migration_finish(
    history: History, database_url: str, door: Door, witness: asyncpg.Connection
) -> None:
    async with upgrading(history, database_url) as child:
        await door.reached()
        child.send_signal(signal.SIGTERM)
        await child.line_matching("Told to stop: 002_b may finish within 300 s, no other begins")
        await door.open()
        assert await child.wait() == 128 + signal.SIGTERM
    assert told(child)["done"] == ["001_a", "002_b"]
    assert told(child)["at_work"] is None
    assert await applied(witness) == ["001_a", "002_b"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cancels_the_commands_migration(
    history: History, database_url: str, door: Door, witness: asyncpg.Connection, second: signal.Signals
) -> None:
    async with upgrading(history, database_url) as child:
        await door.reached()
        child.send_signal(signal.SIGTERM)
        await child.line_matching("Told to stop: 002_b may finish")
        child.send_signal(second)
        assert await child.wait() == 128 + signal.SIGTERM
    assert (told(child)["done"], told(child)["at_work"]) == (["001_a"], "002_b")
    assert await applied(witness) == ["001_a"]
    await gone(witness)


async def test_the_option_is_stronger_than_the_environment(
    history: History, database_url: str, door: Door, witness: asyncpg.Connection
) -> None:
    async with upgrading(history, database_url, "--grace", "0.1") as child:
        await door.reached()
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 128 + signal.SIGTERM
    assert "002_b was cancelled. Done before: 001_a" in child.transcript()
    assert await applied(witness) == ["001_a"]


# uvicorn ends with 3 when SIGTERM comes before the application has started, and else as SIGTERM ends a process.
@pytest.mark.parametrize(("app", "code"), [("living", 3), ("gated", -signal.SIGTERM)])
async def test_a_services_migration_finishes_too(
    history: History, database_url: str, door: Door, witness: asyncpg.Connection, app: str, code: int
) -> None:
    async with serving(ONE, app, database_url, history.directory, GRACE=str(LONG)) as running:
        await door.reached()
        running.child.send_signal(signal.SIGTERM)
        await running.said("Told to stop: 002_b may finish within 300 s, no other begins", 1)
        await door.open()
        assert await running.child.wait() == code
        assert "Applied before it: 001_a, 002_b (stays so)." in running.text()
        assert "application up" not in running.text()
    assert await applied(witness) == ["001_a", "002_b"]
