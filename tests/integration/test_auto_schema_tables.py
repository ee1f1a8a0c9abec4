"""Missing tables: their order, circles, what else has their name, the log."""

import random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.auto_schema import AutoSchemaMigration
from async_migrations.errors import AutoSchemaError
from tests.integration.test_auto_schema import NOTHING, column, execute, messages, run, warnings

DDL: Any = sa.DDL  # SQLAlchemy has not typed it
FOREIGN_KEYS = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"


async def test_the_log_speaks_as_the_seed_does(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "audit_logs",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, index=True),
        sa.Column("event_type", sa.String(50), index=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Index("idx_audit_logs_event_type_created_at", "event_type", "created_at"),
    )
    caplog.set_level("INFO", "async_migrations")

    found = await run(engine, metadata)

    assert found == {"tables_created": 1, "columns_added": 0, "indexes_created": 3}
    assert messages(caplog) == [
        "Creating missing table: audit_logs",
        "✓ Created table: audit_logs",
        "Creating index idx_audit_logs_event_type_created_at on audit_logs",
        "✓ Created index: idx_audit_logs_event_type_created_at",
        "Creating index ix_audit_logs_event_type on audit_logs",
        "✓ Created index: ix_audit_logs_event_type",
        "Creating index ix_audit_logs_id on audit_logs",
        "✓ Created index: ix_audit_logs_id",
    ]
    assert {record.name for record in caplog.records} == {"async_migrations"}


async def test_46_tables_in_the_worst_order_are_created_with_all_their_foreign_keys(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    names = [f"t{i:02}" for i in range(46)]
    for i, name in enumerate(names):  # each refers to later ones, so that none could be created in this order
        later = names[i + 1 : i + 4]
        links: list[sa.Column[Any]] = [
            sa.Column(f"{each}_id", sa.ForeignKey(f"{each}.id"), nullable=False) for each in later
        ]
        sa.Table(name, metadata, sa.Column("id", sa.BigInteger, primary_key=True), *links)

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 46}

    assert await column(engine, FOREIGN_KEYS) == [sum(min(3, 45 - i) for i in range(46))]
    assert await run(engine, metadata) == NOTHING


@pytest.mark.parametrize("seed", range(3))
async def test_circles_are_closed_by_foreign_keys_that_come_last(
    engine: AsyncEngine, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a graph, no secret
    metadata = sa.MetaData()
    names = [f"t{i}" for i in range(12)]
    chance.shuffle(names)
    links = {(name, chance.choice(names)) for name in names for _ in range(3)}
    for name in names:
        keys: list[sa.Column[Any]] = [
            sa.Column(f"{to}_id", sa.ForeignKey(f"{to}.id")) for of, to in sorted(links) if of == name
        ]
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *keys)

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 12}

    assert await column(engine, FOREIGN_KEYS) == [len(links)]
    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_a_circle_of_one_database_leaves_no_mark_on_the_models_for_the_next(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    for name, other in ("ab", "ba"):
        key = sa.Column("id", sa.Integer, primary_key=True)
        sa.Table(name, metadata, key, sa.Column("other", sa.ForeignKey(f"{other}.id")))
    await run(engine, metadata)
    assert await column(engine, FOREIGN_KEYS) == [2]
    await execute(engine, "DROP TABLE a CASCADE")

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 1}

    assert await column(engine, "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'") == ["a"]


async def test_a_new_table_may_refer_to_a_unique_index_and_to_a_column_that_are_new_too(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.Text, index=True, unique=True),
        sa.Column("team_id", sa.ForeignKey("teams.id")),
    )
    sa.Table(
        "teams",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("captain", sa.ForeignKey("users.code")),
        sa.Column("slug", sa.Text),
        sa.Index("ux_teams_slug", "slug", unique=True),
    )
    sa.Table("badges", metadata, sa.Column("team", sa.ForeignKey("teams.slug"), primary_key=True))

    assert await run(engine, metadata) == {"tables_created": 2, "columns_added": 2, "indexes_created": 2}

    assert await column(engine, FOREIGN_KEYS) == [3]
    assert await run(engine, metadata) == NOTHING


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW report AS SELECT 1 AS id", "a view"),
        ("CREATE MATERIALIZED VIEW report AS SELECT 1 AS id", "a materialised view"),
    ],
)
async def test_a_view_under_a_tables_name_is_told_and_left_alone(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, statement: str, what: str
) -> None:
    metadata = sa.MetaData()
    sa.Table("report", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("more", sa.Text, index=True))
    await execute(engine, statement)

    assert await run(engine, metadata) == NOTHING

    assert warnings(caplog) == [f"report is {what} in the database and a table in the models: left as it is."]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE SEQUENCE report", "a sequence"),
        ("CREATE TYPE report AS (x INTEGER)", "a composite type"),
        ("CREATE INDEX report ON fine (id)", "an index"),
    ],
)
async def test_a_name_that_no_rows_can_be_read_from_is_an_error_and_no_crash(
    engine: AsyncEngine, statement: str, what: str
) -> None:
    metadata = sa.MetaData()
    sa.Table("report", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await execute(engine, "CREATE TABLE fine (id INTEGER)", statement)

    with pytest.raises(AutoSchemaError, match=f"report is {what} in the database"):
        await run(engine, metadata)


async def test_a_foreign_table_under_a_tables_name_is_told_and_left_alone(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    sa.Table("report", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await execute(
        engine,
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE report (id INTEGER) SERVER nowhere",
    )

    assert await run(engine, metadata) == NOTHING

    assert warnings(caplog) == ["report is a foreign table in the database and a table in the models: left as it is."]


async def test_partitioned_tables_and_their_partitions_count_as_tables(
    engine: AsyncEngine,
) -> None:
    metadata = sa.MetaData()
    columns: list[tuple[str, Any]] = [("id", sa.Integer()), ("day", sa.Date())]
    sa.Table(
        "log_2024", metadata, *[sa.Column(*each, primary_key=True) for each in columns], sa.Column("note", sa.Text)
    )
    sa.Table(
        "log",
        metadata,
        *[sa.Column(*each, primary_key=True, autoincrement=False) for each in columns],
        sa.Column("note", sa.Text, nullable=False, default="-"),
        sa.Index("ix_log_note", "note"),
        postgresql_partition_by="RANGE (day)",
    )
    await execute(
        engine,
        "CREATE TABLE log (id INTEGER, day DATE, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE log_2024 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "INSERT INTO log VALUES (1, '2024-05-05')",
    )

    assert await run(engine, metadata) == {**NOTHING, "columns_added": 1, "indexes_created": 1}

    assert await column(engine, "SELECT note FROM log_2024") == ["-"]
    assert await AutoSchemaMigration(engine, metadata).get_existing_tables() == {"log", "log_2024"}


async def test_the_ledger_and_tables_that_the_models_do_not_know_are_left_alone(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    sa.Table("schema_migrations", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Text))
    await execute(engine, "CREATE TABLE schema_migrations (id INTEGER, y TEXT)", "CREATE TABLE other (z INTEGER)")

    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_a_namesake_of_the_ledger_in_another_schema_is_a_table_like_any_other(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("schema_migrations", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="audit")

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 1}
    assert await AutoSchemaMigration(engine, metadata).get_existing_tables() == {"audit.schema_migrations"}


async def test_listeners_of_the_models_are_called_as_by_create_all(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    table = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True, index=True))
    sa.event.listen(table, "after_create", DDL("ALTER TABLE %(table)s CLUSTER ON ix_users_id"))
    sa.event.listen(metadata, "before_create", DDL("CREATE TABLE before ()"))
    other = sa.Index("ix_elsewhere", table.c.id).ddl_if(dialect="sqlite")
    check = sa.CheckConstraint("id > 7", name="elsewhere").ddl_if(dialect="sqlite")
    table.append_constraint(check)

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 1, "indexes_created": 1}

    assert await column(engine, "SELECT indisclustered FROM pg_index WHERE indexrelid = 'ix_users_id'::regclass") == [
        True
    ]
    assert await column(engine, "SELECT to_regclass('before') IS NOT NULL") == [True]
    assert await run(engine, metadata) == NOTHING
    assert other.name not in await AutoSchemaMigration(engine, metadata).get_existing_indexes("users")


async def test_reading_takes_as_many_queries_for_a_hundred_tables_as_for_one(engine: AsyncEngine) -> None:
    counts = []
    for tables in (1, 1, 100):  # the first opens the dialect
        metadata = sa.MetaData()
        for i in range(tables):
            sa.Table(
                f"t{i}", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Text, index=True)
            )
        await run(engine, metadata)
        statements: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_: Any, into: list[str] = statements) -> None:
            into.append(statement)

        sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
        assert await run(engine, metadata) == NOTHING
        sa.event.remove(engine.sync_engine, "before_cursor_execute", note)
        counts.append(len(statements))

    assert counts[1] == counts[2] < 20


async def test_a_view_of_the_models_is_created_after_its_tables(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    create_view = getattr(sa.schema, "CreateView", None)
    if create_view is None:
        pytest.skip("SQLAlchemy has views in the models since 2.1")
    metadata = sa.MetaData()
    table = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    create_view(sa.select(table.c.id), "seen", metadata=metadata)
    caplog.set_level("INFO", "async_migrations")

    await run(engine, metadata)

    assert messages(caplog)[-2:] == ["Creating missing view: seen", "✓ Created view: seen"]
    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_a_type_is_created_once_however_its_schema_is_written(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    for i, schema in enumerate([None, "public", None]):
        kind = sa.Enum("a", "b", name="kind", schema=schema)
        sa.Table(f"t{i}", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", kind))

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 3}
    assert await run(engine, metadata) == NOTHING
