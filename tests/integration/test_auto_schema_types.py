"""Every column type: created, added to a table with rows, filled, and never mistaken for another."""

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import NCHAR, TypeDecorator, TypeEngine, UserDefinedType

from async_migrations.auto_schema import AutoSchemaMigration
from tests.integration.test_auto_schema import messages


class Mood(enum.Enum):
    HAPPY = "it's fine"
    SAD = "sad"


class Shouted(TypeDecorator[str]):
    """Stores in capitals what Python has in any case."""

    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value and value.upper()


class Decorated(TypeDecorator[str]):
    """Hides an enum."""

    impl = sa.Enum("a", "b", name="decorated")
    cache_ok = True


class Vector(UserDefinedType[str]):
    """A type of an extension that SQLAlchemy does not know."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VECTOR(3)"


def values(members: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in members]


NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456)  # noqa: DTZ001 - for columns without a zone
NOON_UTC = NOON.replace(tzinfo=dt.UTC)
TEXT = """it's 100% "text" :x \\ $1 {} é🐘"""


def every_type() -> list[tuple[TypeEngine[Any], Any]]:
    """Return each type, anew for each MetaData, and a value for it where its driver takes one."""
    return [
        (sa.SmallInteger(), -7),
        (sa.Integer(), 0),
        (sa.BigInteger(), 2**40),
        (sa.Numeric(), decimal.Decimal("1.50")),
        (sa.Numeric(10), decimal.Decimal(12)),
        (sa.Numeric(10, 2), decimal.Decimal("-3.25")),
        (sa.DECIMAL(6, 3), decimal.Decimal("1.125")),
        (sa.Float(), 0.1),
        (sa.Float(24), 0.5),
        (sa.Float(53), 1e300),
        (sa.Double(), -0.1),
        (pg.REAL(), 0.25),
        (pg.DOUBLE_PRECISION(), 2.5),
        (sa.Boolean(), False),
        (sa.Boolean(create_constraint=True, name="either"), True),
        (sa.String(), TEXT),
        (sa.String(50), TEXT),
        (sa.String(10, collation="C"), "b"),
        (sa.Text(), TEXT),
        (sa.Unicode(10), "é🐘"),
        (sa.UnicodeText(), ""),
        (sa.CHAR(), "x"),
        (sa.CHAR(5), "ab"),
        (NCHAR(4), "ab"),
        (sa.LargeBinary(), b"\0\xff'\\"),
        (sa.PickleType(), {"a": [1]}),
        (sa.Date(), NOON.date()),
        (sa.Time(), NOON.time()),
        (sa.Time(timezone=True), NOON_UTC.timetz()),
        (pg.TIME(precision=2), dt.time(1, 2, 3)),
        (pg.TIME(precision=2, timezone=True), dt.time(1, 2, 3, tzinfo=dt.UTC)),
        (sa.DateTime(), NOON),
        (sa.DateTime(timezone=True), NOON_UTC),
        (pg.TIMESTAMP(precision=3), NOON.replace(microsecond=0)),
        (pg.TIMESTAMP(precision=0, timezone=True), NOON_UTC.replace(microsecond=0)),
        (sa.Interval(), dt.timedelta(days=-1, seconds=5)),
        (sa.Interval(second_precision=3), dt.timedelta(seconds=1)),
        (pg.INTERVAL(fields="DAY TO SECOND"), dt.timedelta(days=2)),
        (pg.INTERVAL(fields="DAY TO SECOND", precision=3), dt.timedelta(days=2)),
        (pg.INTERVAL(fields="HOUR"), dt.timedelta(hours=2)),
        (sa.Uuid(), uuid.UUID(int=5)),
        (sa.Uuid(as_uuid=False), str(uuid.UUID(int=6))),
        (sa.Uuid(native_uuid=False), uuid.UUID(int=7)),
        (sa.JSON(), {"a": "it's", "b": [1, None]}),
        (pg.JSONB(), []),
        (pg.INET(), None),
        (pg.CIDR(), None),
        (pg.MACADDR(), "08:00:2b:01:02:03"),
        (pg.MACADDR8(), "08:00:2b:01:02:03:04:05"),
        (pg.MONEY(), None),
        (pg.OID(), 7),
        (pg.REGCLASS(), "pg_catalog.pg_class"),
        (pg.REGCONFIG(), "english"),
        (pg.TSVECTOR(), "'fat' 'rat'"),
        (pg.TSQUERY(), "'fat' & 'rat'"),
        (pg.JSONPATH(), '$."a"'),
        (pg.BIT(), None),
        (pg.BIT(5), None),
        (pg.BIT(varying=True), None),
        (pg.BIT(8, varying=True), None),
        (pg.BYTEA(), b"x"),
        (pg.INT4RANGE(), pg.Range(1, 5)),
        (pg.INT8RANGE(), pg.Range(1, None)),
        (pg.NUMRANGE(), pg.Range(decimal.Decimal(1), decimal.Decimal(2))),
        (pg.DATERANGE(), pg.Range(NOON.date(), None)),
        (pg.TSRANGE(), pg.Range(None, NOON)),
        (pg.TSTZRANGE(), pg.Range(NOON_UTC, None)),
        (pg.INT4MULTIRANGE(), [pg.Range(1, 5), pg.Range(7, 9)]),
        (pg.INT8MULTIRANGE(), []),
        (pg.NUMMULTIRANGE(), None),
        (pg.DATEMULTIRANGE(), None),
        (pg.TSMULTIRANGE(), None),
        (pg.TSTZMULTIRANGE(), None),
        (sa.ARRAY(sa.Integer), [1, 2]),
        (sa.ARRAY(sa.String(5)), ["a'b", 'c"d']),
        (sa.ARRAY(sa.String(5, collation="C")), []),
        (pg.ARRAY(sa.Numeric(5, 2), dimensions=2), [[decimal.Decimal("1.25")], [decimal.Decimal(2)]]),
        (sa.Enum(Mood, name="mood"), Mood.SAD),
        (sa.Enum(Mood, name="Mood by value", values_callable=values), Mood.HAPPY),
        (sa.Enum("a", "b", name="letter"), "b"),
        (pg.ENUM("it's", "b", name="native"), "it's"),
        (sa.Enum("x", "yy", native_enum=False), "yy"),
        (sa.Enum("x", "yy", native_enum=False, create_constraint=True, name="x_or_yy"), "yy"),
        (sa.ARRAY(sa.Enum("k", "l", name="list_item")), ["k", "k"]),
        (pg.DOMAIN("positive", sa.Integer(), check="VALUE > 0"), 3),
        (pg.DOMAIN("of_letter", sa.Enum("a", "b", name="letter")), "a"),
        (sa.ARRAY(pg.DOMAIN("listed", sa.Integer())), None),
        (Shouted(), "loud"),
        (Decorated(), "b"),
        (sa.ARRAY(Decorated()), ["b"]),
        (sa.String().with_variant(pg.ENUM("v", name="variant"), "postgresql"), "v"),
        (sa.Enum("x", name="of_sqlite").with_variant(sa.Enum("y", name="of_all"), "postgresql"), "y"),
        (sa.String().with_variant(pg.JSONB(), "postgresql"), {"a": 1}),
        (Vector(), "[1,2,3]"),
    ]


def table_of_all(metadata: sa.MetaData) -> sa.Table:
    columns: Sequence[sa.Column[Any]] = [sa.Column(f"c{i}", type_) for i, (type_, _) in enumerate(every_type())]
    return sa.Table("everything", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)


async def rows_without_columns(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE everything (id SERIAL PRIMARY KEY)"))
        await connection.execute(sa.text("INSERT INTO everything DEFAULT VALUES"))


@pytest.fixture
async def with_vector(engine: AsyncEngine) -> AsyncEngine:
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE SCHEMA extension"))
        await connection.execute(sa.text("CREATE EXTENSION vector SCHEMA extension"))
        name = await connection.scalar(sa.text("SELECT current_database()"))
        await connection.execute(sa.text(f'ALTER DATABASE "{name}" SET search_path = public, extension'))
    await engine.dispose()  # new connections have it
    return engine


async def described(engine: AsyncEngine) -> dict[str, str]:
    """Return each column's type, collation and NOT NULL as PostgreSQL has them."""
    query = sa.text("""
        SELECT attname::text, format_type(atttypid, atttypmod) || ' ' || attcollation::text || attnotnull::text
          FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0
    """)
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def test_each_type_is_added_to_a_table_with_rows_as_it_would_be_created(
    with_vector: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    table_of_all(metadata)
    auto = AutoSchemaMigration(with_vector, metadata)
    assert (await auto.run())["tables_created"] == 1
    created = await described(with_vector)
    async with with_vector.begin() as connection:
        await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        await connection.execute(sa.text("CREATE SCHEMA public"))
    await rows_without_columns(with_vector)

    found = await auto.run()

    assert found == {"tables_created": 0, "columns_added": len(every_type()), "indexes_created": 0}
    assert await described(with_vector) == created
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_no_type_is_mistaken_for_another_when_nothing_has_changed(
    with_vector: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    table_of_all(metadata)
    async with with_vector.begin() as connection:
        await connection.run_sync(metadata.create_all)
    caplog.set_level("INFO", "async_migrations")

    found = await AutoSchemaMigration(with_vector, metadata).run()

    assert found == {"tables_created": 0, "columns_added": 0, "indexes_created": 0}
    assert messages(caplog) == []


async def test_a_not_null_column_is_filled_from_its_scalar_default_as_an_insert_would_fill_it(
    with_vector: AsyncEngine,
) -> None:
    metadata = sa.MetaData()
    filled = {f"t{i}": each for i, each in enumerate(every_type()) if each[1] is not None}
    for name, (type_, default) in filled.items():
        key = sa.Column("id", sa.Integer, primary_key=True)
        sa.Table(name, metadata, key, sa.Column("v", type_, nullable=False, default=default))
    async with with_vector.begin() as connection:
        for name in filled:
            await connection.execute(sa.text(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)"))
            await connection.execute(sa.text(f"INSERT INTO {name} VALUES (1), (2)"))

    assert (await AutoSchemaMigration(with_vector, metadata).run())["columns_added"] == len(filled)

    wrong = []
    async with with_vector.begin() as connection:
        for name, table in metadata.tables.items():
            await connection.execute(table.insert().values(id=3))
            stored = (await connection.execute(sa.text(f"SELECT v::text FROM {name}"))).scalars().all()
            read = (await connection.execute(sa.select(table.c.v))).scalars().all()
            if len(stored) != 3 or len(set(stored)) != 1 or read[0] != read[2]:
                wrong.append((filled[name], stored))
    assert wrong == []


async def test_a_filled_column_has_no_default_left_behind(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    column = sa.Column("theme", sa.String(50), nullable=False, default="light")
    sa.Table("everything", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    await rows_without_columns(engine)

    await AutoSchemaMigration(engine, metadata).run()

    async with engine.connect() as connection:
        left = await connection.scalar(
            sa.text("SELECT column_default FROM information_schema.columns WHERE column_name = 'theme'")
        )
    assert left is None


async def test_a_scalar_default_that_does_not_fit_is_refused_and_not_cut(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    column = sa.Column("code", sa.String(3), nullable=False, default="abcdef")
    sa.Table("everything", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    await rows_without_columns(engine)

    with pytest.raises(sa.exc.DBAPIError, match="value too long"):
        await AutoSchemaMigration(engine, metadata).run()

    assert await AutoSchemaMigration(engine, metadata).get_existing_columns("everything") == {"id"}
