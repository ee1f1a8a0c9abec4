"""A COMMIT that a stop or a deadline crosses: what is committed is told as done, and what nobody knows as unknown."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import MigrationFailedError, MigrationRunner, Report, session, verdict
from async_migrations.errors import RunStoppedError
from async_migrations.events import MigrationApplied, MigrationReverted, MigrationUnsure
from async_migrations.testing.server import temporary_server
from tests.conformance.aftermath import watching
from tests.support.history import HERE, History
from tests.support.proxy import Action, Fault, WireProxy
from tests.support.waiting import eventually
from tests.support.wire import Message, Side

pytestmark = pytest.mark.conformance

VERBS = ("upgrade", "downgrade")
TOLD = {"upgrade": MigrationApplied, "downgrade": MigrationReverted}
AT_STANDBY = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
WAIT_NO_LONGER = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
QUEUED = f"""SELECT count(*) FROM pg_locks WHERE relation = to_regclass('schema_migrations') AND NOT granted
 AND mode = 'AccessExclusiveLock' AND {HERE}"""
AT_THE_LOCK = f"SELECT count(*) FROM pg_locks WHERE objid = 7 AND NOT granted AND {HERE}"


@pytest.fixture
def history(tmp_path: Path, engine: AsyncEngine) -> History:
    history = History(tmp_path / "migrations", engine)
    history.sql("001_a", "CREATE TABLE a (id int);")
    history.python(
        "002_b",
        "await self.execute('CREATE TABLE b (id int)')",
        downgrade="await self.execute('DROP TABLE b')",
    )
    return history


def crossing(runner: MigrationRunner, verb: str) -> asyncio.Future[Report]:
    return asyncio.ensure_future(runner.run_migrations() if verb == "upgrade" else runner.downgrade(1))


async def prepare(history: History, verb: str) -> list[str]:
    """Bring the database to before `verb`; return what its ledger says afterwards."""
    await history.runner().run_migrations(1 if verb == "upgrade" else None)
    history.events.clear()
    return ["001_a", "002_b"] if verb == "upgrade" else ["001_a"]


@pytest.fixture
async def standby_awaited(history: History, postgres_version: int) -> AsyncIterator[str]:
    """Have the history on a server whose COMMITs wait for a standby that is not there; yield its URL without that."""
    names = {"synchronous_standby_names": "nobody", "synchronous_commit": "local"}
    settings = {**names, "wal_level": "replica", "max_wal_senders": "2"}
    with temporary_server(version=postgres_version, settings=settings) as server:
        history.engine = create_async_engine(server.url())
        yield server.url()
        await history.engine.dispose()


def waiting_for_standby(url: str) -> AsyncEngine:
    return create_async_engine(url, connect_args={"server_settings": {"synchronous_commit": "on"}})


@pytest.mark.parametrize("verb", VERBS)
async def test_a_stop_while_the_commit_waits_for_a_standby_leaves_it_done(
    history: History, standby_awaited: str, verb: str
) -> None:
    after = await prepare(history, verb)
    at_ease, history.engine = history.engine, waiting_for_standby(standby_awaited)
    runner = history.runner()
    run = crossing(runner, verb)
    async with watching(standby_awaited) as witness:
        await eventually(lambda: witness.fetchval(AT_STANDBY), deadline=20)
        runner.stop()
        with pytest.raises(RunStoppedError) as stopped:
            await asyncio.wait_for(run, 60)
    await history.engine.dispose()
    history.engine = at_ease
    assert (stopped.value.applied, stopped.value.migration) == (("002_b",), None)
    assert [event.name for event in history.told(TOLD[verb])] == ["002_b"]
    assert await history.ledger() == after


@pytest.mark.parametrize("verb", VERBS)
async def test_a_commit_that_waits_for_a_standby_has_the_deadline_of_its_migration(
    history: History, standby_awaited: str, verb: str
) -> None:
    after = await prepare(history, verb)
    at_ease, history.engine = history.engine, waiting_for_standby(standby_awaited)
    await asyncio.wait_for(crossing(history.runner(migration_deadline=0.5), verb), 60)
    await history.engine.dispose()
    history.engine = at_ease
    assert [event.name for event in history.told(TOLD[verb])] == ["002_b"]
    assert await history.ledger() == after


@pytest.mark.parametrize("verb", VERBS)
async def test_the_books_of_a_migration_outside_a_transaction_wait_for_no_standby_before_the_end(
    history: History, standby_awaited: str, verb: str
) -> None:
    history.python(
        "002_b",
        "await self.step('look', lambda: self.execute('SELECT 1'))",
        downgrade="await self.step('look back', lambda: self.execute('SELECT 2'))",
        attributes="transactional = False",
    )
    after = await prepare(history, verb)
    at_ease, history.engine = history.engine, waiting_for_standby(standby_awaited)
    run = crossing(history.runner(), verb)
    async with watching(standby_awaited) as witness:
        await eventually(lambda: witness.fetchval(AT_STANDBY), deadline=20)
        steps = await witness.fetchval("SELECT steps FROM schema_migrations WHERE migration_name = '002_b'")
        assert len(json.loads(steps)) == 1
        await witness.execute(WAIT_NO_LONGER)
        await asyncio.wait_for(run, 60)
    await history.engine.dispose()
    history.engine = at_ease
    assert [event.name for event in history.told(TOLD[verb])] == ["002_b"]
    assert await history.ledger() == after


@asynccontextmanager
async def silence(
    history: History, monkeypatch: pytest.MonkeyPatch, *, everywhere: bool
) -> AsyncIterator[asyncio.Event]:
    """Have the history on a net that passes the first COMMIT and is silent from then on; yield what is set by then."""
    monkeypatch.setattr(session, "RELEASE_DEADLINE", 0.2)
    url = make_url(str(history.engine.url))

    async def hush(message: Message) -> None:
        if message.side is Side.CLIENT and message.body.endswith(b"COMMIT\0"):
            proxy.arm(Fault(message.index, Action.SILENCE, everywhere=everywhere))

    async with WireProxy("127.0.0.1", url.port or 0, on_message=hush) as proxy:
        direct, history.engine = history.engine, create_async_engine(proxy.url(str(url)))
        yield proxy.struck
        await history.engine.dispose()
    history.engine = direct


async def stopped_in_silence(
    history: History, verb: str, monkeypatch: pytest.MonkeyPatch, *, everywhere: bool
) -> RunStoppedError:
    """Stop a run whose COMMIT arrives and whose answer does not."""
    async with silence(history, monkeypatch, everywhere=everywhere) as silent:
        runner = history.runner()
        run = crossing(runner, verb)
        await asyncio.wait_for(silent.wait(), 60)
        runner.stop()
        with pytest.raises(RunStoppedError) as stopped:
            await asyncio.wait_for(run, 60)
    return stopped.value


@pytest.mark.parametrize("verb", VERBS)
async def test_a_lost_answer_to_a_commit_is_had_on_another_session(
    history: History, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = await prepare(history, verb)
    stopped = await stopped_in_silence(history, verb, monkeypatch, everywhere=False)
    assert (stopped.applied, stopped.migration, stopped.unsure) == (("002_b",), None, False)
    assert await history.ledger() == after


@pytest.mark.parametrize("verb", VERBS)
async def test_where_nobody_answers_it_is_said_that_nobody_knows(
    history: History, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "ANSWER_DEADLINE", 0.2)
    after = await prepare(history, verb)
    stopped = await stopped_in_silence(history, verb, monkeypatch, everywhere=True)
    assert (stopped.applied, stopped.migration, stopped.unsure) == ((), "002_b", True)
    assert "Whether 002_b was committed is not known: see `async-migrations status`." in str(stopped)
    assert history.told(MigrationUnsure) == [MigrationUnsure("002_b")]
    assert await history.ledger() == after


async def test_a_deadline_that_nobody_can_judge_says_so(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "ANSWER_DEADLINE", 0.2)
    after = await prepare(history, "upgrade")
    async with silence(history, monkeypatch, everywhere=True):
        with pytest.raises(MigrationFailedError, match=r"deadline of 2 s\. Whether it was committed is not known"):
            await asyncio.wait_for(history.runner(migration_deadline=2).run_migrations(), 60)
    assert await history.ledger() == after


async def test_a_locked_ledger_is_not_asked_for_ever(
    history: History, witness: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "ANSWER_DEADLINE", 0.2)
    await prepare(history, "upgrade")
    history.sql("003_c", "SELECT pg_advisory_xact_lock(7);")
    await witness.execute("SELECT pg_advisory_lock(7)")
    run = crossing(runner := history.runner(lock_timeout=None), "upgrade")
    async with watching(database_url) as locker:
        await eventually(lambda: history.value(AT_THE_LOCK))
        locking = asyncio.ensure_future(locker.execute("BEGIN; LOCK TABLE schema_migrations"))
        await eventually(lambda: witness.fetchval(QUEUED))
        runner.stop()
        with pytest.raises(RunStoppedError, match="Whether 003_c was committed is not known") as stopped:
            await asyncio.wait_for(run, 60)
        await locking
    assert stopped.value.applied == ("002_b",)


async def test_a_deadline_before_any_commit_asks_nobody(
    history: History, witness: asyncpg.Connection, database_url: str
) -> None:
    await prepare(history, "upgrade")
    history.python(
        "003_c", "await self.execute('SELECT pg_advisory_xact_lock(7)')\nraise TimeoutError('the author says so')"
    )
    await witness.execute("SELECT pg_advisory_lock(7)")
    run = crossing(history.runner(lock_timeout=None), "upgrade")
    async with watching(database_url) as locker:
        await eventually(lambda: history.value(AT_THE_LOCK))
        locking = asyncio.ensure_future(locker.execute("BEGIN; LOCK TABLE schema_migrations"))
        await eventually(lambda: witness.fetchval(QUEUED))
        await witness.execute("SELECT pg_advisory_unlock(7)")
        with pytest.raises(MigrationFailedError, match=r"the author says so\. Nothing of it stays"):
            await asyncio.wait_for(run, 60)
        await locking
