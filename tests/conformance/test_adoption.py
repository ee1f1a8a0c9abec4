"""A database that the seed's own system has migrated goes on as it is."""

from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner, State
from async_migrations.testing.server import Server
from tests.conformance.aftermath import check, look, names, watching
from tests.conformance.conftest import FLEET_INDEXES
from tests.support.replicas import Launcher

pytestmark = pytest.mark.conformance

REPLICAS = 10
SEED_LEDGER = """
CREATE TABLE schema_migrations (
    id SERIAL PRIMARY KEY,
    migration_name VARCHAR(255) UNIQUE NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    description TEXT,
    execution_time_ms INTEGER
);
"""
SEED_ROWS = """
INSERT INTO schema_migrations (migration_name, applied_at, description, execution_time_ms)
VALUES ('001_audit', '2024-02-03 04:05:06+00', 'Add audit_logs table', 45),
       ('002_orders', '2025-01-01 00:00:00+01', NULL, NULL);
"""
AS_THE_SEED_SEES_IT = (
    "SELECT id, migration_name, applied_at, description, execution_time_ms FROM schema_migrations "
    "WHERE id < 3 ORDER BY id"
)
COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass "
    "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
SEED_COLUMNS = ["id", "migration_name", "applied_at", "description", "execution_time_ms"]


def manual_insert(name: str) -> str:
    """Return what the seed tells an operator to type."""
    return f"INSERT INTO schema_migrations (migration_name, description)\nVALUES ('{name}', 'Manual application');"


def manual_delete(name: str) -> str:
    """Return what the seed tells an operator to type."""
    return f"DELETE FROM schema_migrations WHERE migration_name = '{name}';"


@pytest.fixture
async def adopted(witness: asyncpg.Connection, engine: AsyncEngine, fleet: Path) -> list[asyncpg.Record]:
    """Bring the database to where the seed's system would have left it after two migrations; return its rows."""
    await MigrationRunner(engine, directory=fleet, observers=[]).run_migrations(2)
    await witness.execute(f"DROP TABLE schema_migrations; {SEED_LEDGER} {SEED_ROWS}")
    return list(await witness.fetch(AS_THE_SEED_SEES_IT))


async def test_replicas_go_on_where_the_seed_stopped(
    launcher: Launcher,
    database_url: str,
    witness: asyncpg.Connection,
    fleet: Path,
    adopted: list[asyncpg.Record],
) -> None:
    outcomes = await launcher.race(REPLICAS, database_url, fleet)
    assert [each.error for each in outcomes if each.kind != "done"] == []
    assert sorted(name for each in outcomes for name in each.applied) == names(fleet)[2:]
    assert await witness.fetch(AS_THE_SEED_SEES_IT) == adopted
    await check(witness, fleet, FLEET_INDEXES)


async def test_the_ledger_of_a_current_database_is_not_touched(
    witness: asyncpg.Connection, engine: AsyncEngine, fleet: Path, adopted: list[asyncpg.Record]
) -> None:
    runner = MigrationRunner(engine, directory=fleet, observers=[])
    assert (await runner.run_migrations(2)).applied == ()
    assert [row["attname"] for row in await witness.fetch(COLUMNS)] == SEED_COLUMNS
    assert await witness.fetch(AS_THE_SEED_SEES_IT) == adopted
    assert [each.state for each in await runner.status()][:3] == [State.APPLIED, State.APPLIED, State.PENDING]


async def test_a_start_on_an_adopted_ledger_leaves_no_error_in_the_servers_log(own_server: Server, fleet: Path) -> None:
    async with watching(own_server.url()) as witness:
        await witness.execute(SEED_LEDGER + SEED_ROWS)
    engine = create_async_engine(own_server.url(), poolclass=NullPool)
    report = await MigrationRunner(engine, directory=fleet, observers=[]).run_migrations(2)
    await engine.dispose()
    assert report.applied == ()
    assert "ERROR" not in own_server.log.read_text()


@pytest.mark.usefixtures("adopted")
@pytest.mark.parametrize("extended", [False, True])
async def test_a_name_inserted_by_hand_counts_as_applied(
    witness: asyncpg.Connection,
    engine: AsyncEngine,
    fleet: Path,
    *,
    extended: bool,
) -> None:
    runner = MigrationRunner(engine, directory=fleet, observers=[])
    if extended:
        await runner.run_migrations(3)
    await witness.execute(manual_insert("004_order_indexes"))
    report = await runner.run_migrations()
    expected = [name for name in names(fleet)[2:] if name != "004_order_indexes"]
    assert list(report.applied) == (expected[1:] if extended else expected)
    assert await runner.verify() == []


@pytest.mark.parametrize("name", ["004_order_indexes", "005_customer_email", "006_notes"])
async def test_a_name_deleted_by_hand_is_pending_again(
    witness: asyncpg.Connection, engine: AsyncEngine, fleet: Path, name: str
) -> None:
    runner = MigrationRunner(engine, directory=fleet, observers=[])
    await runner.run_migrations()
    if name == "006_notes":
        await witness.execute("ALTER TABLE orders DROP COLUMN note")
    await witness.execute(manual_delete(name))
    assert [each.name for each in await runner.status() if each.state is State.PENDING] == [name]
    assert (await runner.run_migrations()).applied == (name,)
    assert sorted((await look(witness)).ledger) == names(fleet)
