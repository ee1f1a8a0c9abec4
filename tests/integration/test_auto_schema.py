"""AutoSchemaMigration as an author meets it: what it takes, what it returns, what it leaves after a failure."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from async_migrations.auto_schema import AutoSchemaMigration
from async_migrations.errors import AutoSchemaError
from tests.support.history import HERE
from tests.support.waiting import eventually

NOTHING = {"tables_created": 0, "columns_added": 0, "indexes_created": 0}

DESCRIBED = """
SELECT format('%s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation)
       || format('%s %s %s', a.attnotnull, a.attidentity, a.attgenerated)
       || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || coalesce(col_description(a.attrelid, a.attnum), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p', 'S') AND a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), obj_description(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT format('%s %s', conrelid::regclass, conname) FROM pg_constraint
 WHERE contype = 'n' AND connamespace = 'public'::regnamespace
 ORDER BY 1
"""


async def run(engine: AsyncEngine | AsyncConnection, metadata: Any) -> dict[str, int]:
    return await AutoSchemaMigration(engine, metadata).run()


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def column(engine: AsyncEngine, query: str) -> Sequence[Any]:
    async with engine.begin() as connection:
        return (await connection.exec_driver_sql(query)).scalars().all()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    # Whoever is the first to compare on a server makes its scratch database, and says so.
    return [message for message in caplog.messages if not message.startswith("Made the scratch database")]


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    theme: Mapped[str | None] = mapped_column(index=True)


# What it takes


@pytest.mark.parametrize("base", [Base, Base.metadata, Base.registry], ids=["base", "metadata", "registry"])
async def test_a_declarative_base_or_its_metadata_are_the_models(engine: AsyncEngine, base: Any) -> None:
    assert await run(engine, base) == {"tables_created": 1, "columns_added": 0, "indexes_created": 1}


async def test_no_models_are_an_error_that_says_where_to_give_them(engine: AsyncEngine) -> None:
    with pytest.raises(AutoSchemaError, match=r"base is None.*MigrationRunner\(engine, base=Base\)"):
        AutoSchemaMigration(engine, None)
    with pytest.raises(AutoSchemaError, match="cannot find models in int"):
        AutoSchemaMigration(engine, 7)


async def test_a_synchronous_engine_is_an_error_that_says_what_to_pass() -> None:
    with pytest.raises(AutoSchemaError, match=r"not through Engine.*pass self.engine"):
        AutoSchemaMigration(sa.create_engine("postgresql+asyncpg://"), Base)  # type: ignore[arg-type]  # on purpose


async def test_a_connection_keeps_its_transaction(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        auto = AutoSchemaMigration(connection, Base)
        assert (await auto.run())["tables_created"] == 1
        assert await auto.get_existing_tables() == {"users"}
        await connection.rollback()
        assert await auto.get_existing_tables() == set()
        await auto.run()
        await connection.commit()

    assert await AutoSchemaMigration(engine, Base).get_existing_tables() == {"users"}


async def test_a_failure_on_a_connection_takes_back_its_own_work_only(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE kept (id INTEGER)"))
        await connection.execute(sa.text("CREATE SEQUENCE users"))
        with pytest.raises(AutoSchemaError, match="users is a sequence"):
            await run(connection, Base)

    assert await AutoSchemaMigration(engine, Base).get_existing_tables() == {"kept"}


# What it looks up


async def test_the_existing_is_looked_up_by_name(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("events", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="audit")
    await execute(
        engine,
        "CREATE SCHEMA audit",
        "CREATE TABLE audit.events (id INTEGER PRIMARY KEY, kind TEXT)",
        "CREATE INDEX ix_kind ON audit.events (kind)",
        'CREATE TABLE "users.old" (x INTEGER UNIQUE)',
        "CREATE TABLE days (day DATE) PARTITION BY RANGE (day)",
        "CREATE TABLE days_2024 PARTITION OF days FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE VIEW seen AS SELECT 1 AS one",
        "CREATE SCHEMA pgloader",
        "CREATE TABLE pgloader.jobs ()",
    )
    auto = AutoSchemaMigration(engine, metadata)

    assert await auto.get_existing_tables() == {
        "audit.events",
        "users.old",
        "days",
        "days_2024",
        "pgloader.jobs",
    }
    sa.Table("more", metadata, schema="public")
    assert "public.days" in await auto.get_existing_tables()
    assert await auto.get_existing_columns("audit.events") == {"id", "kind"}
    assert await auto.get_existing_columns("users.old") == {"x"}
    assert await auto.get_existing_columns("public.days") == {"day"}
    assert await auto.get_existing_columns("seen") == {"one"}
    assert await auto.get_existing_columns("events") == await auto.get_existing_columns("no.where") == set()
    assert await auto.get_existing_indexes("audit.events") == {"ix_kind"}
    assert await auto.get_existing_indexes("users.old") == {"users.old_x_key"}
    assert await auto.get_existing_indexes("events") == await auto.get_existing_indexes("no.where") == set()


# What it returns


async def test_the_three_steps_one_by_one_return_what_they_did(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("theme", sa.Text, index=True))
    sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True, index=True), schema="staff")
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
    auto = AutoSchemaMigration(engine, metadata)

    assert await auto.create_missing_tables() == ["staff.teams"]
    assert await auto.add_missing_columns() == ["users.theme"]
    assert await auto.create_missing_indexes() == ["ix_staff_teams_id", "ix_users_theme"]

    assert await auto.create_missing_indexes() == []
    assert await auto.run() == NOTHING


@pytest.mark.parametrize("order", list(itertools.permutations(["tables", "columns", "indexes"])), ids="-".join)
async def test_a_foreign_key_comes_with_the_step_that_adds_what_it_refers_to(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, order: Sequence[str]
) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("old", sa.Text, index=True, unique=True),
        sa.Column("code", sa.Text, unique=True),
        sa.Column("team", sa.ForeignKey("teams.slug")),
        sa.Column("boss_code", sa.ForeignKey("users.code")),
    )
    sa.Table(
        "teams",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.Text),
        sa.Column("captain", sa.ForeignKey("users.code", name="captain_is_a_user")),
        sa.Column("founder", sa.ForeignKey("users.old")),
        sa.Column("parent_id", sa.ForeignKey("teams.id")),
        sa.Index("ux_teams_slug", "slug", unique=True),
    )
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, old TEXT)")
    auto = AutoSchemaMigration(engine, metadata)
    steps = {
        "tables": auto.create_missing_tables,
        "columns": auto.add_missing_columns,
        "indexes": auto.create_missing_indexes,
    }

    for step in order:
        await steps[step]()

    assert await column(engine, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [5]
    assert await auto.run() == NOTHING
    assert warnings(caplog) == []


async def test_a_foreign_key_that_waits_does_not_outlive_a_rollback_of_its_table(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("code", sa.Text, unique=True))
    sa.Table("teams", metadata, sa.Column("captain", sa.ForeignKey("users.code")))
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)")

    async with engine.connect() as connection:
        auto = AutoSchemaMigration(connection, metadata)
        await auto.create_missing_tables()
        await connection.rollback()
        await auto.add_missing_columns()
        await auto.run()
        await connection.commit()

    assert await column(engine, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [1]


async def test_a_warning_is_given_once_whichever_steps_meet_it(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("kind", sa.Enum("new", name="kind"), primary_key=True))
    sa.Table("seen", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await execute(engine, "CREATE TYPE kind AS ENUM ('old')", "CREATE VIEW seen AS SELECT 1 AS id")
    auto = AutoSchemaMigration(engine, metadata)

    await auto.create_missing_tables()
    await auto.add_missing_columns()
    await auto.create_missing_indexes()
    await auto.run()

    assert [sentence.partition(". Left")[0] for sentence in warnings(caplog)] == [
        "seen is a view in the database and a table in the models: left as it is.",
        "The database differs from the models: enum public.kind has the labels old instead of new",
    ]


# What it leaves


def everything() -> sa.MetaData:
    """Return models that use what SQLAlchemy can say of PostgreSQL."""
    names = {
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
    metadata = sa.MetaData(naming_convention=names)
    numbers = sa.Sequence("numbers", start=7, metadata=metadata)
    status = sa.Enum("it's new", "old", name="status")
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True, start=5), primary_key=True),
        sa.Column("status", status, server_default="it's new", nullable=False, index=True, comment="it's 100%"),
        sa.Column("code", sa.String(20, collation="C"), unique=True, comment='a "code"'),
        sa.Column("price", sa.Numeric(10, 2), sa.CheckConstraint("price > 0", name="positive"), server_default="1"),
        sa.Column("amount", sa.Integer, nullable=False, default=1),
        sa.Column("total", sa.Numeric, sa.Computed("price * amount", persisted=True)),
        sa.Column("number", sa.Integer, numbers, server_default=numbers.next_value()),
        sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("details", pg.JSONB, server_default=sa.text("""'{"a": "it''s"}'::jsonb""")),
        sa.Column("during", pg.TSTZRANGE),
        sa.Column("positive", pg.DOMAIN("positive", sa.Integer, check="VALUE > 0", default="3")),
        sa.Column("kind", sa.Enum("x", "y", native_enum=False, create_constraint=True, name="kind")),
        sa.Column("line", sa.Integer, sa.Identity(increment=10), nullable=False),
        sa.Column("parent_id", sa.ForeignKey("orders.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED")),
        sa.Column("user_id", sa.ForeignKey("users.id", name="to_user", onupdate="SET NULL")),
        sa.Column("user_a", sa.Integer),
        sa.Column("user_b", sa.Integer),
        sa.UniqueConstraint("code", "amount", name="one", postgresql_nulls_not_distinct=True, deferrable=True),
        sa.UniqueConstraint("number", postgresql_include=["price"]),
        sa.CheckConstraint("amount < 1000 OR code <> 'it''s'", name="text", info={}),
        sa.CheckConstraint(sa.column("price") < 1e6, name="sql"),
        sa.ForeignKeyConstraint(["user_a", "user_b"], ["users.a", "users.b"], match="FULL", use_alter=True),
        pg.ExcludeConstraint(("during", "&&"), name="no_overlap", using="gist", where=sa.text("price > 1")),
        sa.Index("ix_gin", "details", postgresql_using="gin", postgresql_ops={"details": "jsonb_path_ops"}),
        sa.Index("ix_open", "created", postgresql_where=sa.text("status = 'old'")),
        sa.Index("ix_lower", sa.text("lower(code)"), unique=True),
        sa.Index("ix_wide", "number", sa.text("created DESC NULLS LAST"), postgresql_include=["price"]),
        sa.Index("ix_with", "tags", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        sa.Index("ix_concurrently", "line", unique=True, postgresql_concurrently=True),
        comment="it's the table's; \\ 100%",
    )
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, comment="serial"),
        sa.Column("a", sa.Integer),
        sa.Column("b", sa.Integer),
        sa.Column("last_order", sa.ForeignKey("orders.id")),
        sa.UniqueConstraint("a", "b"),
    )
    return metadata


async def test_what_is_added_piece_by_piece_is_what_create_all_creates(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(without_concurrently(everything()).create_all)
    expected = await column(engine, DESCRIBED)
    assert await run(engine, everything()) == NOTHING
    await execute(engine, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    created = await run(engine, everything())
    assert created == {"tables_created": 2, "columns_added": 0, "indexes_created": 7}
    assert await column(engine, DESCRIBED) == expected

    await execute(
        engine,
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY (START 5) CONSTRAINT pk_orders PRIMARY KEY)",
        "CREATE TABLE users (id SERIAL CONSTRAINT pk_users PRIMARY KEY)",
        "COMMENT ON COLUMN users.id IS 'serial'",
        "COMMENT ON TABLE orders IS 'it''s the table''s; \\ 100%'",
        "INSERT INTO orders DEFAULT VALUES",
    )
    assert await run(engine, everything()) == {"tables_created": 0, "columns_added": 20, "indexes_created": 7}
    assert await column(engine, DESCRIBED) == expected
    assert await run(engine, everything()) == NOTHING
    assert warnings(caplog) == []


def without_concurrently(metadata: sa.MetaData) -> sa.MetaData:
    for index in metadata.tables["orders"].indexes:
        index.dialect_options["postgresql"]["concurrently"] = False
    return metadata


async def test_a_failure_at_the_last_step_leaves_nothing(engine: AsyncEngine) -> None:
    metadata = sa.MetaData(schema="fresh")
    kind = sa.Enum("a", name="kind")
    sa.Table("fine", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", kind))
    sa.Table("users", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.Text), schema="public")
    users = metadata.tables["public.users"]
    sa.Index("broken", sa.text("no_such_function(id)"), _table=users)
    await execute(engine, "CREATE TABLE users (id INTEGER)")
    before = await column(engine, DESCRIBED)

    with pytest.raises(sa.exc.DBAPIError, match="no_such_function"):
        await run(engine, metadata)

    assert await column(engine, DESCRIBED) == before
    assert await column(engine, "SELECT count(*) FROM pg_namespace WHERE nspname = 'fresh'") == [0]


async def test_a_cancelled_run_leaves_nothing(engine: AsyncEngine) -> None:
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
    async with engine.begin() as blocker:
        await blocker.execute(sa.text("LOCK TABLE users IN ACCESS SHARE MODE"))
        task = asyncio.create_task(run(engine, everything()))
        waits = f"SELECT pid FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted AND {HERE}"
        await eventually(lambda: column(engine, waits))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await AutoSchemaMigration(engine, Base).get_existing_tables() == {"users"}
    assert await AutoSchemaMigration(engine, Base).get_existing_columns("users") == {"id"}


@pytest.mark.parametrize("one_by_one", [False, True], ids=["run", "one by one"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE users (id SERIAL PRIMARY KEY, email TEXT UNIQUE, theme TEXT)",
        "CREATE TYPE kind AS ENUM ('a')",
        "CREATE SCHEMA audit",
        "ALTER TABLE events ADD kind TEXT",
        "CREATE INDEX ix_events_id ON events (id)",
    ],
)
async def test_what_another_session_makes_meanwhile_is_there_at_a_second_look(
    engine: AsyncEngine, statement: str, *, one_by_one: bool
) -> None:
    metadata = sa.MetaData()
    kind = sa.Enum("a", name="kind")
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table("audits", metadata, sa.Column("kind", kind), schema="audit")
    sa.Table("events", metadata, sa.Column("id", sa.Integer, index=True), sa.Column("kind", sa.Text))
    await execute(engine, "CREATE TABLE events (id INTEGER)")
    auto = AutoSchemaMigration(engine, metadata)

    async def steps() -> None:
        await auto.create_missing_tables()
        await auto.add_missing_columns()
        await auto.create_missing_indexes()

    async with engine.connect() as other:
        await other.exec_driver_sql(statement)
        task = asyncio.create_task(steps() if one_by_one else auto.run())
        waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        await eventually(lambda: column(engine, waits))
        await other.commit()
        await task

    assert await auto.get_existing_tables() == {"users", "audit.audits", "events"}
    assert await auto.get_existing_columns("events") == {"id", "kind"}
    assert await auto.get_existing_indexes("events") == {"ix_events_id"}


async def test_many_databases_may_follow_the_same_models_at_once(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    metadata = everything()
    engines = [create_async_engine(await make_database(), poolclass=NullPool) for _ in range(4)]
    try:
        partly = [
            "CREATE TABLE users (id SERIAL CONSTRAINT pk_users PRIMARY KEY)",
            "COMMENT ON COLUMN users.id IS 'serial'",
        ]
        await execute(engines[0], *partly)
        await asyncio.gather(*(run(engine, metadata) for engine in engines))
        found = [await column(engine, DESCRIBED) for engine in engines]
    finally:
        for engine in engines:
            await engine.dispose()

    assert found[0] == found[1] == found[2] == found[3]


async def test_whichever_column_is_missing_its_return_brings_back_all_that_hung_on_it(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = everything()
    async with engine.begin() as connection:  # and SQLAlchemy's create_all has left its marks on the models
        await connection.run_sync(without_concurrently(metadata).create_all)
    await execute(engine, "INSERT INTO users DEFAULT VALUES", "INSERT INTO orders (code, amount) VALUES ('x', 1)")
    expected = set(await column(engine, DESCRIBED))
    columns = [each for table in metadata.tables.values() for each in table.columns]
    assert len(columns) == 22

    for each in columns:
        caplog.clear()
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"ALTER TABLE {each.table} DROP COLUMN {each.name} CASCADE")
            await run(connection, metadata)
            left = set((await connection.exec_driver_sql(DESCRIBED)).scalars())
            lost = len(warnings(caplog))  # foreign keys of other columns to this one
            assert (each, len(expected - left), left - expected) == (each, lost, set())
            assert lost == {"orders.id": 2, "users.id": 1, "users.a": 1, "users.b": 1}.get(str(each), 0)
