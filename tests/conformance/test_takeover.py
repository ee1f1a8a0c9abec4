"""A leader dies in the middle of a long statement, and what it left on the server is in its heir's way."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationFailedError, MigrationRunner
from async_migrations.events import LockAwaited
from async_migrations.testing.server import Server
from tests.conformance.aftermath import LEDGER, check, names
from tests.conformance.gate import DIRECTORY, INDEXES, RUNNING, STOPS, Stop, ended, shut
from tests.conformance.strikes import NOTICED, TAKE_OVER, TERMINATE, Log, migrate
from tests.support.history import HERE, History
from tests.support.pgbouncer import pgbouncer
from tests.support.proxy import Action, WireProxy
from tests.support.replica_launcher import open_engine
from tests.support.replicas import Launcher
from tests.support.waiting import eventually

pytestmark = pytest.mark.conformance

GUARD = f"SELECT pid FROM pg_locks WHERE {HERE} AND locktype = 'advisory' AND granted"
BOOKS = f"SELECT pid FROM pg_locks WHERE {HERE} AND relation = 'schema_migrations'::regclass AND mode = 'RowShareLock'"
PORTS = (
    "SELECT client_port FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'witness' "
    "AND backend_type = 'client backend' AND client_port > 0"
)
SOCKETS = Path("/proc/net/tcp")
KEEPALIVE = "02"
LOST_NODE = 11.0
"""Seconds after which a node that vanished without a word must not hold anything any more."""

each_stop = pytest.mark.parametrize("stop", STOPS, ids=[stop.migration for stop in STOPS])
each_build = pytest.mark.parametrize(
    "stop", [stop for stop in STOPS if stop.is_build], ids=[stop.migration for stop in STOPS if stop.is_build]
)


def rest(stop: Stop) -> list[str]:
    return names(DIRECTORY)[stop.number - 1 :]


@each_stop
async def test_a_killed_leaders_statement_is_ended_and_the_waiter_takes_over(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        pid = await gate.reached()
        heir = await launcher.start(database_url, DIRECTORY)
        await heir.event("LockAwaited")
        killed_at = time.time()
        leader.kill()
        taken = await heir.event("LockTaken")
        assert taken["at"] - killed_at < NOTICED + TAKE_OVER
        await ended(witness, pid, deadline=NOTICED + TAKE_OVER)
        if not stop.is_build:
            await witness.execute("SELECT pg_cancel_backend($1)", await gate.reached())
            assert "57014" in (await heir.outcome()).error
        await gate.open()
        if not stop.is_build:
            heir = await launcher.start(database_url, DIRECTORY)
        assert list((await heir.outcome()).applied) == rest(stop)
    await check(witness, DIRECTORY, INDEXES)


@each_build
async def test_an_orphaned_build_behind_a_pooler_is_outlived(
    stop: Stop,
    server: Server,
    launcher: Launcher,
    database_url: str,
    witness: asyncpg.Connection,
    engine: AsyncEngine,
) -> None:
    with pgbouncer(server) as bouncer:
        url = bouncer.url(make_url(database_url).database or "")
        async with shut(stop, database_url, witness, engine) as gate:
            leader = await launcher.start(url, DIRECTORY, unnamed_statements=True)
            await gate.reached()
            leader.kill()
            heir = await launcher.start(url, DIRECTORY, unnamed_statements=True)
            await heir.event("LockTaken")
            await gate.open()
            outcome = await heir.outcome()
            assert outcome.error == ""
            assert list(outcome.applied) == rest(stop)
        await check(witness, DIRECTORY, INDEXES, pooled=True)


@pytest.mark.parametrize("language", ["sql", "python"])
async def test_an_orphaned_statement_behind_a_pooler_is_seen_off(
    language: str, server: Server, launcher: Launcher, engine: AsyncEngine, witness: asyncpg.Connection, tmp_path: Path
) -> None:
    history = History(tmp_path / "migrations", engine)
    insert = "INSERT INTO log SELECT 1 FROM pg_advisory_xact_lock_shared(7)"
    if language == "sql":
        history.sql("001_a", f"-- transactional: false\n{insert};")
    else:
        history.python("001_a", f"await self.execute({insert!r})", attributes="transactional = False")
    await witness.execute("CREATE TABLE log (x int); SELECT pg_advisory_lock(7)")
    at_it = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = $1 AND datname = current_database()"
    with pgbouncer(server) as bouncer:
        url = bouncer.url(engine.url.database or "")
        leader = await launcher.start(url, history.directory, unnamed_statements=True)
        await eventually(lambda: witness.fetchval(at_it, insert), deadline=30)
        orphan = await witness.fetchval(at_it, insert)
        leader.kill()
        heir = await launcher.start(url, history.directory, unnamed_statements=True)
        await ended(witness, orphan, deadline=30)
        await eventually(lambda: witness.fetchval(at_it, insert), deadline=30)
        await witness.execute("SELECT pg_advisory_unlock(7)")
        assert (await heir.outcome()).applied == ("001_a",)
    assert await witness.fetchval("SELECT count(*) FROM log") == 1


@each_build
async def test_a_lock_that_is_lost_behind_a_pooler_leaves_the_fence(
    stop: Stop,
    server: Server,
    launcher: Launcher,
    database_url: str,
    witness: asyncpg.Connection,
    engine: AsyncEngine,
) -> None:
    with pgbouncer(server) as bouncer:
        url = bouncer.url(make_url(database_url).database or "")
        async with shut(stop, database_url, witness, engine) as gate:
            leader = await launcher.start(url, DIRECTORY, unnamed_statements=True)
            await gate.reached()
            other = await launcher.start(url, DIRECTORY, unnamed_statements=True)
            await other.event("LockAwaited")
            await witness.execute(TERMINATE, await witness.fetchval(GUARD))
            await other.event("MigrationStarted")
            await gate.open()
            outcomes = await asyncio.gather(leader.outcome(), other.outcome())
        assert [each.error for each in outcomes if each.kind != "done"] == []
        assert sorted(name for each in outcomes for name in each.applied) == rest(stop)
        await check(witness, DIRECTORY, INDEXES, pooled=True)


@each_build
async def test_a_lost_book_keeper_does_not_lose_the_build(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        replicas = await launcher.muster(2, database_url, DIRECTORY)
        await launcher.go(replicas)
        await gate.reached()
        await witness.execute(TERMINATE, await witness.fetchval(BOOKS))
        await gate.open()
        outcomes = [await replica.outcome() for replica in replicas]
        assert [each.error for each in outcomes if each.kind != "done"] == []
        assert sorted(name for each in outcomes for name in each.applied) == rest(stop)
    await check(witness, DIRECTORY, INDEXES)


async def test_a_replica_that_waits_for_its_own_lost_session_counts_what_that_one_commits(
    tmp_path: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    (tmp_path / "001_slow.sql").write_text("SELECT pg_advisory_xact_lock(7);\n", "utf-8")
    (tmp_path / "002_other.sql").write_text("SELECT 1;\n", "utf-8")
    await witness.execute("SELECT pg_advisory_lock(7)")
    log = Log()
    async with WireProxy("127.0.0.1", make_url(database_url).port or 0) as proxy:
        replica = asyncio.create_task(migrate(open_engine(proxy.url(database_url)), tmp_path, log))

        async def stands() -> bool:
            return bool(await witness.fetchval(RUNNING, "pg_advisory_xact_lock"))

        async def is_committed() -> bool:
            return bool(await witness.fetchval(f"SELECT true FROM ({LEDGER}) AS l WHERE migration_name = '001_slow'"))

        await eventually(stands)
        for link in proxy.links:
            link.strike(Action.RESET_CLIENT)
        await log.heard(LockAwaited)
        await witness.execute("SELECT pg_advisory_unlock(7)")
        await eventually(is_committed)
        # The lost session still has the lock: only another's row makes the database current.
        await witness.execute("INSERT INTO schema_migrations (migration_name) VALUES ('002_other')")
        assert (await replica).applied == ("001_slow",)


@pytest.mark.skipif(not SOCKETS.exists(), reason="only Linux shows the timers of its sockets")
@each_build
async def test_a_lost_node_is_noticed_on_every_connection_of_a_leader(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    server_port = make_url(database_url).port or 0
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        await gate.reached()
        ports = {row["client_port"] for row in await witness.fetch(PORTS)}
        assert len(ports) == 2

        async def all_are_quiet() -> bool:
            return keepalives(server_port).keys() >= ports

        await eventually(all_are_quiet)
        slow = {port: left for port, left in keepalives(server_port).items() if port in ports and left > LOST_NODE}
        leader.kill()
        await gate.open()
    assert slow == {}, "the server would ask these connections only after so many seconds whether they live"


def keepalives(server_port: int) -> dict[int, float]:
    """Return, by the client's port, after how many seconds the server asks a quiet connection whether it lives."""
    found = {}
    for line in SOCKETS.read_text("ascii").splitlines()[1:]:
        _, local, remote, _, _, timer, *_ = line.split()
        ours, theirs = (int(end.split(":")[1], 16) for end in (local, remote))
        kind, ticks = timer.split(":")
        if ours == server_port and kind == KEEPALIVE:
            found[theirs] = int(ticks, 16) / 100
    return found


async def test_a_mended_file_of_a_migration_that_had_begun_is_not_a_changed_one(
    tmp_path: Path, engine: AsyncEngine
) -> None:
    runner = MigrationRunner(engine, directory=tmp_path, observers=[])
    file = tmp_path / "001_index.sql"
    file.write_text("-- transactional: false\nCREATE TABLE t (a integer);\nCREATE INDEX CONCURRENTLY i ON t (b);\n")
    with pytest.raises(MigrationFailedError):
        await runner.run_migrations()
    file.write_text("-- transactional: false\nCREATE TABLE t (a integer);\nCREATE INDEX CONCURRENTLY i ON t (a);\n")
    assert (await runner.run_migrations()).applied == ("001_index",)
    assert (await runner.run_migrations()).applied == ()
    assert await runner.verify() == []


@each_build
async def test_the_ledger_names_who_finished_not_who_began(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        await gate.reached()
        leader.kill()
        await gate.open()
        heir = await launcher.start(database_url, DIRECTORY)
        await heir.outcome()
    who = await witness.fetchval("SELECT applied_by FROM schema_migrations WHERE migration_name = $1", stop.migration)
    assert who.endswith(f":{heir.pid}")
