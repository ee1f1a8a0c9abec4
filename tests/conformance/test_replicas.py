"""Fifty replicas of a service start at one moment."""

from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from async_migrations import MigrationRunner
from tests.conformance.aftermath import check, names
from tests.conformance.conftest import FLEET_INDEXES
from tests.support.replica_launcher import open_engine
from tests.support.replicas import Launcher, Outcome

pytestmark = pytest.mark.conformance

REPLICAS = 50


async def migrate(url: str, directory: Path, target: int | None = None) -> None:
    engine = open_engine(url)
    await MigrationRunner(engine, directory=directory).run_migrations(target)
    await engine.dispose()


def applied(outcomes: list[Outcome]) -> list[str]:
    """Return all that all replicas say they have applied; a name that two of them claim comes twice."""
    assert [each for each in outcomes if each.kind != "done"] == []
    return sorted(name for each in outcomes for name in each.applied)


async def test_on_an_empty_database(
    launcher: Launcher, database_url: str, witness: asyncpg.Connection, fleet: Path
) -> None:
    outcomes = await launcher.race(REPLICAS, database_url, fleet)
    assert applied(outcomes) == names(fleet)
    await check(witness, fleet, FLEET_INDEXES)


async def test_on_an_up_to_date_database(
    launcher: Launcher, database_url: str, witness: asyncpg.Connection, fleet: Path
) -> None:
    await migrate(database_url, fleet)
    replicas = await launcher.muster(REPLICAS, database_url, fleet)
    await launcher.go(replicas)
    outcomes = [await replica.outcome() for replica in replicas]
    assert applied(outcomes) == []
    assert not any(replica.has_said("LockTaken") for replica in replicas)
    await check(witness, fleet, FLEET_INDEXES)


async def test_with_five_pending(
    launcher: Launcher, database_url: str, witness: asyncpg.Connection, fleet: Path
) -> None:
    await migrate(database_url, fleet, target=2)
    outcomes = await launcher.race(REPLICAS, database_url, fleet)
    assert applied(outcomes) == names(fleet)[2:]
    assert Counter(bool(each.applied) for each in outcomes) == {True: 1, False: REPLICAS - 1}
    await check(witness, fleet, FLEET_INDEXES)
