"""The same through PgBouncer, which lends out its server connections for a transaction, or for a session."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from async_migrations.testing.server import Server
from tests.conformance.aftermath import check, names
from tests.conformance.conftest import FLEET_INDEXES
from tests.conformance.strikes import LANES, Lane, client_spoke, lanes, run_all, turns
from tests.conformance.test_wire import CONCURRENT
from tests.conftest import MakeDatabase
from tests.support.pgbouncer import PgBouncer, PoolMode, pgbouncer
from tests.support.proxy import Action
from tests.support.replicas import Launcher

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

REPLICAS = 10
EVERY_NTH = 5
"""Of the moments at which something happens through a pooler; all of them happen without one."""


@pytest.fixture(params=["transaction", "session"])
def bouncer(request: pytest.FixtureRequest, server: Server) -> Iterator[PgBouncer]:
    mode: PoolMode = request.param
    with pgbouncer(server, mode) as bouncer:
        yield bouncer


@pytest.fixture
async def tracks(bouncer: PgBouncer, make_database: MakeDatabase) -> AsyncIterator[list[Lane]]:
    urls = [await make_database() for _ in range(LANES)]
    async with lanes(urls, bouncer.port, CONCURRENT, pooled=True) as opened:
        yield opened


@pytest.mark.parametrize("target", [None, 2, 7], ids=["empty", "five pending", "up to date"])
async def test_replicas_start_at_one_moment(
    bouncer: PgBouncer,
    launcher: Launcher,
    database_url: str,
    witness: asyncpg.Connection,
    fleet: Path,
    target: int | None,
) -> None:
    url = bouncer.url(make_url(database_url).database or "")
    if target:
        first = await launcher.start(url, fleet, target=target, unnamed_statements=True)
        assert len((await first.outcome()).applied) == target
    outcomes = await launcher.race(REPLICAS, url, fleet, unnamed_statements=True)
    assert [each.error for each in outcomes if each.kind != "done"] == []
    assert sorted(name for each in outcomes for name in each.applied) == names(fleet)[target or 0 :]
    await check(witness, fleet, FLEET_INDEXES, pooled=True)


async def test_reset(tracks: list[Lane]) -> None:
    moments = turns(await tracks[0].record())
    await run_all(tracks, moments[::EVERY_NTH], lambda lane, moment: lane.survive(moment, Action.RESET))


async def test_silence(tracks: list[Lane]) -> None:
    await run_all(tracks, client_spoke(await tracks[0].record())[::EVERY_NTH], Lane.vanish)


async def test_killed_process(tracks: list[Lane], launcher: Launcher) -> None:
    moments = client_spoke(await tracks[0].record())
    await run_all(tracks, moments[::EVERY_NTH], lambda lane, moment: lane.die(moment, launcher))
