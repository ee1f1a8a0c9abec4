"""What generated files look like: where each step stands, what is left out, what they import."""

import ast
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    CHAR,
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN, INT4RANGE, JSONB, ExcludeConstraint
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner, compare_schema
from async_migrations.discovery import discover
from async_migrations.errors import ConfigurationError, MigrationFailedError, MigrationsError
from async_migrations.schema.difference import ColumnTypeChanged
from tests.schema_cases.moved import Percent, Range8
from tests.support.generated import upgrade, values
from tests.support.schemas import run_sql


def simple(*parts: Any, **options: Any) -> MetaData:
    m = MetaData()
    Table("t", m, Column("id", Integer, primary_key=True), *parts, **options)
    return m


class Refusing(TypeDecorator[str]):
    """A type whose values only a running application can write."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:  # noqa: ARG002 - SQLAlchemy passes them
        raise RuntimeError("no key is loaded")


async def create(engine: AsyncEngine, metadata: MetaData) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


async def test_each_step_stands_in_the_file_that_keeps_the_service_running(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Integer), Column("b", Integer)))
    after = simple(
        Column("a", Integer, ForeignKey("t.id", name="fk"), index=True),
        Column("b", Integer, CheckConstraint("b > 0", name="ck"), nullable=False, unique=True),
    )
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "keys")
    assert [path.name for path in paths] == ["001_keys.py", "002_keys_indexes.py", "003_keys_validate.py"]
    main, indexes, validate = (path.read_text() for path in paths)
    assert "transactional = False" not in main
    assert 'create_foreign_key("fk", "t", "t", ["a"], ["id"], not_valid=True)' in main
    assert 'create_check_constraint("ck", "t", "b > 0", not_valid=True)' in main
    assert "transactional = False" in indexes
    assert 'create_index("ix_t_a", "t", ["a"])' in indexes
    assert 'create_unique_constraint("t_b_key", "t", ["b"])' in indexes
    assert "transactional = False" in validate
    assert 'validate_constraint("fk", "t")' in validate
    assert 'set_not_null("t", "b")' in validate


async def test_a_not_null_that_was_never_validated_is_proved(
    engine: AsyncEngine, tmp_path: Path, postgres_version: int
) -> None:
    if postgres_version < 18:
        pytest.skip("needs PostgreSQL 18")
    await create(engine, simple(Column("a", Integer)))
    await run_sql(engine, "INSERT INTO t (a) VALUES (NULL); ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NOT VALID")
    after = simple(Column("a", Integer, nullable=False))
    difference = await compare_schema(engine, after)
    assert [str(each) for each in difference.operations] == ["column public.t.a may be NULL"]
    difference.write_migrations(tmp_path, "proof")
    with pytest.raises(MigrationFailedError, match="23502"):
        await upgrade(engine, tmp_path)
    await run_sql(engine, "UPDATE t SET a = 1")
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_storage_parameters_of_what_lies_outside_the_table_are_followed(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    parameters = {"toast.autovacuum_enabled": False, "fillfactor": 70}
    for number, before in enumerate(({}, {"toast.vacuum_truncate": True, "fillfactor": 70}, {"fillfactor": 70})):
        await run_sql(engine, "DROP TABLE IF EXISTS t, schema_migrations")
        first, after = simple(Column("a", Text)), simple(Column("a", Text))
        first.tables["t"].dialect_options["postgresql"]["with"] = before
        after.tables["t"].dialect_options["postgresql"]["with"] = parameters
        await create(engine, first)
        difference = await compare_schema(engine, after)
        assert [type(each).__name__ for each in difference.operations] == ["TableOptionsChanged"]
        difference.write_migrations(tmp_path / str(number), "parameters")
        await upgrade(engine, tmp_path / str(number))
        assert not await compare_schema(engine, after)


async def test_a_new_table_is_one_file_with_its_indexes(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple(Column("a", Text, index=True)))
    (path,) = difference.write_migrations(tmp_path, "Add things")
    assert path.name == "001_add_things.py"
    assert "transactional" not in path.read_text()
    assert 'create_index("ix_t_a", "t", ["a"])' in path.read_text()


async def test_a_label_is_committed_before_its_use(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Enum("x", name="kind"))))
    after = simple(Column("a", Enum("x", "y", name="kind"), server_default="y"))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "labels")
    assert [path.name for path in paths] == ["001_labels_labels.py", "002_labels.py"]
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_a_label_that_nothing_uses_needs_no_file_of_its_own(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Enum("x", name="kind"))))
    after = simple(Column("a", Enum("x", "y", name="kind")), Column("b", Text))
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "label")
    assert 'add_enum_value("kind", "y")' in path.read_text()


async def test_what_loses_something_is_left_out_and_listed(engine: AsyncEngine, tmp_path: Path) -> None:
    before = simple(Column("a", Enum("x", "y", name="kind")), Column("b", Text), Column("n", Integer))
    Table("u", before, Column("k", Enum("p", name="other")))
    await create(engine, before)
    await run_sql(engine, "INSERT INTO t (a, b) VALUES ('y', 'kept')")
    after = simple(Column("a", Enum("x", "z", name="kind")), Column("c", Text))
    difference = await compare_schema(engine, after)
    paths = difference.write_migrations(tmp_path, "careful")
    (path,) = paths
    source = path.read_text()
    assert "drop_table" not in source
    assert "drop_column" not in source.partition("downgrade")[0]
    assert "drop_enum" not in source
    assert 'add_enum_value("kind", "z"' in source
    assert "# Left out, since something would be lost" in source
    left = {type(each).__name__ for each in paths.left_out}
    assert left == {"ColumnRemoved", "TableRemoved", "EnumRemoved", "EnumLabelsChanged"}
    assert "Left out, since something would be lost: column public.t.b" in str(paths)
    await upgrade(engine, tmp_path)
    remaining = await compare_schema(engine, after)
    assert {type(each).__name__ for each in remaining.operations} == left


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Numeric(10, 4), DOMAIN("price", Integer)),
        (DOMAIN("price", Numeric(10, 4)), DOMAIN("price", Numeric(10, 2))),
        (ARRAY(DOMAIN("price", Numeric(10, 4))), ARRAY(DOMAIN("price", Numeric(10, 2)))),
        (ARRAY(Integer), Integer),
    ],
)
async def test_a_conversion_that_rounds_is_left_out_whatever_it_is_wrapped_in(
    before: Any, after: Any, engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple(Column("a", before)))
    paths = (await compare_schema(engine, simple(Column("a", after)))).write_migrations(tmp_path, "price")
    assert paths.left_out
    assert "alter_column" not in "".join(path.read_text() for path in paths)
    await upgrade(engine, tmp_path)


async def test_a_domain_over_a_domain_is_judged_by_the_innermost_type(engine: AsyncEngine, tmp_path: Path) -> None:
    await run_sql(engine, "CREATE DOMAIN exact AS numeric(10,4); CREATE DOMAIN price AS exact")
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY, a price, b price[])")
    after = simple(Column("a", Numeric(10, 2)), Column("b", ARRAY(Numeric(10, 2))))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "price")
    assert [str(each) for each in paths.left_out if isinstance(each, ColumnTypeChanged)] == [
        "column public.t.a is public.price instead of numeric(10,2)",
        "column public.t.b is public.price[] instead of numeric(10,2)[]",
    ]


@pytest.mark.parametrize(
    ("before", "after", "value", "error"),
    [
        (Integer, Boolean, "7", "invalid input syntax for type boolean"),
        (Text, ARRAY(String(3)), "'abcdef'", "value too long"),
        (Text, ARRAY(CHAR(3)), "'abcdef'", "value too long"),
        (Integer, ARRAY(String(2)), "123", "value too long"),
        (ARRAY(DOMAIN("word", Text)), ARRAY(DOMAIN("word", String(3))), "'{abcdef}'", "value too long"),
        (JSONB, ARRAY(Integer), "'7'", "expected JSON array"),
    ],
)
async def test_a_value_that_does_not_fit_its_new_type_ends_the_migration(
    before: Any, after: Any, value: str, error: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple(Column("a", before)))
    await run_sql(engine, f"INSERT INTO t (a) VALUES ({value})")
    paths = (await compare_schema(engine, simple(Column("a", after)))).write_migrations(tmp_path, "narrow")
    assert not paths.left_out
    with pytest.raises(MigrationsError, match=error):
        await upgrade(engine, tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (Text, ARRAY(Text), "a, b"),
        (String(20), ARRAY(Integer), "7"),
        (JSONB, ARRAY(Integer), "[1, 2]"),
        (JSONB, ARRAY(JSONB), '{"a": 1}'),
        (DateTime, DateTime(timezone=True), "2024-07-01 12:00:00"),
    ],
)
async def test_a_value_comes_back_as_it_was(
    before: Any, after: Any, value: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple(Column("a", before)))
    await run_sql(engine, f"INSERT INTO t (a) VALUES ('{value}')")
    (await compare_schema(engine, simple(Column("a", after)))).write_migrations(tmp_path, "there")
    await upgrade(engine, tmp_path)
    await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
    assert await values(engine, "SELECT a::text FROM t") == [(value,)]


async def test_times_without_a_zone_are_those_of_utc_whatever_the_session_has(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple(Column("a", DateTime)))
    await run_sql(engine, "INSERT INTO t (a) VALUES ('2024-07-01 12:00')")
    after = simple(Column("a", DateTime(timezone=True)))
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "aware")
    assert "taken for UTC in public.t.a" in path.read_text()
    (name,) = (await values(engine, "SELECT current_database()"))[0]
    await run_sql(engine, f"""ALTER DATABASE "{name}" SET TimeZone = 'Europe/Berlin' """)
    await engine.dispose()
    await upgrade(engine, tmp_path)
    assert await values(engine, "SELECT a = '2024-07-01 12:00Z' FROM t") == [(True,)]


def users(*parts: Any, key: Any = Integer) -> MetaData:
    m = MetaData()
    Table("users", m, Column("id", key, primary_key=True, autoincrement=False), *parts)
    return m


def also(m: MetaData, name: str, *parts: Any, **options: Any) -> MetaData:
    table = Table(name, m, Column("id", Integer, primary_key=True), *parts, **options)
    if options:
        made = f"CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES FROM (1) TO (9)"
        event.listen(table, "after_create", DDL(made))  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return m


HANGING = {
    "partitions of a table that stays whole": (
        lambda: also(MetaData(), "log"),
        lambda: also(MetaData(), "log", postgresql_partition_by="RANGE (id)"),
        {"PartitioningChanged", "TableAdded"},
    ),
    "a foreign key to a table whose index name is taken": (
        lambda: also(
            also(MetaData(), "users", Column("mail", Text), Index("ix_mail", "mail")),
            "orders",
            Column("u", ForeignKey("users.id", name="fk")),
        ),
        lambda: also(
            also(MetaData(), "people", Column("mail", Text), Index("ix_mail", "mail")),
            "orders",
            Column("u", ForeignKey("people.id", name="fk")),
        ),
        {"TableRemoved", "TableAdded", "ConstraintChanged"},
    ),
    "what reads a column that keeps its type": (
        lambda: also(users(), "t", Column("a", Double)),
        lambda: also(
            users(),
            "t",
            Column("a", Integer, ForeignKey("users.id"), CheckConstraint("a % 2 = 0", name="ck")),
            Column("b", Integer, Computed("a % 3", persisted=True)),
            Index("ix", text("(a % 2)")),
        ),
        {"ColumnTypeChanged", "ConstraintAdded", "ColumnAdded", "IndexAdded"},
    ),
    "the type of a key that a table leans on which stays": (
        lambda: also(users(), "old", Column("u", ForeignKey("users.id"))),
        lambda: users(key=Text),
        {"ColumnTypeChanged", "TableRemoved"},
    ),
}


@pytest.mark.parametrize(("before", "after", "left"), HANGING.values(), ids=HANGING)
async def test_what_leans_on_something_left_out_is_left_out_too(
    before: Callable[[], MetaData],
    after: Callable[[], MetaData],
    left: set[str],
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await create(engine, before())
    paths = (await compare_schema(engine, after())).write_migrations(tmp_path, "rest")
    assert {type(each).__name__ for each in paths.left_out} == left
    await upgrade(engine, tmp_path)
    remaining = await compare_schema(engine, after())
    assert {type(each).__name__ for each in remaining.operations} == left
    remaining.write_migrations(tmp_path, "all", allow_destructive=True)
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after())


async def test_a_domain_under_one_that_stays_is_left_out_too(engine: AsyncEngine, tmp_path: Path) -> None:
    await run_sql(engine, "CREATE DOMAIN small AS integer; CREATE DOMAIN even AS small")
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY, a even)")
    paths = (await compare_schema(engine, simple(), schemas=["public"])).write_migrations(tmp_path, "rest")
    assert paths == []
    assert [type(each).__name__ for each in paths.left_out] == ["ColumnRemoved", "DomainRemoved", "DomainRemoved"]


@pytest.mark.parametrize(
    ("excluded", "build"),
    [
        ("kind", lambda: simple(Column("a", Enum("x", name="kind")))),
        ("users", lambda: also(users(), "t", Column("u", ForeignKey("users.id")))),
        ("log", lambda: also(simple(), "log", postgresql_partition_by="RANGE (id)")),
    ],
)
async def test_what_leans_on_something_that_is_not_compared_is_left_out_whatever_is_allowed(
    excluded: str, build: Callable[[], MetaData], engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple() if excluded != "log" else MetaData())
    difference = await compare_schema(engine, build(), include=lambda _, name: name.name != excluded)
    paths = difference.write_migrations(tmp_path, "some", allow_destructive=True)
    assert paths.left_out
    assert paths.refused == paths.left_out
    assert "Left out, since PostgreSQL refuses it as things are" in str(paths)
    await upgrade(engine, tmp_path)


async def test_only_what_loses_something_writes_no_file(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Text)))
    paths = (await compare_schema(engine, simple())).write_migrations(tmp_path / "none", "gone")
    assert paths == []
    assert str(paths).startswith("Nothing was written.")
    assert discover(tmp_path / "none").files == ()


async def test_what_loses_something_stands_last_and_has_no_way_back(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Text)))
    difference = await compare_schema(engine, simple(Column("b", Text)))
    paths = difference.write_migrations(tmp_path, "swap", allow_destructive=True)
    assert [path.name for path in paths] == ["001_swap.py", "002_swap_drop.py"]
    assert "async def downgrade" not in paths[1].read_text()
    assert "# There is no way back: the values of a dropped column are gone." in paths[1].read_text()


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "row security"),
        ("CREATE POLICY own ON t USING (id > 0)", "policy own"),
        ("CREATE RULE kept AS ON DELETE TO t DO INSTEAD NOTHING", "rule kept"),
        ("CREATE PUBLICATION feed FOR TABLE t", "publication feed"),
        ("GRANT SELECT ON t TO PUBLIC", "privileges of PUBLIC"),
        ("GRANT SELECT (id) ON t TO PUBLIC", "privileges on column id"),
        (
            "CREATE TRIGGER seen BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger seen",
        ),
    ],
)
async def test_a_table_made_anew_does_not_lose_what_was_made_by_hand(
    sql: str, found: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple())
    await run_sql(engine, sql)
    after = MetaData()
    Table("t", after, Column("id", Integer, primary_key=True), postgresql_partition_by="RANGE (id)")
    (await compare_schema(engine, after)).write_migrations(tmp_path, "cut", allow_destructive=True)
    with pytest.raises(MigrationsError, match=f"made by hand on the old one: {found}"):
        await upgrade(engine, tmp_path)
    assert "table public.t is partitioned by nothing" in str(await compare_schema(engine, after))


async def test_a_virtual_column_is_copied_beside_all_others(
    engine: AsyncEngine, tmp_path: Path, postgres_version: int
) -> None:
    if postgres_version < 18:
        pytest.skip("PostgreSQL has virtual columns since 18")
    await create(engine, simple(Column("a", Integer, Computed("7", persisted=False)), Column("a_new", Integer)))
    await run_sql(engine, "INSERT INTO t (a_new) VALUES (1)")
    after = simple(Column("a", Integer), Column("a_new", Integer))
    (await compare_schema(engine, after)).write_migrations(tmp_path, "plain")
    await upgrade(engine, tmp_path)
    assert await values(engine, "SELECT a, a_new FROM t") == [(7, 1)]


def coded(*parts: Any, referred: bool = True) -> MetaData:
    m = simple(Column("code", Text, nullable=False), Column("b", Text), *parts)
    if referred:
        Table("u", m, Column("code", Text, ForeignKey("t.code", name="fk")))
    return m


def unique(**options: Any) -> UniqueConstraint:
    return UniqueConstraint("code", name="uq", **options)


SWAPS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "a constraint that changes": (unique, lambda: unique(postgresql_include=["b"])),
    "an index that changes": (
        lambda: Index("uq", "code", unique=True),
        lambda: Index("uq", "code", unique=True, postgresql_include=["b"]),
    ),
    "a constraint that an index replaces": (unique, lambda: Index("ix", "code", unique=True)),
    "an index that a constraint replaces": (lambda: Index("ix", "code", unique=True), unique),
    "an index that becomes a constraint": (lambda: Index("uq", "code", unique=True), unique),
    "an index of which a constraint takes the name": (
        lambda: Index("uq", "code", unique=True, postgresql_include=["b"]),
        unique,
    ),
    "a constraint of which an index takes the name": (unique, lambda: Index("uq", "code", unique=True)),
}
PROMISES = """
CREATE FUNCTION promised() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 't'::regclass AND indisunique AND NOT indisprimary AND indisready)
THEN RAISE 'No index keeps the promise'; END IF;
IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 't'::regclass AND indisreplident) THEN
RAISE 'Nothing is the replica identity'; END IF; END $$;
CREATE EVENT TRIGGER promised ON ddl_command_end EXECUTE FUNCTION promised()
"""


@pytest.mark.parametrize(("before", "after"), SWAPS.values(), ids=SWAPS)
async def test_a_key_keeps_its_promise_and_its_marks_while_another_takes_its_place(
    before: Callable[[], Any], after: Callable[[], Any], engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, coded(before(), referred=False))
    (name,) = (await values(engine, "SELECT relname FROM pg_class WHERE relname IN ('uq', 'ix')"))[0]
    marks = f"ALTER TABLE t REPLICA IDENTITY USING INDEX {name}; ALTER TABLE t CLUSTER ON {name}"
    await run_sql(engine, f"{marks}; COMMENT ON INDEX {name} IS 'ours'")
    await run_sql(engine, "CREATE PUBLICATION feed FOR TABLE t; INSERT INTO t (code) VALUES ('x')")
    wanted = coded(after(), referred=False)
    (await compare_schema(engine, wanted)).write_migrations(tmp_path, "swap")
    await run_sql(engine, PROMISES)
    await upgrade(engine, tmp_path)
    await run_sql(engine, "UPDATE t SET b = 'y'")
    assert not await compare_schema(engine, wanted)
    query = """SELECT indisclustered, obj_description(indexrelid, 'pg_class') FROM pg_index
        WHERE indrelid = 't'::regclass AND NOT indisprimary"""
    assert await values(engine, query) == [(True, "ours")]
    await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
    await run_sql(engine, "UPDATE t SET b = 'z'")
    assert not await compare_schema(engine, coded(before(), referred=False))


STRANGE = {
    "of a table of the models": (True, ""),
    "of a table that stays": (False, "CREATE TABLE u (code text CONSTRAINT fk REFERENCES t (code))"),
    "of a schema that is not compared": (
        False,
        "CREATE SCHEMA away; CREATE TABLE away.u (code text CONSTRAINT fk REFERENCES t (code))",
    ),
}


@pytest.mark.parametrize(("before", "after"), SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize(("referred", "sql"), STRANGE.values(), ids=STRANGE)
async def test_a_foreign_key_outlives_the_key_that_it_leans_on(
    referred: bool,  # noqa: FBT001
    sql: str,
    before: Callable[[], Any],
    after: Callable[[], Any],
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await create(engine, coded(before(), referred=False))
    await run_sql(engine, sql or "CREATE TABLE u (code text CONSTRAINT fk REFERENCES t (code))")
    await run_sql(engine, "INSERT INTO t (code) VALUES ('x')")
    wanted = coded(after(), referred=referred)
    paths = (await compare_schema(engine, wanted)).write_migrations(tmp_path, "swap")
    for number, _ in enumerate(paths, 1):
        await MigrationRunner(engine, None, tmp_path, observers=()).run_migrations(target=number)
        assert await values(engine, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == [("fk",)]
    assert await values(engine, "SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]
    await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
    assert await values(engine, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == [("fk",)]
    assert not await compare_schema(
        engine, coded(before(), referred=referred), include=lambda _, name: name.name != "u"
    )
    await upgrade(engine, tmp_path)
    remaining = await compare_schema(engine, wanted)
    assert {type(each).__name__ for each in remaining.operations} <= {"TableRemoved"}


async def test_a_key_on_which_a_strange_table_leans_stays(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, coded(unique(), referred=False))
    await run_sql(engine, "CREATE SCHEMA away; CREATE TABLE away.u (code text REFERENCES t (code))")
    difference = await compare_schema(engine, coded(referred=False))
    paths = difference.write_migrations(tmp_path, "gone", allow_destructive=True)
    assert paths == []
    assert [type(each).__name__ for each in paths.refused] == ["ConstraintRemoved"]


async def test_an_index_is_there_before_the_one_that_it_replaces_goes(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, coded(Index("ix_code", "code"), referred=False))
    after = coded(Index("ix_code_b", "code", "b"), referred=False)
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "wider")
    source = path.read_text()
    assert source.index('create_index("ix_code_b"') < source.index('drop_index("ix_code"')
    await upgrade(engine, tmp_path)


async def test_the_type_of_a_partition_key_is_left_out_whatever_is_allowed(engine: AsyncEngine, tmp_path: Path) -> None:
    def log(key: Any, other: Any) -> MetaData:
        m = MetaData()
        Table("log", m, Column("day", key), Column("a", other), postgresql_partition_by="RANGE (day)")
        return m

    await create(engine, log(Integer, Integer))
    difference = await compare_schema(engine, log(BigInteger, BigInteger))
    paths = difference.write_migrations(tmp_path, "wider", allow_destructive=True)
    assert [str(each) for each in paths.refused] == ["column public.log.day is integer instead of bigint"]
    await upgrade(engine, tmp_path)
    assert len((await compare_schema(engine, log(BigInteger, BigInteger))).operations) == 1


async def test_an_empty_array_is_a_value_for_rows_and_what_only_the_application_can_write_is_none(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple())
    after = simple(
        Column("a", ARRAY(Integer), default=[], nullable=False), Column("b", Refusing(), default="x", nullable=False)
    )
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "values")
    assert "public.t.b is NOT NULL and has no default" in paths[-1].read_text()
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_rows_without_a_value_are_named_where_a_column_becomes_not_null(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple(Column("a", Text)))
    after = simple(Column("a", Text, server_default="x", nullable=False))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "must")
    assert 'execute("UPDATE t SET a = DEFAULT WHERE a IS NULL")' in paths[-1].read_text()


async def test_what_was_not_enforced_is_not_enforced_on_the_way_back(
    engine: AsyncEngine, tmp_path: Path, postgres_version: int
) -> None:
    if postgres_version < 18:
        pytest.skip("PostgreSQL has NOT ENFORCED since 18")
    await create(engine, simple(Column("a", Integer)))
    await run_sql(
        engine,
        """ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT ENFORCED,
        ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES t NOT ENFORCED""",
    )
    check = CheckConstraint("a > 0", name="ck")
    after = simple(Column("a", Integer, ForeignKey("t.id", name="fk")), check)
    (await compare_schema(engine, after)).write_migrations(tmp_path, "enforce")
    query = "SELECT conname, conenforced FROM pg_constraint WHERE conrelid = 't'::regclass AND contype IN ('c', 'f')"
    await upgrade(engine, tmp_path)
    assert sorted(await values(engine, query)) == [("ck", True), ("fk", True)]
    await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
    assert sorted(await values(engine, query)) == [("ck", False), ("fk", False)]


@pytest.mark.parametrize(
    ("before", "after", "remark"),
    [
        (
            lambda: simple(Column("r", INT4RANGE)),
            lambda: simple(Column("r", INT4RANGE), ExcludeConstraint(("r", "&&"), name="ex")),
            "Its index is built while nobody reads or writes the table",
        ),
        (
            simple,
            lambda: simple(Column("u", Uuid, server_default=text("gen_random_uuid()"))),
            "Each row gets a value of its own",
        ),
        (simple, lambda: simple(prefixes=["UNLOGGED"]), "The table is written anew while nobody reads"),
    ],
)
async def test_what_keeps_everybody_waiting_is_said_above_it(
    before: Callable[[], MetaData],
    after: Callable[[], MetaData],
    remark: str,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await create(engine, before())
    (path,) = (await compare_schema(engine, after())).write_migrations(tmp_path, "slow")
    assert f"        # {remark}" in path.read_text()
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (simple, lambda: simple(Column("a", Integer, CheckConstraint("a > 0", name="ck")))),
        (
            lambda: simple(Column("a", DOMAIN("d", Integer))),
            lambda: simple(Column("a", DOMAIN("d", Integer, check="VALUE > 0", constraint_name="ck"))),
        ),
    ],
    ids=["of a new column", "of a domain"],
)
async def test_a_check_looks_at_no_row_in_the_transaction(
    before: Callable[[], MetaData], after: Callable[[], MetaData], engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, before())
    await run_sql(engine, "INSERT INTO t DEFAULT VALUES")
    paths = (await compare_schema(engine, after())).write_migrations(tmp_path, "check")
    assert [path.name for path in paths] == ["001_check.py", "002_check_validate.py"]
    query = "SELECT convalidated FROM pg_constraint WHERE conname = 'ck'"
    await MigrationRunner(engine, None, tmp_path, observers=()).run_migrations(target=1)
    assert await values(engine, query) == [(False,)]
    await upgrade(engine, tmp_path)
    assert await values(engine, query) == [(True,)]
    assert not await compare_schema(engine, after())


async def test_an_equal_schema_writes_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple())
    assert (await compare_schema(engine, simple())).write_migrations(tmp_path, "nothing") == []


async def test_a_column_without_a_value_for_old_rows_fails_loudly_until_it_has_one(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple())
    await run_sql(engine, "INSERT INTO t DEFAULT VALUES")
    after = simple(Column("a", Integer, nullable=False))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "must")
    assert "is NOT NULL and has no default" in paths[-1].read_text()
    with pytest.raises(MigrationsError, match="violated by some row"):
        await upgrade(engine, tmp_path)
    source = paths[-1].read_text()
    fill = '        await self.op.execute("UPDATE t SET a = 1 WHERE a IS NULL")\n'
    paths[-1].write_text(
        source.replace("        await self.op.set_not_null", fill + "        await self.op.set_not_null")
    )
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_types_of_the_application_are_written_so_that_the_file_outlives_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    after = simple(Column("p", Percent(2)), Column("r", Range8()), Column("s", String(5, collation="C")))
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "types")
    source = path.read_text()
    assert 'sa.Column("p", sa.Numeric(precision=5, scale=2))' in source
    assert 'sa.String(length=5, collation="C")' in source
    assert "tests.schema_cases.moved.Range8()" in source
    assert "import tests.schema_cases.moved\n" in source
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_the_numbers_go_on_and_the_head_file_follows(engine: AsyncEngine, tmp_path: Path) -> None:
    (tmp_path / "0041_first.sql").write_text("CREATE TABLE t (id serial PRIMARY KEY)")
    await upgrade(engine, tmp_path)
    paths = (await compare_schema(engine, simple(Column("a", Text, index=True)))).write_migrations(tmp_path, "more")
    assert [path.name for path in paths] == ["0042_more.py", "0043_more_indexes.py"]
    assert (tmp_path / "head.txt").read_text() == "0043_more_indexes\n"
    await upgrade(engine, tmp_path)
    assert not (await MigrationRunner(engine, None, tmp_path, observers=()).verify())


async def test_a_name_that_cannot_be_one_leaves_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple())
    with pytest.raises(ConfigurationError):
        difference.write_migrations(tmp_path, "!!!")
    with pytest.raises(ConfigurationError, match="longer than"):
        difference.write_migrations(tmp_path, "x" * 300)
    (tmp_path / "file").touch()
    with pytest.raises(MigrationsError):
        difference.write_migrations(tmp_path / "file", "name")
    assert discover(tmp_path).files == ()


async def test_a_table_moves_to_another_tablespace_and_back(engine: AsyncEngine, tmp_path: Path) -> None:
    space = f"space_{engine.url.database}"
    # In a folder that PostgreSQL chooses, which only tests may ask for.
    await run_sql(engine, f'ALTER ROLE CURRENT_USER IN DATABASE "{engine.url.database}" '
                          "SET allow_in_place_tablespaces = on")  # fmt: skip
    await engine.dispose()
    await run_sql(engine, f"CREATE TABLESPACE \"{space}\" LOCATION ''")
    try:
        await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t VALUES (7)")
        moved = MetaData()
        Table("t", moved, Column("id", Integer, primary_key=True), postgresql_tablespace=space)
        difference = await compare_schema(engine, moved)
        assert [type(each).__name__ for each in difference.operations] == ["TablespaceChanged"]
        difference.write_migrations(tmp_path, "move")
        await upgrade(engine, tmp_path)
        assert not await compare_schema(engine, moved)
        await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
        assert str(await compare_schema(engine, moved)) == str(difference)
    finally:
        await run_sql(engine, "DROP TABLE t")
        await run_sql(engine, f'DROP TABLESPACE "{space}"')


async def test_a_slug_of_any_text_makes_a_file_that_python_reads(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple())
    (path,) = difference.write_migrations(tmp_path, 'a"""\\b {name}')
    ast.parse(path.read_text())


async def test_the_formatter_has_nothing_to_add(engine: AsyncEngine, tmp_path: Path) -> None:
    formatter = shutil.which("ruff")
    assert formatter is not None
    where = text("column_3 = 'label_1'")
    after = simple(
        *(Column(f"column_{number}", Enum(*(f"label_{each}" for each in range(number)), name=f"kind_{number}"))
          for number in range(1, 12)),
        CheckConstraint(" AND ".join(f"column_{n} <> 'label_0'" for n in range(1, 6)), name="long"),
        Index("ix", text("(id * 2 + 1)"), text("column_2 DESC"), "column_4", postgresql_where=where),
    )  # fmt: skip
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "wide")
    command = [formatter, "format", "--isolated", "--line-length", "120", "--check", "--diff", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - found above
    assert result.returncode == 0, result.stdout
