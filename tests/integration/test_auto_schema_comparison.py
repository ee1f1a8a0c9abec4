"""Auto schema compares inside the migration's transaction: nothing of it is left, and it stands in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner, StartupLog, compare_schema
from async_migrations.auto_schema import observations
from async_migrations.schema import bench
from async_migrations.testing.server import Server
from tests.integration.test_auto_schema import NOTHING, column, execute, run, warnings
from tests.integration.test_auto_schema_observations import DIFFERS, users
from tests.support.history import HERE, History
from tests.support.pgbouncer import pgbouncer
from tests.support.replica_launcher import open_engine
from tests.support.waiting import eventually

RUN = "return await AutoSchemaMigration(self.engine, self.base).run()"
SETTINGS = "SELECT name || '=' || setting FROM pg_settings WHERE context IN ('user', 'superuser') ORDER BY 1"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    bench.forget()


@asynccontextmanager
async def role_without_createdb(engine: AsyncEngine, *rights: str) -> AsyncIterator[AsyncEngine]:
    """Give a role that may create no database, and in the database only what `rights` allow."""
    role, database = f'"plain {engine.url.database}"', f'"{engine.url.database}"'
    await execute(engine, f"CREATE ROLE {role} LOGIN PASSWORD 'plain'", f"CREATE SCHEMA own AUTHORIZATION {role}")
    await execute(engine, f"ALTER ROLE {role} SET search_path = own")
    await execute(engine, *(f"GRANT {right} ON DATABASE {database} TO {role}" for right in rights))
    url = engine.url.set(username=role.strip('"'), password="plain")
    plain = create_async_engine(url, poolclass=NullPool)
    try:
        yield plain
    finally:
        await plain.dispose()
        await execute(engine, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


async def test_what_the_migration_has_done_before_is_seen(history: History, caplog: pytest.LogCaptureFixture) -> None:
    history.python(
        "001_models",
        f"""
        await self.execute("CREATE TYPE shade AS (red INTEGER)")
        await self.execute("CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
        {RUN}
        """,
    )

    runner = history.runner(users(sa.Column("name", sa.Text)), observers=(StartupLog(),))
    await runner.run_migrations()

    (told,) = [each for each in warnings(caplog) if DIFFERS in each]
    assert told.startswith(f"[001_models] {DIFFERS}column public.users.legacy is not in the metadata")


async def test_settings_and_savepoints_are_as_before_and_nothing_is_left(engine: AsyncEngine) -> None:
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
    # Other tests use the same scratch database meanwhile.
    named = {"server_settings": {"application_name": (engine.url.database or "")[:60]}}
    ours = create_async_engine(engine.url, poolclass=NullPool, connect_args=named)
    async with ours.begin() as connection:
        for setting in ("search_path = public, pg_catalog", "statement_timeout = 54321", "timezone = 'Asia/Tokyo'"):
            await connection.exec_driver_sql(f"SET LOCAL {setting}")
        before = (await connection.exec_driver_sql(SETTINGS)).scalars().all()
        assert await run(connection, users()) == NOTHING
        assert (await connection.exec_driver_sql(SETTINGS)).scalars().all() == before
        with pytest.raises(sa.exc.DBAPIError, match="does not exist"):
            await connection.exec_driver_sql("RELEASE SAVEPOINT async_migrations_look")

    assert await column(engine, "SELECT nspname FROM pg_namespace WHERE nspname ^@ 'am_scratch'") == []
    await ours.dispose()

    async def nobody_is_left() -> bool:
        left = "SELECT datname FROM pg_stat_activity WHERE application_name = current_database()"
        return not await column(engine, left)

    await eventually(nobody_is_left)


async def test_a_pool_of_one_connection_is_enough(history: History, caplog: pytest.LogCaptureFixture) -> None:
    history.sql("001_users", "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
    history.python("002_models", RUN)
    engine = create_async_engine(history.engine.url, pool_size=1, max_overflow=0, pool_timeout=1)
    try:
        await MigrationRunner(engine, users(), history.directory).run_migrations()
    finally:
        await engine.dispose()

    assert [each for each in warnings(caplog) if "legacy is not in the metadata" in each]


async def test_without_the_right_to_create_databases_scratch_schemas_serve_and_it_is_said(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "async_migrations")
    async with role_without_createdb(engine, "CREATE") as plain:
        await execute(plain, "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
        assert await run(plain, users()) == NOTHING
        left = await column(engine, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^am_scratch'")

    notes = [message for message in caplog.messages if "may not create a database" in message]
    assert len(notes) == 1
    assert [each.partition(".")[0] for each in warnings(caplog)] == [f"{DIFFERS}column own"]
    assert left == []


async def test_without_any_scratch_place_one_note_says_so_and_the_rest_is_done(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with role_without_createdb(engine) as plain:
        await execute(plain, "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
        assert await run(plain, users(sa.Column("name", sa.Text))) == {**NOTHING, "columns_added": 1}

    (note,) = warnings(caplog)
    assert note.startswith("Whether the database differs from the models otherwise was not looked at: There is no")
    assert "may create neither a database nor a schema" in note


async def test_a_scratch_place_that_is_taken_delays_nobody_for_long(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "DEADLINE", 0.5)
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
    async with role_without_createdb(engine, "CREATE") as plain:
        await execute(plain, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
        async with plain.connect() as other:
            await other.exec_driver_sql(f"SELECT pg_advisory_lock({0x61736D5F73637261})")
            assert await run(plain, users(sa.Column("name", sa.Text))) == {**NOTHING, "columns_added": 1}

    (note,) = warnings(caplog)
    assert "0.5 s" in note


WAITS = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {HERE}"
SCRATCH_LOCK = f"SELECT pg_advisory_lock({0x61736D5F73637261})"


async def test_a_cancelled_comparison_has_locked_nothing_and_leaves_the_callers_transaction_as_it_was(
    engine: AsyncEngine,
) -> None:
    async with role_without_createdb(engine, "CREATE") as plain:
        await execute(plain, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
        async with plain.connect() as other, plain.begin() as connection:
            await other.exec_driver_sql(SCRATCH_LOCK)
            await connection.exec_driver_sql("CREATE TABLE kept (id INTEGER)")
            task = asyncio.create_task(run(connection, users(sa.Column("name", sa.Text))))
            await eventually(lambda: column(engine, WAITS))
            locks = f"SELECT mode FROM pg_locks WHERE relation = 'own.users'::regclass AND {HERE}"
            assert await column(engine, locks) == []
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
        assert await column(plain, "SELECT relname FROM pg_class WHERE relname = 'kept'") == ["kept"]
        assert await column(
            plain, "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
        ) == ["id"]


async def test_a_connection_that_is_lost_meanwhile_is_one_that_the_run_replaces(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "DEADLINE", 2.0)
    async with role_without_createdb(engine, "CREATE") as plain:
        history = History(tmp_path, plain)
        history.sql("001_users", "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
        history.python("002_models", RUN)
        async with plain.connect() as other:
            await other.exec_driver_sql(SCRATCH_LOCK)
            task = asyncio.create_task(history.runner(users()).run_migrations())
            await eventually(lambda: column(engine, WAITS))
            ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            assert await column(engine, f"{ours} AND datname = current_database() AND query ~ '^COPY'")
        report = await task

    assert report.applied == ("001_users", "002_models")


async def test_schemas_that_the_connection_translates_are_followed(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    parts = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.Enum("a", name="kind"))]
    sa.Table("orders", metadata, *parts, schema="per_tenant")
    await execute(engine, "CREATE SCHEMA ada")
    mapped = engine.execution_options(schema_translate_map={"per_tenant": "ada"})
    assert await run(mapped, metadata) == {**NOTHING, "tables_created": 1}
    assert warnings(caplog) == []
    await execute(engine, "ALTER TABLE ada.orders ADD COLUMN legacy TEXT")

    assert await run(mapped, metadata) == NOTHING

    assert [each.partition(". ")[0] for each in warnings(caplog)] == [
        f"{DIFFERS}column ada.orders.legacy is not in the metadata"
    ]


async def test_a_pooler_that_lends_one_connection_for_a_transaction_is_enough(
    engine: AsyncEngine, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, legacy TEXT)")
    await compare_schema(engine, users())  # the scratch database is made once in the life of a server
    bench.forget()
    with pgbouncer(server, "transaction", default_pool_size="1") as bouncer:
        pooled = open_engine(bouncer.url(engine.url.database or ""), unnamed_statements=True)
        try:
            assert await run(pooled, users()) == NOTHING
        finally:
            await pooled.dispose()

    assert [each.partition(". Left")[0] for each in warnings(caplog)] == [
        f"{DIFFERS}column public.users.legacy is not in the metadata"
    ]
