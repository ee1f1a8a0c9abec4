"""Schemas, names that need quoting, and names that cannot be."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.auto_schema import AutoSchemaMigration
from async_migrations.errors import AutoSchemaError
from tests.integration.test_auto_schema import NOTHING, column, execute, messages, run, warnings


async def test_missing_schemas_types_and_sequences_come_first_and_are_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData(schema="audit")
    number = sa.Sequence("numbers", start=100, schema="counting", metadata=metadata)
    sa.Table(
        "events",
        metadata,
        sa.Column("id", sa.Integer, number, server_default=number.next_value(), primary_key=True),
        sa.Column("kind", sa.Enum("in", "out", name="kind", schema="audit")),
        sa.Column("size", pg.DOMAIN("size", sa.Integer, check="VALUE > 0", schema="public")),
    )
    caplog.set_level("INFO", "async_migrations")

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 1}

    assert messages(caplog) == [
        "Creating missing schema: audit",
        "✓ Created schema: audit",
        "Creating missing schema: counting",
        "✓ Created schema: counting",
        "Creating missing type: audit.kind",
        "✓ Created type: audit.kind",
        "Creating missing type: public.size",
        "✓ Created type: public.size",
        "Creating missing sequence: counting.numbers",
        "✓ Created sequence: counting.numbers",
        "Creating missing table: audit.events",
        "✓ Created table: audit.events",
    ]
    assert await column(engine, "INSERT INTO audit.events (kind) VALUES ('in') RETURNING id") == [100]
    caplog.clear()
    assert await run(engine, metadata) == NOTHING
    assert messages(caplog) == []


async def test_a_schema_that_may_not_be_created_is_an_error_that_says_so(engine: AsyncEngine) -> None:
    metadata = sa.MetaData(schema="pay roll")
    sa.Table("salaries", metadata, sa.Column("id", sa.Integer, primary_key=True))
    async with engine.connect() as connection:
        await connection.execute(sa.text("CREATE ROLE auto_schema_nobody"))
        await connection.execute(sa.text("SET LOCAL ROLE auto_schema_nobody"))

        with pytest.raises(AutoSchemaError, match=r'schema pay roll.*may not create.*CREATE SCHEMA "pay roll"'):
            await AutoSchemaMigration(connection, metadata).run()


@pytest.mark.parametrize("elsewhere", ["before", "after"])
async def test_a_namesake_in_another_schema_of_the_search_path_is_not_taken_for_the_table(
    engine: AsyncEngine, elsewhere: str
) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, index=True))
    await execute(engine, "CREATE SCHEMA tenant", "CREATE SCHEMA other")
    if elsewhere == "before":
        await execute(engine, "CREATE TABLE other.users (x INTEGER)", "CREATE INDEX ix_users_name ON other.users (x)")
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL search_path = tenant, other, public"))
        # Who has a namesake on search_path says which schema is meant.
        if elsewhere == "before":
            await connection.execution_options(schema_translate_map={None: "tenant"})
        assert await run_on(connection, metadata) == {**NOTHING, "tables_created": 1, "indexes_created": 1}
        assert await run_on(connection, metadata) == NOTHING

    assert await column(
        engine, "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'users' ORDER BY 1"
    ) == (["other", "tenant"] if elsewhere == "before" else ["tenant"])


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
async def test_a_table_that_would_hide_the_one_that_the_service_sees_is_not_created(
    engine: AsyncEngine, kind: str
) -> None:
    metadata = sa.MetaData()
    sa.Table("fresh", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="new")
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await execute(engine, "CREATE SCHEMA app", f"CREATE {kind} users AS SELECT 1 AS id")

    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL search_path = app, public"))
        with pytest.raises(
            AutoSchemaError, match=r"users would be created in the schema app.*would hide public\.users"
        ):
            await run_on(connection, metadata)
        assert (await connection.execute(sa.text("SELECT id FROM users"))).scalars().all() == [1]
        assert await connection.scalar(sa.text("SELECT to_regnamespace('new') IS NULL"))

        await connection.execute(sa.text("CREATE TABLE app.users (id SERIAL PRIMARY KEY)"))
        assert await run_on(connection, metadata) == {**NOTHING, "tables_created": 1}


async def test_a_type_that_the_search_path_finds_elsewhere_is_used_and_no_difference(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    kind = sa.Enum("a", "b", name="Kind")
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", kind, server_default="a"),
        sa.Column("kinds", sa.ARRAY(kind)),
    )
    await execute(engine, "CREATE SCHEMA tenant", "CREATE TYPE public.\"Kind\" AS ENUM ('a', 'b')")
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL search_path = tenant, public"))

        assert await run_on(connection, metadata) == {**NOTHING, "tables_created": 1}
        assert await run_on(connection, metadata) == NOTHING

    assert await column(engine, "SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'Kind'") == [
        "public"
    ]
    assert warnings(caplog) == []


async def run_on(connection: Any, metadata: sa.MetaData) -> dict[str, int]:
    return await AutoSchemaMigration(connection, metadata).run()


async def test_without_any_schema_on_the_search_path_the_error_says_what_is_missing(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await execute(engine, "DROP SCHEMA public")

    with pytest.raises(AutoSchemaError, match=r"users has no place.*CREATE SCHEMA public"):
        await run(engine, metadata)

    elsewhere = sa.MetaData(schema="app")
    sa.Table("users", elsewhere, sa.Column("id", sa.Integer, primary_key=True))
    assert await run(engine, elsewhere) == {**NOTHING, "tables_created": 1}


async def test_rows_are_filled_from_a_sequence_in_the_schema_of_the_translate_map(engine: AsyncEngine) -> None:
    metadata = sa.MetaData(schema="per_tenant")
    numbers = sa.Sequence("numbers", start=5, metadata=metadata)
    number = sa.Column("number", sa.Integer, numbers, nullable=False)
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), number)
    await execute(engine, "CREATE SCHEMA acme", "CREATE TABLE acme.users (id SERIAL PRIMARY KEY)")
    await execute(engine, "INSERT INTO acme.users DEFAULT VALUES")
    mapped = engine.execution_options(schema_translate_map={"per_tenant": "acme"})

    assert await run(mapped, metadata) == {**NOTHING, "columns_added": 1}

    assert await column(engine, "SELECT number FROM acme.users") == [5]


async def test_a_schema_translate_map_is_followed(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    mood = sa.Enum("good", "bad", name="mood", schema="per_tenant")
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="per_tenant")
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.ForeignKey("per_tenant.users.id"), index=True),
        sa.Column("mood", mood),
        schema="per_tenant",
    )
    for tenant in ("acme", "initech"):
        mapped = engine.execution_options(schema_translate_map={"per_tenant": tenant})
        assert await run(mapped, metadata) == {**NOTHING, "tables_created": 2, "indexes_created": 1}
        await execute(engine, f"ALTER TABLE {tenant}.orders DROP COLUMN user_id, DROP COLUMN mood")
        assert await run(mapped, metadata) == {**NOTHING, "columns_added": 2, "indexes_created": 1}
        assert await run(mapped, metadata) == NOTHING

    found = await column(
        engine,
        "SELECT nspname::text FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace"
        " WHERE typname = 'mood' ORDER BY 1",
    )
    assert found == ["acme", "initech"]


HOSTILE = [
    "Users; DROP TABLE x",
    'a"b',
    "c'd",
    "select",
    "per%cent %s %(x)s",
    "co:lon :x",
    "Groß é🐘",
    "a.b",
    "$1",
    " ",
]


async def test_names_that_need_quoting_are_quoted(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    metadata = sa.MetaData()
    for schema in [None, 'the "schema"; --']:
        for name in HOSTILE:
            kind = sa.Enum(*HOSTILE, name=f"type {name}", schema=schema)
            table = sa.Table(
                name,
                metadata,
                sa.Column("id", sa.Integer, primary_key=True),
                sa.Column(name, sa.Text, index=True, comment=name),
                sa.Column("kind", kind, nullable=False, default=name),
                sa.UniqueConstraint(name, "kind", name=f"uq {name}"),
                schema=schema,
                comment=f"{name} '' \\ %",
            )
            table.append_constraint(sa.CheckConstraint(table.c[name] != "it's 100%", name=f"ck {name}"))
    tables = 2 * len(HOSTILE)
    assert await run(engine, metadata) == {"tables_created": tables, "columns_added": 0, "indexes_created": tables}
    assert await run(engine, metadata) == NOTHING
    created = await comments(engine)
    async with engine.begin() as connection:
        for table in metadata.tables.values():
            quoted = connection.dialect.identifier_preparer.format_table(table)
            quoted_column = connection.dialect.identifier_preparer.quote(table.name)
            await connection.exec_driver_sql(f"INSERT INTO {quoted} (kind) VALUES ('select')")
            await connection.exec_driver_sql(f"ALTER TABLE {quoted} DROP COLUMN {quoted_column}, DROP COLUMN kind")

    assert await run(engine, metadata) == {**NOTHING, "columns_added": 2 * tables, "indexes_created": tables}

    assert await run(engine, metadata) == NOTHING
    assert await comments(engine) == created
    assert warnings(caplog) == []


async def comments(engine: AsyncEngine) -> Sequence[Any]:
    query = "SELECT objoid::regclass::text || ' ' || (objsubid > 0) || description FROM pg_description"
    return await column(engine, f"{query} WHERE classoid = 'pg_class'::regclass AND objoid > 16384 ORDER BY 1")


PLACES = ["table", "column", "index", "constraint", "schema", "enum", "domain", "sequence", "schema of a type"]


@pytest.mark.parametrize(
    ("where", "bad", "sentence"),
    [
        ("table", "", "empty"),
        *((where, "é" * 40, "80 bytes") for where in PLACES),
        *((where, "x" * 64, "64 bytes") for where in PLACES if where != "index"),
        ("index", "x" * 64, "exceeds maximum length of 63"),
        *((where, "nul\0", "NUL") for where in PLACES),
    ],
)
async def test_a_name_that_postgresql_would_cut_or_refuse_is_found_before_anything_is_created(
    engine: AsyncEngine, where: str, bad: str, sentence: str
) -> None:
    name = {place: f"ok {place}" for place in PLACES} | {where: bad}
    metadata = sa.MetaData()
    enum = sa.Enum("a", name=name["enum"], schema=bad if where == "schema of a type" else None)
    sa.Table("fine", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        name["table"],
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(name["column"], sa.Integer, sa.Sequence(name["sequence"])),
        sa.Column("enum", sa.ARRAY(enum)),
        sa.Column("domain", pg.DOMAIN(name["domain"], sa.Integer)),
        sa.Index(name["index"], "id"),
        sa.CheckConstraint("id > 0", name=name["constraint"]),
        schema=name["schema"] if where == "schema" else None,
    )

    with pytest.raises(AutoSchemaError, match=sentence):
        await run(engine, metadata)

    assert await column(engine, "SELECT to_regclass('fine') IS NULL") == [True]


async def test_a_name_that_a_convention_makes_is_shortened_as_create_all_shortens_it(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    key = "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s"
    metadata = sa.MetaData(naming_convention={"fk": key, "uq": "uq_%(table_name)s_%(column_0_N_name)s"})
    sa.Table("organisation_members", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "customer_subscription_payments",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("confirming_member_id", sa.ForeignKey("organisation_members.id")),
        sa.Column("external_payment_provider_reference", sa.Text, unique=True),
    )
    names = "SELECT conname::text FROM pg_constraint WHERE contype IN ('f', 'u') AND conname ~ '^(fk|uq)_' ORDER BY 1"
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    expected = await column(engine, names)
    assert await run(engine, metadata) == NOTHING
    await execute(engine, "DROP TABLE customer_subscription_payments")

    assert await run(engine, metadata) == {**NOTHING, "tables_created": 1}

    assert len(expected) == 2
    assert await column(engine, names) == expected
    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []
