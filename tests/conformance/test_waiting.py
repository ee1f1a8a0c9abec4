"""Replicas that wait for the leader: they hold nothing that it could wait for, and they say whom they wait for."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conformance.aftermath import check, names
from tests.conformance.gate import DIRECTORY, INDEXES, STOPS, Stop, shut
from tests.support.replicas import Launcher
from tests.support.waiting import eventually

pytestmark = pytest.mark.conformance

WAITERS = 5
SAMPLES = 40
BUILDS = [stop for stop in STOPS if stop.is_build]
OTHERS = (
    "SELECT pid, state, xact_start IS NULL AND backend_xmin IS NULL AND backend_xid IS NULL AS holds_nothing "
    "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
    "AND application_name <> 'witness' AND pid <> $1"
)
BOOKS = (
    "SELECT pid FROM pg_locks WHERE relation = 'schema_migrations'::regclass AND mode = 'RowShareLock' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
each_build = pytest.mark.parametrize("stop", BUILDS, ids=[stop.migration for stop in BUILDS])


@each_build
async def test_a_waiter_holds_no_snapshot_and_leaves_by_the_ledger(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        pid = await gate.reached()
        books = {row["pid"] for row in await witness.fetch(BOOKS)}
        waiters = await launcher.muster(WAITERS, database_url, DIRECTORY)
        await launcher.go(waiters)
        await asyncio.gather(*(waiter.event("LockAwaited") for waiter in waiters))

        async def all_idle() -> bool:
            rows = [row for row in await witness.fetch(OTHERS, pid) if row["pid"] not in books]
            assert len(rows) == WAITERS
            assert "idle in transaction" not in {row["state"] for row in rows}
            return all(row["state"] == "idle" and row["holds_nothing"] for row in rows)

        for _ in range(SAMPLES):
            await eventually(all_idle)
        await gate.open()
        assert (await leader.outcome()).applied == tuple(names(DIRECTORY)[stop.number - 1 :])
        outcomes = [await waiter.outcome() for waiter in waiters]
        assert {(each.kind, each.applied) for each in outcomes} == {("done", ())}
        assert min(each.waited for each in outcomes) > 0.5
        # One that looked at the ledger just before the last COMMIT, and at the lock just after it, gets that.
        assert not all(waiter.has_said("LockTaken") for waiter in waiters)
    await check(witness, DIRECTORY, INDEXES)


@pytest.mark.parametrize("stop", STOPS, ids=[stop.migration for stop in STOPS])
async def test_the_wait_has_an_end_that_names_the_holder(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        pid = await gate.reached()
        waiter = await launcher.start(database_url, DIRECTORY, wait_deadline=1.0)
        word = await waiter.event("LockAwaited")
        assert f"pid {pid}" in word["holder"]
        assert word["migration"] == stop.migration
        error = (await waiter.outcome()).error
        assert error.startswith("LockWaitError: ")
        assert f"pg_terminate_backend({pid})" in error
        assert stop.migration in error
        leader.kill()
        await gate.open()


async def test_waiters_wake_when_the_leader_is_done_not_at_their_next_look(
    launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    stop = BUILDS[0]
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        await gate.reached()
        waiters = await launcher.muster(WAITERS, database_url, DIRECTORY)
        await launcher.go(waiters)
        await asyncio.gather(*(waiter.event("LockAwaited") for waiter in waiters))
        await gate.open()
        await asyncio.gather(leader.outcome(), *(waiter.outcome() for waiter in waiters))
        done = await leader.event("RunFinished")
        late = [(await waiter.event("RunFinished"))["at"] - done["at"] for waiter in waiters]
    assert max(late) < 0.45 + 1.0
