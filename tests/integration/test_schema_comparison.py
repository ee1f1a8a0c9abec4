"""Comparing schemas: the scratch place, what goes wrong, who else is there."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Enum,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.types import UserDefinedType

from async_migrations import RawType, SchemaDifference, compare_schema
from async_migrations.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    MetadataRefusedError,
    RenameError,
    SchemaError,
)
from async_migrations.schema import bench, catalog, queries
from async_migrations.schema import difference as d
from async_migrations.schema.comparison import NOTHING
from async_migrations.schema.kept import PREFIX
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.support.schemas import run_sql


def simple(*parts: Any) -> MetaData:
    m = MetaData()
    Table("t", m, Column("id", Integer, primary_key=True), *parts)
    return m


def simple_in(schema: str | None, *parts: Any) -> MetaData:
    m = MetaData()
    Table("t", m, Column("id", Integer, primary_key=True), *parts, schema=schema)
    return m


def kinds(difference: SchemaDifference) -> list[str]:
    return [type(each).__name__ for each in difference.operations]


async def answer(engine: AsyncEngine, query: str) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


@asynccontextmanager
async def as_role(engine: AsyncEngine, role: str, *, database: str | None = None) -> AsyncIterator[AsyncEngine]:
    """Make a role that may do nothing much, and an engine for it."""
    name = f"{role}_{engine.url.database}"
    await run_sql(engine, f"CREATE ROLE {name} LOGIN")
    other = create_async_engine(
        engine.url.set(username=name, database=database or engine.url.database), poolclass=NullPool
    )
    try:
        yield other
    finally:
        await other.dispose()
        await run_sql(engine, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Begin as a process does: a shadow that another test has made would hide what a scratch place says."""
    bench.forget()


async def test_an_equal_schema_is_false_and_says_so(engine: AsyncEngine) -> None:
    m = simple()
    async with engine.begin() as connection:
        await connection.run_sync(m.create_all)
    difference = await compare_schema(engine, m)
    assert not difference
    assert difference.operations == ()
    assert str(difference) == "The database has the schema of the metadata."


async def test_a_declarative_base_is_as_good_as_its_metadata(engine: AsyncEngine) -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert kinds(await compare_schema(engine, Base)) == ["TableAdded"]
    with pytest.raises(ConfigurationError, match="no models in str"):
        await compare_schema(engine, "models")


async def test_nothing_is_changed_by_a_comparison(engine: AsyncEngine) -> None:
    before = await answer(engine, "SELECT sum(hashtext(c::text)) FROM pg_class AS c WHERE relnamespace > 16383")
    assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]
    assert not await answer(engine, "SELECT relname FROM pg_class WHERE relname = 't'")
    after = await answer(engine, "SELECT sum(hashtext(c::text)) FROM pg_class AS c WHERE relnamespace > 16383")
    assert before == after


async def test_the_scratch_database_is_kept_and_empty(engine: AsyncEngine, server: Server) -> None:
    bench.forget()
    await compare_schema(engine, simple())
    names = await answer(engine, f"SELECT datname::text FROM pg_database WHERE datname LIKE '{PREFIX}%'")
    assert names
    for name in names:
        scratch = create_async_engine(server.url(name), poolclass=NullPool)
        assert not await answer(scratch, "SELECT relname::text FROM pg_class WHERE relname = 't'")
        await scratch.dispose()


async def test_many_comparisons_at_once_wait_for_each_other(make_database: MakeDatabase) -> None:
    engines = [create_async_engine(await make_database(), poolclass=NullPool) for _ in range(4)]
    results: list[list[str]] = []

    async def one(each: AsyncEngine, number: int) -> None:
        results.append(kinds(await compare_schema(each, simple(Column(f"c{number}", Integer)))))

    async with anyio.create_task_group() as group:
        for number, each in enumerate(engines):
            group.start_soon(one, each, number)
    assert results == [["TableAdded"]] * 4
    for each in engines:
        await each.dispose()


async def test_two_processes_may_make_the_scratch_database_at_once(own_server: Server) -> None:
    engines = [create_async_engine(own_server.url(), poolclass=NullPool) for _ in range(4)]
    bench.forget()
    async with anyio.create_task_group() as group:
        for each in engines:
            group.start_soon(compare_schema, each, simple())
    names = await answer(engines[0], f"SELECT datname::text FROM pg_database WHERE datname LIKE '{PREFIX}%'")
    assert len(names) == 1
    # A CREATE DATABASE that was killed leaves this behind.
    await run_sql(engines[0], f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{names[0]}'")
    bench.forget()
    assert kinds(await compare_schema(engines[0], simple())) == ["TableAdded"]
    for each in engines:
        await each.dispose()


LEFT_BEHIND = {
    "TABLE left_behind (a integer)": "TABLE left_behind",
    "TYPE left_behind AS ENUM ('a')": "TYPE left_behind",
    "TYPE left_behind AS (a integer)": "TYPE left_behind",
    "FUNCTION left_behind() RETURNS integer LANGUAGE sql AS 'SELECT 1'": "FUNCTION left_behind",
}


async def test_a_scratch_database_with_things_in_it_is_refused(own_server: Server) -> None:
    engine = create_async_engine(own_server.url(), poolclass=NullPool)
    bench.forget()
    await compare_schema(engine, simple())
    (name,) = await answer(engine, f"SELECT datname::text FROM pg_database WHERE datname LIKE '{PREFIX}%'")
    scratch = create_async_engine(own_server.url(name), poolclass=NullPool)
    for made, gone in LEFT_BEHIND.items():
        await run_sql(scratch, f"CREATE {made}")
        bench.forget()
        with pytest.raises(SchemaError, match=r"not empty: it has public.left_behind. Nothing was compared"):
            await compare_schema(engine, simple())
        await run_sql(scratch, f"DROP {gone}")
    member = "CREATE FUNCTION member() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    await run_sql(scratch, f"{member}; ALTER EXTENSION plpgsql ADD FUNCTION member()")
    assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]
    for each in (engine, scratch):
        await each.dispose()


async def test_a_scratch_url_is_used_and_left_empty(engine: AsyncEngine, make_database: MakeDatabase) -> None:
    url = await make_database()
    bench.forget()
    assert kinds(await compare_schema(engine, simple(), scratch_url=url)) == ["TableAdded"]
    scratch = create_async_engine(url, poolclass=NullPool)
    assert not await answer(scratch, "SELECT relname::text FROM pg_class WHERE relname = 't'")
    # One that is not empty gives its server only.
    await run_sql(scratch, "CREATE TABLE t (other text)")
    bench.forget()
    assert kinds(await compare_schema(engine, simple(), scratch_url=url)) == ["TableAdded"]
    await scratch.dispose()
    with pytest.raises(DatabaseUnavailableError):
        await compare_schema(
            engine, simple(Column("x", Integer)), scratch_url=url.replace("postgres@", "nobody@"), deadline=2
        )


ROLE_METADATA: list[Any] = [
    lambda: Column("kind", Enum("a", "b", name="kind"), server_default="a"),
    lambda: Column("n", String(5), CheckConstraint("n IN ('x', 'y')", name="ck")),
    lambda: Column("up", ForeignKey("t.id")),
    lambda: Column("twice", Integer, Computed("id * 2", persisted=True)),
    lambda: Column("day", Integer, Identity(start=5)),
    lambda: Index("ix", "n", unique=True, postgresql_where=text("kind = 'a'")),
]


async def test_without_the_right_to_create_databases_scratch_schemas_serve(engine: AsyncEngine) -> None:
    m = simple(*(part() for part in ROLE_METADATA))
    async with as_role(engine, "poor") as poor:
        name = poor.url.username
        await run_sql(
            engine, f"GRANT CREATE ON DATABASE {engine.url.database} TO {name}; GRANT ALL ON SCHEMA public TO {name}"
        )
        async with poor.begin() as connection:
            await connection.run_sync(m.create_all)
        difference = await compare_schema(poor, m)
        assert not difference, str(difference)
        assert "scratch schemas in the live database" in difference.notes[0]
        assert "may not create a database" in difference.notes[0]
        await run_sql(engine, "ALTER TABLE t DROP CONSTRAINT ck, ADD CONSTRAINT ck CHECK (n IN ('x'))")
        assert kinds(await compare_schema(poor, m)) == ["ConstraintChanged"]
        # As a dump prints it: settled without touching the live table.
        again = "n::text = ANY (ARRAY['x'::varchar::text, 'y'::varchar::text])"
        await run_sql(engine, f"ALTER TABLE t DROP CONSTRAINT ck, ADD CONSTRAINT ck CHECK ({again})")
        assert kinds(await compare_schema(poor, m)) == []
        assert not await answer(engine, "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'am_scratch%'")


async def test_renames_are_followed_in_scratch_schemas_too(engine: AsyncEngine) -> None:
    before = simple(Column("a", Integer), CheckConstraint("a > 0", name="ck"))
    after = MetaData()
    Table(
        "u", after, Column("id", Integer, primary_key=True), Column("b", Integer), CheckConstraint("b > 0", name="ck")
    )
    async with as_role(engine, "poor") as poor:
        name = poor.url.username
        await run_sql(
            engine, f"GRANT CREATE ON DATABASE {engine.url.database} TO {name}; GRANT ALL ON SCHEMA public TO {name}"
        )
        async with poor.begin() as connection:
            await connection.run_sync(before.create_all)
        hints = [("table", "public.t", "u"), ("column", "public.t.a", "b")]
        difference = await compare_schema(poor, after, renames=hints)
        assert sorted(kinds(difference)) == ["ColumnRenamed", "ConstraintRenamed", "SequenceRenamed", "TableRenamed"]


@pytest.mark.parametrize("rights", ["", "CREATEDB"], ids=["scratch schemas", "scratch database"])
async def test_things_may_move_out_of_a_schema_that_the_models_use_no_more(engine: AsyncEngine, rights: str) -> None:
    def models(schema: str | None) -> MetaData:
        return simple_in(schema, Column("e", Enum("a", name="e", schema=schema), server_default="a"))

    hints = [("table", "old.t", "public.t"), ("type", "old.e", "public.e")]
    async with as_role(engine, "mover") as mover:
        name = mover.url.username
        grants = f"GRANT CREATE ON DATABASE {engine.url.database} TO {name}; GRANT ALL ON SCHEMA public TO {name}"
        await run_sql(engine, f"ALTER ROLE {name} LOGIN {rights}; {grants}")
        await run_sql(mover, "CREATE SCHEMA old")
        async with mover.begin() as connection:
            await connection.run_sync(models("old").create_all)
        bench.forget()
        difference = await compare_schema(mover, models(None), renames=hints)
        assert kinds(difference) == ["TypeRenamed", "TableRenamed"]
        await run_sql(mover, "ALTER TABLE old.t SET SCHEMA public; ALTER TYPE old.e SET SCHEMA public")
        assert not await compare_schema(mover, models(None))
        for each in await answer(engine, f"SELECT datname::text FROM pg_database WHERE datdba = '{name}'::regrole"):
            await run_sql(engine, f'DROP DATABASE "{each}"')


async def test_without_any_right_the_error_says_what_to_give(engine: AsyncEngine) -> None:
    async with as_role(engine, "poorest") as poor:
        with pytest.raises(
            SchemaError, match=r"neither a database nor a schema\. Nothing was compared\. Give a scratch_url"
        ):
            await compare_schema(poor, simple())


async def test_an_engine_with_its_own_way_to_connect_uses_scratch_schemas(engine: AsyncEngine) -> None:
    import asyncpg

    async def creator() -> Any:
        url = engine.url
        return await asyncpg.connect(host=url.host, port=url.port, user=url.username, database=url.database)

    own = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    bench.forget()
    difference = await compare_schema(own, simple())
    assert kinds(difference) == ["TableAdded"]
    assert "leads to one database only" in difference.notes[0]
    await own.dispose()


# What PostgreSQL refuses


@pytest.mark.parametrize(
    ("parts", "thing", "reason"),
    [
        (lambda: [Column("a", Integer, CheckConstraint("nonsense(a)"))], "table public.t", "nonsense"),
        (
            lambda: [Column("a", Text), Index("ix_bad", text("no_such_column"))],
            "index ix_bad of table public.t",
            "column",
        ),
        (lambda: [Column("a", Text, ForeignKey("t.id"))], "table public.t", "foreign key"),
        (lambda: [Column("a", pg.ENUM("x", name="nowhere", create_type=False))], "table public.t", 'type "nowhere"'),
        (lambda: [Column("a", pg.DOMAIN("dom", Integer, check="VALUE = 'x'"))], "domain public.dom", "invalid input"),
        (lambda: [Column("a", Integer, server_default=text("'x'"))], "table public.t", "invalid input"),
        (
            lambda: [Column("a", Text), ForeignKeyConstraint(["a"], ["t.id"], name="fk", use_alter=True)],
            "constraint fk of table public.t",
            "cannot be implemented",
        ),
        (
            lambda: [Column("a", Text), Index("ix", "a", postgresql_using="gist")],
            "index ix of table public.t",
            'no default operator class for access method "gist"',
        ),
        (
            lambda: [Column("a", pg.JSON), UniqueConstraint("a", name="uq")],
            "table public.t",
            "no default operator class",
        ),
        (
            lambda: [Column("a", Integer, Sequence("s", increment=0), primary_key=True)],
            "sequence public.s",
            "INCREMENT must not be zero",
        ),
        (lambda: [Column("a", pg.ENUM("x", "x", name="twice"))], "enum public.twice", "already exists"),
        (lambda: [Column("a", RawType("vectors(3)"))], "table public.t", 'type "vectors" does not exist'),
        (lambda: [Column("a", String(5, collation="nowhere"))], "table public.t", 'collation "nowhere"'),
    ],
)
async def test_what_postgresql_refuses_is_named(engine: AsyncEngine, parts: Any, thing: str, reason: str) -> None:
    with pytest.raises(MetadataRefusedError, match=re.escape(reason)) as caught:
        await compare_schema(engine, simple(*parts()))
    assert caught.value.thing == thing
    assert caught.value.sqlstate
    assert "statement:" in str(caught.value)
    assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]


async def test_a_listener_that_asks_the_database_is_answered(engine: AsyncEngine) -> None:
    m = simple(Index("ix", "id", postgresql_concurrently=True))

    @event.listens_for(m, "after_create")
    def after_create(_target: Any, connection: Any, **_: Any) -> None:
        if connection.execute(text("SELECT current_setting('server_version_num')::integer")).scalar() > 0:
            connection.execute(text("CREATE TABLE by_listener (a integer)"))

    assert kinds(await compare_schema(engine, m)) == ["TableAdded", "TableAdded"]

    @event.listens_for(m, "after_create")
    def broken(_target: Any, connection: Any, **_: Any) -> None:
        connection.execute(text("CREATE TABLE t (twice integer)"))

    with pytest.raises(MetadataRefusedError, match="already exists"):
        await compare_schema(engine, m)


async def test_a_metadata_without_ddl_is_a_sentence(engine: AsyncEngine) -> None:
    with pytest.raises(SchemaError, match=r"SQLAlchemy cannot write the DDL of the metadata.*Nothing was compared"):
        await compare_schema(engine, simple(Column("typeless")))
    with pytest.raises(SchemaError, match=r"SQLAlchemy cannot write the DDL.*could not find table 'nowhere'"):
        await compare_schema(engine, simple(Column("a", ForeignKey("nowhere.id"))))


class Broken(UserDefinedType[str]):
    """A type that cannot say what it is."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        raise KeyError("spec")


async def test_code_of_the_models_that_fails_is_a_sentence_with_its_place(engine: AsyncEngine) -> None:
    sentence = r"The metadata's own code fails while it is created: {}: {} \({}, line \d+\)\. Nothing was compared\."
    with pytest.raises(SchemaError, match=sentence.format("KeyError", "'spec'", re.escape(__file__))):
        await compare_schema(engine, simple(Column("a", Broken())))
    m = simple()

    @event.listens_for(m, "after_create")
    def broken(_target: Any, _connection: Any, **_: Any) -> None:
        raise ValueError("no such tenant")

    with pytest.raises(SchemaError, match=sentence.format("ValueError", "no such tenant", re.escape(__file__))):
        await compare_schema(engine, m)
    with pytest.raises(SchemaError, match=r"holds '\\udc80', which is half a character"):
        await compare_schema(engine, simple(Column("a\udc80", Integer)))


# Hints


@pytest.mark.parametrize(
    ("hint", "sentence"),
    [
        (("table", "public.nothing", "t"), "'public.nothing', 't'): t"),
        (("table", "public.old", "nothing"), "the metadata has no table public.nothing"),
        (("table", "public.gone", "wanted"), "the database has no table public.gone"),
        (("column", "public.t.nothing", "id"), "is there already"),
        (("colum", "public.t.a", "b"), "there is no kind 'colum'"),
        (("column", "a", "b"), "written in full: schema.table.column"),
        (("table", "a.b.c", "d"), "schema.table"),
        (("table", "old"), "three texts"),
    ],
)
async def test_a_wrong_hint_is_named(engine: AsyncEngine, hint: Any, sentence: str) -> None:
    await run_sql(
        engine, "CREATE TABLE old (id serial primary key); CREATE TABLE t (id serial primary key, nothing int)"
    )
    m = simple()
    Table("wanted", m, Column("id", Integer, primary_key=True))
    if hint[1] == "public.nothing":
        assert "is followed already" in (await compare_schema(engine, m, renames=[hint])).notes[0]
        return
    with pytest.raises(RenameError, match=re.escape(sentence)):
        await compare_schema(engine, m, renames=[hint])


async def test_hints_that_contradict_each_other_are_refused(engine: AsyncEngine) -> None:
    await run_sql(engine, "CREATE TABLE t (id serial primary key, a int, b int)")
    m = simple(Column("a", Integer), Column("b", Integer))
    with pytest.raises(RenameError, match="another hint renames the same column"):
        await compare_schema(engine, m, renames=[("column", "public.t.a", "x"), ("column", "public.t.a", "y")])


async def test_a_swap_that_postgresql_refuses_is_named(engine: AsyncEngine) -> None:
    m = MetaData()
    for schema in ("one", "other"):
        await run_sql(engine, f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (id serial primary key)")
        Table("t", m, Column("id", Integer, primary_key=True), schema=schema)
    hints = [("table", "one.t", "other.t"), ("table", "other.t", "one.t")]
    with pytest.raises(RenameError, match='PostgreSQL refuses it: relation "t_pkey" already exists'):
        await compare_schema(engine, m, renames=hints)


async def test_renames_in_a_chain_come_in_the_order_that_frees_the_names(engine: AsyncEngine) -> None:
    await run_sql(engine, "CREATE TABLE t (id serial primary key, a int, b int, CONSTRAINT ck CHECK (a > 0 AND b < 0))")
    m = simple(Column("b", Integer), Column("c", Integer), CheckConstraint("b > 0 AND c < 0", name="ck"))
    hints = [("column", "public.t.a", "b"), ("column", "public.t.b", "c")]
    difference = await compare_schema(engine, m, renames=hints)
    assert [str(each) for each in difference.operations] == [
        "column public.t.b is renamed to c",
        "column public.t.a is renamed to b",
    ]


async def test_a_hint_without_a_schema_means_the_default_one(engine: AsyncEngine) -> None:
    await run_sql(engine, 'CREATE TABLE "Old.one" (id serial primary key, "A" int)')
    m = MetaData()
    Table("new", m, Column("id", Integer, Identity(), primary_key=True), Column("b", Integer))
    hints = [("table", '"Old.one"', "new"), ("column", 'new."A"', "b")]
    assert kinds(await compare_schema(engine, m, renames=hints))[:2] == ["TableRenamed", "ColumnRenamed"]


# Scope


async def test_ledgers_are_nobodys_models(engine: AsyncEngine) -> None:
    await run_sql(
        engine,
        "CREATE TABLE schema_migrations (migration_name text, applied_at timestamptz, execution_time_ms int);"
        "CREATE TABLE my_ledger (anything int); CREATE TABLE alembic_version (version_num varchar(32))",
    )
    assert kinds(await compare_schema(engine, MetaData(), ledger_table="my_ledger")) == []
    assert kinds(await compare_schema(engine, MetaData())) == ["TableRemoved"]
    await run_sql(engine, "CREATE SCHEMA ops; CREATE TABLE ops.log (a int)")
    assert kinds(await compare_schema(engine, MetaData(schema="ops"), ledger_table="ops.log")) == ["TableRemoved"]


async def test_what_is_compared_can_be_chosen(engine: AsyncEngine) -> None:
    await run_sql(
        engine, "CREATE SCHEMA app; CREATE TABLE app.t (a int); CREATE TABLE old (a int); CREATE TYPE k AS ENUM ('a')"
    )
    assert kinds(await compare_schema(engine, MetaData())) == ["TableRemoved", "EnumRemoved"]
    assert kinds(await compare_schema(engine, MetaData(), schemas=["app"])) == ["TableRemoved"]
    nothing = await compare_schema(engine, MetaData(), schemas=[])
    assert (kinds(nothing), [note.partition(":")[0] for note in nothing.notes]) == ([], ["Nothing was compared"])
    chosen = await compare_schema(engine, MetaData(), include=lambda kind, name: (kind, name.name) != ("table", "old"))
    assert kinds(chosen) == ["EnumRemoved"]


@pytest.mark.parametrize("typed", ["pubilc", ""])
async def test_a_schema_that_nobody_has_is_no_equal_one(engine: AsyncEngine, typed: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"There is no schema '{typed}', neither .* the database has public\."
    ):
        await compare_schema(engine, simple(), schemas=["public", typed])
    only_declared = MetaData()
    Table("t", only_declared, Column("a", Integer), schema="app")
    assert kinds(await compare_schema(engine, only_declared, schemas=["app"])) == ["SchemaAdded", "TableAdded"]


async def test_where_nothing_is_left_to_compare_it_is_said(engine: AsyncEngine) -> None:
    assert not (await compare_schema(engine, MetaData())).notes
    excluded = await compare_schema(engine, simple(), include=lambda _kind, _name: False)
    assert (kinds(excluded), excluded.notes) == ([], (NOTHING,))


async def test_what_the_models_only_announce_is_filled_as_the_database_has_it(engine: AsyncEngine) -> None:
    await run_sql(
        engine,
        "CREATE SEQUENCE free; CREATE TABLE t (id serial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), "
        "n bigint DEFAULT nextval('free'), i int GENERATED ALWAYS AS IDENTITY, "
        "c int GENERATED ALWAYS AS (1 + 1) STORED)",
    )
    fetched = [Column(name, Integer, server_default=FetchedValue()) for name in ("n", "c")]
    m = MetaData()
    Table(
        "t",
        m,
        Column("id", Integer, FetchedValue(), primary_key=True),
        Column("at", DateTime(timezone=True), FetchedValue(), nullable=False),
        Column("i", Integer, FetchedValue(), nullable=False),
        *fetched,
    )
    (changed,) = (await compare_schema(engine, m)).operations
    assert isinstance(changed, d.ColumnTypeChanged)
    assert changed.after.default == changed.before.default == "nextval('public.free'::regclass)"
    fetched[0].type = BigInteger()
    assert not await compare_schema(engine, m)
    # The same DDL without the word is another metadata.
    bare = MetaData()
    for column in m.tables["t"].to_metadata(bare).columns:
        column.server_default = None
    bare.tables["t"].c.id.autoincrement = False
    assert "DefaultChanged" in kinds(await compare_schema(engine, bare))


async def test_two_tables_of_one_name_are_two_tables(engine: AsyncEngine) -> None:
    await run_sql(engine, "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (id int); CREATE TABLE b.t (id bigint)")
    m = MetaData()
    for schema in ("a", "b"):
        Table("t", m, Column("id", Integer), schema=schema)
    difference = await compare_schema(engine, m)
    assert [str(each) for each in difference.operations] == ["column b.t.id is bigint instead of integer"]


async def test_a_search_path_elsewhere_is_followed(engine: AsyncEngine) -> None:
    await run_sql(engine, "CREATE SCHEMA app; CREATE SCHEMA lib; CREATE TYPE lib.kind AS ENUM ('a')")
    elsewhere = create_async_engine(
        engine.url, poolclass=NullPool, connect_args={"server_settings": {"search_path": "app, lib"}}
    )
    m = simple(Column("k", pg.ENUM("a", name="kind", create_type=False), server_default="a"))
    async with elsewhere.begin() as connection:
        await connection.run_sync(m.create_all)
    difference = await compare_schema(elsewhere, m)
    assert not difference, str(difference)
    assert difference.wanted.default_schema == "app"
    await elsewhere.dispose()


@pytest.mark.parametrize("place", ["not there", "closed"])
async def test_a_search_path_that_leads_nowhere_is_not_the_models_fault(engine: AsyncEngine, place: str) -> None:
    async with as_role(engine, "lost") as lost:
        name = lost.url.username
        closed = "CREATE SCHEMA app" if place == "closed" else "SELECT 1"
        await run_sql(engine, f"{closed}; ALTER ROLE {name} SET search_path = app")
        with pytest.raises(
            SchemaError, match=rf"There is no schema for t: .* of the role {name} in .* GRANT USAGE on it"
        ):
            await compare_schema(lost, simple())
        sequences = MetaData()
        Sequence("s", metadata=sequences)
        with pytest.raises(SchemaError, match="There is no schema for s"):
            await compare_schema(lost, sequences)
        assert kinds(await compare_schema(lost, MetaData())) == []


async def test_a_view_under_the_name_of_a_table_is_left_alone_and_said(engine: AsyncEngine) -> None:
    await run_sql(engine, "CREATE VIEW t AS SELECT 1 AS id")
    difference = await compare_schema(engine, simple())
    assert not difference
    assert difference.notes == ("public.t is a view in the database and a table in the metadata: left alone.",)


# The server


async def test_a_role_that_may_not_read_the_catalog_is_told_so(own_server: Server) -> None:
    engine = create_async_engine(own_server.url(), poolclass=NullPool)
    async with as_role(engine, "blind") as blind:
        await run_sql(engine, "REVOKE SELECT ON pg_catalog.pg_constraint FROM PUBLIC")
        with pytest.raises(SchemaError, match=r"may not read the catalog: permission denied for table pg_constraint"):
            await compare_schema(blind, simple())
    await engine.dispose()


async def test_a_server_that_is_too_old_is_refused(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    old = queries.SELECT_PLACE.replace("current_setting('server_version_num')", "'130014'")
    monkeypatch.setattr(queries, "SELECT_PLACE", old)
    with pytest.raises(SchemaError, match="PostgreSQL 13, whose catalog is not known here: 14 is the oldest"):
        await compare_schema(engine, simple())


async def test_a_schema_that_changes_meanwhile_gives_one_picture(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_sql(engine, "CREATE TABLE t (id serial primary key, a int); CREATE INDEX ix ON t (a)")
    honest, changes = catalog._ask_all, iter(["ALTER TABLE t RENAME a TO b", "DROP INDEX ix"])

    async def disturbed(driver: Any, version: int) -> Any:
        # After our snapshot, before what PostgreSQL prints of the present.
        if sql := next(changes, None):
            await run_sql(engine, sql)
        return await honest(driver, version)

    monkeypatch.setattr(catalog, "_ask_all", disturbed)
    bench.forget()
    m = simple(Column("b", Integer))
    assert kinds(await compare_schema(engine, m)) == []


async def test_a_database_that_is_not_there_is_an_error_with_its_address(server: Server) -> None:
    engine = create_async_engine(server.url("no_such_database"), poolclass=NullPool)
    with pytest.raises(DatabaseUnavailableError, match="no_such_database"):
        await compare_schema(engine, simple())
    await engine.dispose()


async def test_a_cancelled_comparison_leaves_nothing(engine: AsyncEngine) -> None:
    bench.forget()
    m = simple(*(Column(f"c{number}", Integer) for number in range(50)))
    for delay in (0.0, 0.01, 0.03, 0.06):
        with anyio.move_on_after(delay):
            await compare_schema(engine, m)
    assert kinds(await compare_schema(engine, m)) == ["TableAdded"]


async def test_a_changed_metadata_is_not_taken_for_the_remembered_one(engine: AsyncEngine) -> None:
    m = simple(Column("a", Integer))
    async with engine.begin() as connection:
        await connection.run_sync(m.create_all)
    assert not await compare_schema(engine, m)
    m.tables["t"].c.a.nullable = False
    assert kinds(await compare_schema(engine, m)) == ["NullabilityChanged"]
    m.tables["t"].append_column(Column("b", Integer))
    assert kinds(await compare_schema(engine, m)) == ["ColumnAdded", "NullabilityChanged"]


def changeable() -> dict[str, Any]:
    m = MetaData()
    other = Table("other", m, Column("id", Integer, primary_key=True))
    table = Table(
        "t",
        m,
        Column("id", Integer, Identity(), primary_key=True),
        Column("a", String(5), server_default=text("'x'")),
        Column("g", String, Computed("a", persisted=True)),
        Column("d", pg.DOMAIN("d", Integer, check="VALUE > 0")),
        check := CheckConstraint("a > 'b'", name="ck"),
        key := ForeignKeyConstraint(["id"], [other.c.id], name="fk"),
    )
    index = Index("ix", table.c.a, postgresql_where=text("a > 'c'"))
    sequence = Sequence("s", start=5, metadata=m)
    return {"m": m, "t": table, "c": table.c, "check": check, "key": key, "index": index, "sequence": sequence}


CHANGES: dict[str, tuple[Callable[..., Any], str]] = {
    "check": (lambda check, **_: setattr(check, "sqltext", text("a > 'q'")), "ConstraintChanged"),
    "default": (lambda c, **_: setattr(c.a.server_default, "arg", text("'z'")), "DefaultChanged"),
    "computed": (lambda c, **_: setattr(c.g.computed, "sqltext", text("a || 'x'")), "ComputedChanged"),
    "identity": (lambda c, **_: setattr(c.id.identity, "always", True), "IdentityChanged"),
    "predicate": (
        lambda index, **_: index.dialect_options["postgresql"].update(where=text("a > 'z'")),
        "IndexChanged",
    ),
    "unique": (lambda index, **_: setattr(index, "unique", True), "IndexChanged"),
    "ondelete": (lambda key, **_: setattr(key, "ondelete", "CASCADE"), "ConstraintChanged"),
    "deferrable": (lambda key, **_: setattr(key, "deferrable", True), "DeferrabilityChanged"),
    "sequence": (lambda sequence, **_: setattr(sequence, "start", 7), "SequenceChanged"),
    "prefix": (lambda t, **_: t._prefixes.append("UNLOGGED"), "PersistenceChanged"),
    "domain": (lambda c, **_: setattr(c.d.type, "check", text("VALUE > 1")), "DomainChanged"),
}


@pytest.mark.parametrize(("change", "kind"), CHANGES.values(), ids=CHANGES)
async def test_what_is_changed_in_place_is_not_taken_for_the_remembered(
    engine: AsyncEngine, change: Callable[..., Any], kind: str
) -> None:
    models = changeable()
    m = models.pop("m")
    async with engine.begin() as connection:
        await connection.run_sync(m.create_all)
    assert not await compare_schema(engine, m)
    change(**models)
    assert kind in kinds(await compare_schema(engine, m))


async def test_a_remembered_shadow_needs_no_scratch_place(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    m = simple(Column("a", Integer))
    assert kinds(await compare_schema(engine, m)) == ["TableAdded"]

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(bench, "open_scratch", refuse)
    assert kinds(await compare_schema(engine, m)) == ["TableAdded"]


async def test_the_answer_has_both_sides_for_who_writes_migrations(engine: AsyncEngine) -> None:
    m = simple(Column("a", Integer))
    difference = await compare_schema(engine, m)
    (added,) = difference.operations
    assert isinstance(added, d.TableAdded)
    assert added.table == difference.wanted.tables[0]
    assert difference.metadata is m
    assert difference.live.tables == ()
    assert not difference.destructive
    assert hash(added) == hash(d.TableAdded(added.table))
