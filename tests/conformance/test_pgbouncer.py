"""The same through PgBouncer, which lends out its server connections for a transaction, or for a session."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationFailedError, MigrationRunner
from async_migrations.testing.server import Server
from tests.conformance.aftermath import check, names
from tests.conformance.conftest import FLEET_INDEXES, HISTORIES
from tests.conformance.strikes import LANES, History, Lane, client_spoke, lanes, run_all, some, turns
from tests.conftest import MakeDatabase
from tests.support.pgbouncer import PgBouncer, PoolMode, pgbouncer
from tests.support.proxy import Action
from tests.support.replica_launcher import open_engine
from tests.support.replicas import Launcher

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

REPLICAS = 50
POOLED = History(HISTORIES / "pooled", indexes=["ix_orders_customer"])


@pytest.fixture(params=["transaction", "session"])
def bouncer(request: pytest.FixtureRequest, server: Server) -> Iterator[PgBouncer]:
    mode: PoolMode = request.param
    # In session mode each of fifty replicas may keep two of the server's connections.
    with pgbouncer(server, mode, default_pool_size="120") as bouncer:
        yield bouncer


@pytest.fixture
async def tracks(bouncer: PgBouncer, make_database: MakeDatabase) -> AsyncIterator[list[Lane]]:
    urls = [await make_database() for _ in range(LANES)]
    async with lanes(urls, bouncer.port, POOLED, pooled=True) as opened:
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


async def test_reset(tracks: list[Lane], postgres_version: int) -> None:
    moments = some(turns(await tracks[0].record()), postgres_version)
    await run_all(tracks, moments, lambda lane, moment: lane.survive(moment, Action.RESET))


async def test_terminated_backends(tracks: list[Lane], postgres_version: int) -> None:
    moments = some(turns(await tracks[0].record()), postgres_version)
    await run_all(tracks, moments, lambda lane, moment: lane.survive(moment, lane.terminate_all))


async def test_silence(tracks: list[Lane], postgres_version: int) -> None:
    await run_all(tracks, some(client_spoke(await tracks[0].record()), postgres_version), Lane.vanish)


async def test_killed_process(tracks: list[Lane], launcher: Launcher, postgres_version: int) -> None:
    moments = client_spoke(await tracks[0].record())
    await run_all(tracks, some(moments, postgres_version), lambda lane, moment: lane.die(moment, launcher))


SLOW = "SELECT pg_sleep(1.5);"
LIMIT = """
DO $do$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting} = %L', current_database(), '1s'); END $do$
"""


@pytest.fixture
async def behind(bouncer: PgBouncer, database_url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine behind the pooler."""
    engine = open_engine(bouncer.url(make_url(database_url).database or ""), unnamed_statements=True)
    yield engine
    await engine.dispose()


async def test_a_limit_on_whole_transactions_does_not_end_a_migration(
    behind: AsyncEngine, witness: asyncpg.Connection, tmp_path: Path, postgres_version: int
) -> None:
    if postgres_version < 17:
        pytest.skip("transaction_timeout is new in PostgreSQL 17")
    await witness.execute(LIMIT.format(setting="transaction_timeout"))
    (tmp_path / "001_slow.sql").write_text(SLOW, "utf-8")
    report = await MigrationRunner(behind, directory=tmp_path, observers=[]).run_migrations()
    assert report.applied == ("001_slow",)


async def test_a_roles_limit_on_statements_is_named_where_it_cannot_be_lifted(
    behind: AsyncEngine, witness: asyncpg.Connection, tmp_path: Path
) -> None:
    await witness.execute(LIMIT.format(setting="statement_timeout"))
    (tmp_path / "001_slow.sql").write_text(SLOW, "utf-8")
    runner = MigrationRunner(behind, directory=tmp_path, observers=[])
    assert (await runner.run_migrations()).applied == ("001_slow",)
    (tmp_path / "002_slow.sql").write_text(f"-- transactional: false\n{SLOW}", "utf-8")
    with pytest.raises(MigrationFailedError, match="Let another role migrate"):
        await runner.run_migrations()
