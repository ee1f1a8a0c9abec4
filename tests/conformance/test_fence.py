"""A database on which the advisory lock says yes to everybody, as some compatible engines do: the fence holds alone."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.conformance.aftermath import LOCKS, check, names, watching
from tests.conformance.conftest import FLEET_INDEXES
from tests.conformance.gate import DIRECTORY, INDEXES, STOPS, Stop, shut
from tests.conformance.test_adoption import SEED_LEDGER
from tests.support.replica_launcher import open_engine
from tests.support.replicas import Launcher

pytestmark = pytest.mark.conformance

REPLICAS = 20
FEW = 5
LEDGER = "schema_migrations"
FAKE = """
CREATE SCHEMA fake;
CREATE FUNCTION fake.pg_try_advisory_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION fake.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION fake.pg_advisory_unlock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
"""


@pytest.fixture
async def lockless_url(database_url: str) -> str:
    """Return a database on which everybody gets the lock."""
    database = make_url(database_url).database
    async with watching(database_url) as connection:
        await connection.execute(FAKE)
        await connection.execute(f'ALTER DATABASE "{database}" SET search_path = fake, pg_catalog, public')
    async with watching(database_url) as connection:
        assert await connection.fetchval("SELECT pg_try_advisory_lock(1)")
        assert await connection.fetchval(LOCKS) == 0
    return database_url


@pytest.mark.parametrize("target", [0, 2, 3])
async def test_all_replicas_lead_at_once(launcher: Launcher, lockless_url: str, fleet: Path, target: int) -> None:
    if target:
        first = await launcher.start(lockless_url, fleet, target=target)
        assert len((await first.outcome()).applied) == target
    replicas = await launcher.muster(REPLICAS, lockless_url, fleet)
    async with watching(lockless_url) as witness, witness.transaction():
        # Nobody gets further than to be the leader.
        await witness.execute(
            f"LOCK TABLE {LEDGER} IN SHARE ROW EXCLUSIVE MODE" if target else f"CREATE TABLE {LEDGER} ()"
        )
        await launcher.go(replicas)
        await asyncio.gather(*(replica.event("LockTaken") for replica in replicas))
        if not target:
            await witness.execute(f"DROP TABLE {LEDGER}")
    outcomes = [await replica.outcome() for replica in replicas]
    assert [each.error for each in outcomes if each.kind != "done"] == []
    assert sorted(name for each in outcomes for name in each.applied) == names(fleet)[target:]
    async with watching(lockless_url) as witness:
        await check(witness, fleet, FLEET_INDEXES)


@pytest.mark.parametrize("stop", STOPS, ids=[stop.migration for stop in STOPS])
async def test_replicas_wait_for_the_one_that_is_at_it(launcher: Launcher, lockless_url: str, stop: Stop) -> None:
    engine = open_engine(lockless_url)
    async with watching(lockless_url) as witness, shut(stop, lockless_url, witness, engine, seconds=2) as gate:
        replicas = await launcher.muster(FEW, lockless_url, DIRECTORY)
        await launcher.go(replicas)
        await asyncio.gather(*(replica.event(f'MigrationStarted.*"name": "{stop.migration}') for replica in replicas))
        await gate.reached()
        if stop.is_build:
            await gate.open()
        outcomes = [await replica.outcome() for replica in replicas]
        assert [each.error for each in outcomes if each.kind != "done"] == []
        assert sorted(name for each in outcomes for name in each.applied) == names(DIRECTORY)[stop.number - 1 :]
        await engine.dispose()
    async with watching(lockless_url) as witness:
        await check(witness, DIRECTORY, INDEXES)


async def test_all_replicas_extend_the_seeds_ledger_at_once(launcher: Launcher, lockless_url: str, fleet: Path) -> None:
    async with watching(lockless_url) as witness:
        await witness.execute(SEED_LEDGER)
        outcomes = await launcher.race(REPLICAS, lockless_url, fleet)
        assert [each.error for each in outcomes if each.kind != "done"] == []
        assert sorted(name for each in outcomes for name in each.applied) == names(fleet)
        await check(witness, fleet, FLEET_INDEXES)
