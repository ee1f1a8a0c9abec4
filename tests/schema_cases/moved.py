"""Changes of schemas that have rows, and what has to be kept of them."""

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    column,
    func,
    text,
    true,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import UserDefinedType

from tests.schema_cases import Build, Case

CASES: list[Case] = []
Columns = Callable[[], tuple[Any, ...]]
ROW = "INSERT INTO t (id, a) VALUES (1, {})"


def _at(*parts: int) -> dt.datetime:
    """Return a time stamp without a zone."""
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - as the column has none


class Percent(TypeDecorator[Decimal]):
    """A number that the application sees otherwise; its arguments are not those of what it stores."""

    impl = Numeric
    cache_ok = True

    def __init__(self, places: int) -> None:
        super().__init__(precision=places + 3, scale=places)


class Range8(UserDefinedType[str]):
    """A type that SQLAlchemy has no class for; its repr is no source."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "int8multirange"


class Mood(enum.Enum):
    """An enum of the application's."""

    SAD = "sad"
    GLAD = "glad"


_IDENTITY: Callable[[], Any] = lambda: Identity()  # noqa: E731, PLW0108 - a class is no maker of parts here


def case(name: str, tag: str, before: Build, after: Build, **facts: Any) -> None:
    """Note a case of whole metadata."""
    CASES.append(Case(name, after, before=before, tags=(tag,), **facts))


def table(*parts: Callable[[], Any], name: str = "t", **options: Any) -> Build:
    """Return what fills a metadata with one table of an id and these parts."""
    return lambda m: Table(name, m, Column("id", Integer, primary_key=True), *(part() for part in parts), **options)


def a(*arguments: Any, **options: Any) -> Callable[[], Any]:
    """Return what makes a column `a`; constructs that belong to one table are made each time."""
    return lambda: Column(
        "a", *(each() if callable(each) and not isinstance(each, type) else each for each in arguments), **options
    )


def both(*builds: Build) -> Build:
    """Fill one metadata by several."""

    def build(m: MetaData) -> None:
        for each in builds:
            each(m)

    return build


def nothing(_: MetaData) -> None:
    """Fill nothing."""


# Types: what the value is before, and after.
CONVERSIONS: dict[str, tuple[Any, Any, str, Any]] = {
    "smallint to integer": (SmallInteger, Integer, "7", 7),
    "integer to bigint": (Integer, BigInteger, "7", 7),
    "bigint to integer": (BigInteger, Integer, "7", 7),
    "integer to numeric": (Integer, Numeric(12, 2), "7", Decimal("7.00")),
    "integer to double": (Integer, Double, "7", 7.0),
    "numeric grows": (Numeric(6, 2), Numeric(10, 2), "7.25", Decimal("7.25")),
    "float to numeric": (Float, Numeric, "0.5", Decimal("0.5")),
    "varchar grows": (String(5), String(50), "'abc'", "abc"),
    "varchar shrinks": (String(50), String(5), "'abc'", "abc"),
    "varchar to text": (String(5), Text, "'abc'", "abc"),
    "text to varchar": (Text, String(9), "'abc'", "abc"),
    "char to text": (pg.CHAR(4), Text, "'abc'", "abc"),
    "text to integer": (Text, Integer, "'42'", 42),
    "text to bigint": (Text, BigInteger, "'42'", 42),
    "text to numeric": (Text, Numeric(10, 2), "'4.25'", Decimal("4.25")),
    "text to boolean": (Text, Boolean, "'yes'", True),
    "text to date": (Text, Date, "'2020-01-31'", dt.date(2020, 1, 31)),
    "text to timestamp": (Text, DateTime, "'2020-01-31 12:00'", _at(2020, 1, 31, 12)),
    "text to interval": (Text, Interval, "'1 day'", dt.timedelta(days=1)),
    "text to time": (Text, Time, "'12:30'", dt.time(12, 30)),
    "text to uuid": (Text, Uuid(as_uuid=False), "'00000000-0000-0000-0000-000000000001'", None),
    "uuid to text": (
        Uuid,
        Text,
        "'00000000-0000-0000-0000-000000000001'",
        "00000000-0000-0000-0000-000000000001",
    ),
    "text to json": (Text, JSON, """'{"b": 1}'""", None),
    "text to jsonb": (Text, pg.JSONB, """'{"b": 1}'""", None),
    "json to jsonb": (JSON, pg.JSONB, """'{"b": 1}'""", None),
    "jsonb to text": (pg.JSONB, Text, """'{"b": 1}'""", '{"b": 1}'),
    "jsonb to json": (pg.JSONB, JSON, """'{"b": 1}'""", None),
    "text to inet": (Text, pg.INET, "'10.0.0.1'", None),
    "inet to text": (pg.INET, Text, "'10.0.0.1'", "10.0.0.1/32"),
    "text to bytea": (Text, LargeBinary, "'abc'", b"abc"),
    "text to array": (Text, ARRAY(Text), "'abc'", ["abc"]),
    "integer to array": (Integer, ARRAY(Integer), "7", [7]),
    "array to wider array": (ARRAY(Integer), ARRAY(BigInteger), "'{1,2}'", [1, 2]),
    "array of text to array of integer": (ARRAY(Text), ARRAY(Integer), "'{1,2}'", [1, 2]),
    "array to jsonb": (ARRAY(Integer), pg.JSONB, "'{1,2}'", None),
    "array to text": (ARRAY(Integer), Text, "'{1,2}'", "{1,2}"),
    "boolean to integer": (Boolean, Integer, "true", 1),
    "boolean to smallint": (Boolean, SmallInteger, "true", 1),
    "boolean to text": (Boolean, Text, "true", "true"),
    "integer to boolean": (Integer, Boolean, "1", True),
    "smallint to boolean": (SmallInteger, Boolean, "1", True),
    "integer to text": (Integer, Text, "7", "7"),
    "date to timestamp": (Date, DateTime, "'2020-01-31'", _at(2020, 1, 31)),
    "timestamp to timestamptz": (DateTime, DateTime(timezone=True), "'2020-01-31 12:00'", None),
    "epoch to timestamptz": (
        BigInteger,
        DateTime(timezone=True),
        "0",
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    ),
    "timestamptz to epoch": (DateTime(timezone=True), BigInteger, "'1970-01-01 00:00:05Z'", 5),
    "time to interval": (Time, Interval, "'12:30'", dt.timedelta(hours=12, minutes=30)),
    "enum to text": (Enum("x", "y", name="kind"), Text, "'x'", "x"),
    "text to enum": (Text, Enum("x", "y", name="kind"), "'x'", "x"),
    "enum to another enum": (Enum("x", "y", name="kind"), Enum("x", "z", name="sort"), "'x'", "x"),
    "enum to integer": (Enum("1", "2", name="kind"), Integer, "'2'", 2),
    "array of enum to array of text": (ARRAY(Enum("x", name="kind")), ARRAY(Text), "'{x}'", ["x"]),
    "array of text to array of enum": (ARRAY(Text), ARRAY(Enum("x", name="kind")), "'{x}'", None),
    "text to domain": (Text, pg.DOMAIN("word", Text, check="VALUE <> ''"), "'x'", "x"),
    "text to domain of integer": (Text, pg.DOMAIN("n", Integer), "'7'", 7),
    "domain to text": (pg.DOMAIN("word", Text), Text, "'x'", "x"),
    "text to a decorator": (Text, Percent(2), "'0.25'", Decimal("0.25")),
    "bit to longer bit": (pg.BIT(4), pg.BIT(varying=True, length=8), "'1010'", None),
    "native enum to strings": (Enum(Mood, name="mood"), Enum(Mood, native_enum=False, length=20), "'SAD'", None),
    "text to multirange": (Text, Range8, "'{[1,3)}'", None),
    "text to tsvector": (Text, pg.TSVECTOR, "'a b'", None),
    "text to money": (Text, pg.MONEY, "'7'", None),
    "text to collated text": (Text, Text(collation="C"), "'x'", "x"),
    "text to text with a default": (String(3), Text, "'x'", "x"),
    "interval with precision": (Interval, pg.INTERVAL(precision=0), "'1 day'", dt.timedelta(days=1)),
    "timestamp precision": (DateTime, pg.TIMESTAMP(precision=6), "'2020-01-31'", _at(2020, 1, 31)),
    "integer to oid": (BigInteger, pg.OID, "7", 7),
    "interval to seconds": (Interval, Integer, "'90 seconds'", 90),
    "seconds to interval": (Integer, Interval, "90", dt.timedelta(seconds=90)),
    "date to seconds": (Date, BigInteger, "'1970-01-02'", 86400),
    "money to integer": (pg.MONEY, Integer, "7", 7),
    "integer to bits": (Integer, pg.BIT(8), "5", None),
    "bytes to uuid": (LargeBinary, Uuid, "decode(repeat('00', 15) || '01', 'hex')", uuid.UUID(int=1)),
    "uuid to its digits": (Uuid, pg.CHAR(32), "'00000000-0000-0000-0000-000000000001'", f"{1:032x}"),
    "boolean to a letter": (Boolean, pg.CHAR(1), "true", "t"),
    "boolean array to integers": (ARRAY(Boolean), ARRAY(Integer), "'{t,f}'", [1, 0]),
    "longer hardware address": (pg.MACADDR, pg.MACADDR8, "'08:00:2b:01:02:03'", "08:00:2b:ff:fe:01:02:03"),
    "range to multirange": (pg.INT4RANGE, pg.INT4MULTIRANGE, "'[1,3)'", None),
    "timestamp to jsonb": (DateTime, pg.JSONB, "'2020-01-31'", "2020-01-31T00:00:00"),
    "jsonb to timestamp": (pg.JSONB, DateTime, "to_jsonb('2020-01-31'::date)", _at(2020, 1, 31)),
    "double to numeric with all its digits": (Double, Numeric, "1.2345678901234567", Decimal("1.2345678901234567")),
    "jsonb to array of text": (pg.JSONB, ARRAY(Text), """'["red", "a, \\"b\\"", null]'""", ["red", 'a, "b"', None]),
    "json to array of integers": (JSON, ARRAY(Integer), "'[1, 2]'", [1, 2]),
    "jsonb to array of jsonb": (pg.JSONB, ARRAY(pg.JSONB), "'[1]'", [[1]]),
    "boolean array to strings": (ARRAY(Boolean), ARRAY(String(5)), "'{t,f}'", ["true", "false"]),
    "timestamp to date": (DateTime, Date, "'2020-01-31 12:00'", dt.date(2020, 1, 31)),
    "hstore to text": (pg.HSTORE, Text, "'a=>1'", '"a"=>"1"'),
}
for _name, (_before, _after, _value, _kept) in CONVERSIONS.items():
    _facts: dict[str, Any] = {"extensions": ("hstore",)} if "hstore" in _name else {}
    if _kept is not None:
        _facts["kept"] = ("SELECT a FROM t", [(_kept,)])
    _tag = "enum" if "enum" in _name else "domain" if "domain" in _name else "type"
    case(_name, _tag, table(a(_before)), table(a(_after)), rows=ROW.format(_value), **_facts)

# Defaults go before a type changes and come after it.
DEFAULTED: dict[str, tuple[Any, Any, Any, Any, str]] = {
    "default through text to integer": (Text, "1", Integer, "1", "'1'"),
    "default through text to enum": (Text, "x", Enum("x", "y", name="kind"), "x", "'y'"),
    "default through enum to text": (Enum("x", "y", name="kind"), "x", Text, "x", "'y'"),
    "default through enum to enum": (Enum("x", "y", name="kind"), "x", Enum("x", "y", name="sort"), "y", "'y'"),
    "default through boolean to integer": (Boolean, text("false"), Integer, "0", "true"),
    "default through integer to boolean": (Integer, "0", Boolean, text("false"), "1"),
    "default through varchar to text": (String(3), "x", Text, "x", "'y'"),
    "default through text to json": (Text, "{}", pg.JSONB, text("'{}'::jsonb"), "'{}'"),
    "default through text to array": (Text, "x", ARRAY(Text), text("ARRAY['x']::text[]"), "'y'"),
    "default through timestamp to timestamptz": (
        DateTime,
        text("now()"),
        DateTime(timezone=True),
        text("now()"),
        "now()",
    ),
    "default with a quote": (Text, "it's", Text, 'say "it\'s"', "'y'"),
    "default with a colon": (Text, "a:b", Text, text("'c:d ' || chr(37)"), "'y'"),
    "default with a backslash": (Text, None, Text, "a\\b", "'y'"),
    "default of a function": (Text, None, Text, func.upper("x"), "'y'"),
    "default goes": (Integer, "7", Integer, None, "3"),
    "default of a sequence": (Integer, None, Integer, text("nextval('numbers')"), "3"),
}
for _name, (_one, _default, _other, _then, _value) in DEFAULTED.items():
    _more: dict[str, Any] = {"setup": "CREATE SEQUENCE numbers"} if "sequence" in _name else {}
    _sequence: tuple[Build, ...] = (lambda m: Sequence("numbers", metadata=m),) if _more else ()
    case(
        _name,
        "default",
        both(*_sequence, table(a(_one, server_default=_default))) if not _more else table(a(_one)),
        both(*_sequence, table(a(_other, server_default=_then))),
        rows=ROW.format(_value),
        **_more,
    )

# Columns that come to tables with rows.
N1 = "INSERT INTO t (id) VALUES (1)"
ADDED: dict[str, tuple[Callable[[], Any], Any]] = {
    "nullable": (a(Text), None),
    "with a default": (a(Text, server_default="x"), "x"),
    "not null with a default": (a(Integer, nullable=False, server_default="7"), 7),
    "not null with a default of an expression": (a(Text, nullable=False, server_default=text("upper('x')")), "X"),
    "not null with a scalar of Python": (a(Integer, nullable=False, default=9), 9),
    "not null with a text of Python": (a(Text, nullable=False, default="it's: \\ %s"), "it's: \\ %s"),
    "not null with a boolean of Python": (a(Boolean, nullable=False, default=True), True),
    "not null with an enum of Python": (a(Enum(Mood, name="mood"), nullable=False, default=Mood.GLAD), "GLAD"),
    "not null with a date of Python": (
        a(Date, nullable=False, default=dt.date(2020, 1, 31)),
        dt.date(2020, 1, 31),
    ),
    "not null with a decimal of Python": (a(Numeric(5, 2), nullable=False, default=Decimal("1.25")), Decimal("1.25")),
    "not null with a document of Python": (a(pg.JSONB, nullable=False, default={"a": "it's"}), {"a": "it's"}),
    "not null with bytes of Python": (a(LargeBinary, nullable=False, default=b"\x00'"), b"\x00'"),
    "not null with infinity of Python": (a(Double, nullable=False, default=math.inf), math.inf),
    "not null with a function of SQL's": (a(Text, nullable=False, default=func.upper("x")), "X"),
    "identity": (a(Integer, _IDENTITY), 1),
    "identity that begins elsewhere": (a(BigInteger, lambda: Identity(always=True, start=50, increment=5)), 50),
    "computed": (a(Integer, lambda: Computed("id * 2", persisted=True)), 2),
    "computed not null": (a(Integer, lambda: Computed("id * 2", persisted=True), nullable=False), 2),
    "enum": (a(Enum("x", "y", name="kind"), nullable=False, server_default="y"), "y"),
    "array of enum": (a(ARRAY(Enum("x", "y", name="kind")), nullable=False, server_default="{}"), None),
    "domain": (a(pg.DOMAIN("n", Integer, default="5"), nullable=False), 5),
    "comment": (a(Text, comment='it\'s "quoted" \\ 50% :x'), None),
    "check": (a(Integer, lambda: CheckConstraint("a > 0", name="ck"), nullable=False, server_default="1"), 1),
    "unnamed check": (a(Integer, lambda: CheckConstraint("a > 0"), nullable=False, server_default="1"), 1),
    "unique": (a(Integer, unique=True), None),
    "index": (a(Integer, index=True), None),
    "unique index": (a(Integer, index=True, unique=True), None),
    "foreign key": (a(lambda: ForeignKey("t.id")), None),
    "foreign key that cascades": (a(lambda: ForeignKey("t.id", ondelete="CASCADE", name="fk")), None),
    "collation": (a(Text(collation="C")), None),
    "time zone": (a(DateTime(timezone=True), nullable=False, server_default=func.now()), None),
    "decorator": (a(Percent(2), nullable=False, server_default="0.5"), Decimal("0.50")),
    "type of the application's": (a(Range8, nullable=False, server_default="{}"), None),
    "type with a variant": (a(Text().with_variant(pg.JSONB(), "postgresql"), server_default="{}"), None),
    "boolean with a check": (a(Boolean(create_constraint=True, name="flag")), None),
    "strings for an enum": (a(Enum("x", "y", native_enum=False, create_constraint=True, name="kind")), None),
    "bytes": (a(LargeBinary, server_default=text(r"'\xdeadbeef'::bytea")), b"\xde\xad\xbe\xef"),
    "interval": (a(Interval, nullable=False, server_default=text("interval '90 minutes'")), None),
    "jsonb": (a(pg.JSONB, nullable=False, server_default=text("""'{"a": ":x"}'::jsonb""")), None),
    "uuid": (a(Uuid, nullable=False, server_default=text("gen_random_uuid()")), None),
    "a name that is a word of SQL's": (lambda: Column("order", Integer, nullable=False, server_default="1"), None),
    "a name with capitals and a space": (lambda: Column("My Column", Integer, index=True), None),
    "a name with a quote": (lambda: Column('a"b', Integer, CheckConstraint('"a""b" > 0', name='c"k')), None),
}
for _name, (_column, _kept) in ADDED.items():
    _facts = (
        {"kept": ("SELECT a::text FROM t" if _kept == "GLAD" else "SELECT a FROM t", [(_kept,)])}
        if _kept is not None
        else {}
    )
    case(f"column added {_name}", "column", table(), table(_column), rows=N1, **_facts)

case(
    "column added not null to an empty table",
    "nullable",
    table(),
    table(a(Integer, nullable=False)),
)
case(
    "columns added to each other",
    "compound",
    table(),
    table(
        a(Integer),
        lambda: Column("b", Integer),
        lambda: CheckConstraint("a < b", name="ck"),
        lambda: UniqueConstraint("a", "b", name="uq"),
        lambda: Index("ix", "b", postgresql_where=text("a > 0")),
    ),
    rows=N1,
)
case("not null", "nullable", table(a(Integer)), table(a(Integer, nullable=False)), rows=ROW.format(1))
case("null", "nullable", table(a(Integer, nullable=False)), table(a(Integer)), rows=ROW.format(1))
case("not null and type", "nullable", table(a(Text)), table(a(Integer, nullable=False)), rows=ROW.format("'1'"))
case(
    "not null and default",
    "nullable",
    table(a(Text)),
    table(a(Text, nullable=False, server_default="x")),
    rows=ROW.format("'1'"),
)
case(
    "column removed",
    "column",
    table(a(Integer), lambda: Column("b", Text)),
    table(lambda: Column("b", Text)),
    rows="INSERT INTO t (id, a, b) VALUES (1, 2, 'x')",
    kept=("SELECT b FROM t", [("x",)]),
)
case(
    "column removed with all that hangs on it",
    "column",
    table(
        a(Integer, lambda: CheckConstraint("a > 0", name="ck"), index=True, unique=True),
        lambda: Column("b", Integer),
        lambda: CheckConstraint("a < b", name="ab"),
        lambda: UniqueConstraint("b", "a", name="uq"),
    ),
    table(lambda: Column("b", Integer)),
    rows="INSERT INTO t (id, a, b) VALUES (1, 2, 3)",
    kept=("SELECT b FROM t", [(3,)]),
)

# Computed and identity columns
_C: Any = lambda sql, **how: a(Integer, lambda: Computed(sql, **how))  # noqa: E731 - as its neighbours
STORED = {"persisted": True}
case(
    "computed otherwise",
    "computed",
    table(_C("id * 2", **STORED)),
    table(_C("id * 3", **STORED)),
    rows=N1,
    kept=("SELECT a FROM t", [(3,)]),
)
case(
    "computed no more",
    "computed",
    table(_C("id * 2", **STORED)),
    table(a(Integer)),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
)
case(
    "computed no more with a default",
    "computed",
    table(_C("id * 2", **STORED)),
    table(a(Integer, server_default="9")),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
)
case(
    "computed at last",
    "computed",
    table(a(Integer, index=True)),
    table(a(Integer, lambda: Computed("id * 2", persisted=True), index=True)),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
)
case(
    "computed with an index",
    "computed",
    table(a(Integer, lambda: Computed("id * 2", persisted=True), index=True)),
    table(a(Integer, lambda: Computed("id * 3", persisted=True), index=True)),
    rows=N1,
    kept=("SELECT a FROM t", [(3,)]),
)
case(
    "virtual to stored",
    "computed",
    table(_C("id * 2", persisted=False)),
    table(_C("id * 2", **STORED)),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
    since=18,
    alchemy=(2, 1),
)
case(
    "stored to virtual",
    "computed",
    table(_C("id * 2", **STORED)),
    table(_C("id * 2", persisted=False)),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
    since=18,
    alchemy=(2, 1),
)
case(
    "virtual no more",
    "computed",
    table(_C("id * 2", persisted=False)),
    table(a(Integer, nullable=False)),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
    since=18,
    alchemy=(2, 1),
)
case(
    "virtual otherwise",
    "computed",
    table(_C("id * 2", persisted=False)),
    table(_C("id * 3", persisted=False)),
    rows=N1,
    kept=("SELECT a FROM t", [(3,)]),
    since=18,
    alchemy=(2, 1),
)
case(
    "computed of another type",
    "computed",
    table(_C("id * 2", **STORED)),
    table(a(BigInteger, lambda: Computed("id * 2", persisted=True))),
    rows=N1,
    kept=("SELECT a FROM t", [(2,)]),
)
case(
    "computed of a column whose type changes",
    "computed",
    table(a(Integer), lambda: Column("b", Integer, Computed("a + 1", persisted=True))),
    table(a(BigInteger), lambda: Column("b", Integer, Computed("a + 1", persisted=True))),
    rows=ROW.format(7),
    kept=("SELECT a, b FROM t", [(7, 8)]),
)
case("computed removed", "computed", table(_C("id * 2", **STORED)), table(), rows=N1)
case(
    "identity at last",
    "identity",
    table(a(Integer, nullable=False)),
    table(a(Integer, _IDENTITY)),
    rows=ROW.format(7),
    kept=("SELECT nextval(pg_get_serial_sequence('t', 'a'))", [(8,)]),
)
case(
    "identity no more",
    "identity",
    table(a(Integer, _IDENTITY)),
    table(a(Integer, nullable=False)),
    rows=ROW.format(7),
    kept=("SELECT a FROM t", [(7,)]),
)
case(
    "identity always",
    "identity",
    table(a(Integer, _IDENTITY)),
    table(a(Integer, lambda: Identity(always=True))),
    rows=ROW.format(7),
)
case(
    "identity with options",
    "identity",
    table(a(Integer, _IDENTITY)),
    table(a(Integer, lambda: Identity(start=10, increment=10, minvalue=10, maxvalue=1000, cache=5, cycle=True))),
    rows=N1,
)
case(
    "identity without options",
    "identity",
    table(a(Integer, lambda: Identity(start=10, increment=10, cache=5, cycle=True))),
    table(a(Integer, _IDENTITY)),
    rows=N1,
)
case(
    "identity that counts down",
    "identity",
    table(),
    table(a(Integer, lambda: Identity(increment=-1, start=-1, minvalue=-1000, maxvalue=-1))),
    rows=N1,
)
case(
    "identity of another type",
    "identity",
    table(a(Integer, _IDENTITY)),
    table(a(BigInteger, _IDENTITY)),
    rows=N1,
    kept=("SELECT a FROM t", [(1,)]),
)
case(
    "serial to identity",
    "identity",
    table(),
    lambda m: Table("t", m, Column("id", Integer, Identity(), primary_key=True)),
    rows="INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES",
    kept=("SELECT nextval(pg_get_serial_sequence('t', 'id'))", [(3,)]),
)
case(
    "identity to serial",
    "identity",
    lambda m: Table("t", m, Column("id", Integer, Identity(), primary_key=True)),
    table(),
    rows="INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES",
    kept=("SELECT nextval(pg_get_serial_sequence('t', 'id'))", [(3,)]),
)
case(
    "serial to bigserial",
    "identity",
    table(),
    lambda m: Table("t", m, Column("id", BigInteger, primary_key=True)),
    rows="INSERT INTO t DEFAULT VALUES",
    kept=(
        "SELECT seqtypid::regtype::text, seqmax FROM pg_sequence WHERE seqrelid = 't_id_seq'::regclass",
        [("bigint", 2**63 - 1)],
    ),
)
case(
    "serial to smallserial",
    "identity",
    table(),
    lambda m: Table("t", m, Column("id", SmallInteger, primary_key=True)),
    rows="INSERT INTO t DEFAULT VALUES",
    kept=("SELECT id FROM t", [(1,)]),
)
case(
    "serial no more",
    "identity",
    table(),
    lambda m: Table("t", m, Column("id", Integer, primary_key=True, autoincrement=False)),
    rows=N1,
)
case(
    "serial at last",
    "identity",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True, autoincrement=False)),
    table(),
    rows="INSERT INTO t VALUES (7)",
    kept=("SELECT nextval('t_id_seq')", [(8,)]),
)
case(
    "serial to uuid",
    "identity",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True)),
    lambda m: Table("t", m, Column("key", Uuid, primary_key=True, server_default=text("gen_random_uuid()"))),
    rows=N1,
)
case(
    "serial column added",
    "identity",
    lambda m: Table("t", m, Column("b", Text)),
    lambda m: Table("t", m, Column("b", Text), Column("id", Integer, primary_key=True)),
    rows="INSERT INTO t VALUES ('x'), ('y')",
    kept=("SELECT max(id) FROM t", [(2,)]),
)


# Keys, checks, exclusions
def uq(*columns: str, name: str | None = "uq", **options: Any) -> Callable[[], Any]:
    return lambda: UniqueConstraint(*columns, name=name, **options)


def ck(sql: str, name: str | None = "ck", **options: Any) -> Callable[[], Any]:
    return lambda: CheckConstraint(sql, name=name, **options)


def ix(*keys: Any, name: str = "ix", **options: Any) -> Callable[[], Any]:
    return lambda: Index(name, *(each() if callable(each) else each for each in keys), **options)


B: Callable[[], Any] = lambda: Column("b", Text)  # noqa: E731 - as its neighbours
AB = (a(Integer), B)
ROWS = "INSERT INTO t (id, a, b) VALUES (1, 7, 'x'), (2, 8, 'y')"
KEPT = ("SELECT a, b FROM t ORDER BY id", [(7, "x"), (8, "y")])
PARTS: dict[str, tuple[str, list[Callable[[], Any]]]] = {
    "unique": ("unique", [uq("a"), uq("a", "b"), uq("b", "a")]),
    "unique deferrable": (
        "unique",
        [uq("a"), uq("a", deferrable=True), uq("a", deferrable=True, initially="DEFERRED")],
    ),
    "unique include": ("unique", [uq("a"), uq("a", postgresql_include=["b"])]),
    "unique unnamed": ("names", [uq("a", name=None), uq("a", name="other")]),
    "unique comment": ("comment", [uq("a", comment="one"), uq("a", comment='it\'s "two"')]),
    "unique long name": ("names", [uq("a", name="x" * 63), uq("a", "b", name="x" * 63)]),
    "check": ("check", [ck("a > 0"), ck("a > 1"), ck("a > 1 AND b <> ''")]),
    "check in": ("check", [ck("b IN ('x', 'y')"), ck("b IN ('x', 'y', 'z')")]),
    "check like": ("check", [ck("b LIKE 'x%' OR a > 0"), ck("b ~ '^[a-z:]+$'")]),
    "check with a colon": ("check", [ck(r"b <> 'a\:b'"), ck(r"b <> 'a\:c' AND b <> '50%'")]),
    "check unnamed": ("check", [ck("a > 0", None), ck("a > 1", None)]),
    "check construct": (
        "check",
        [
            lambda: CheckConstraint(column("a") > 0, name="ck"),
            lambda: CheckConstraint(column("b").in_(["x", "y"]), name="ck"),
        ],
    ),
    "check comment": ("comment", [ck("a > 0", comment="one"), ck("a > 0", comment="two's")]),
    "exclude": (
        "exclude",
        [
            lambda: pg.ExcludeConstraint(("a", "="), name="ex", using="btree"),
            lambda: pg.ExcludeConstraint(("a", "="), ("b", "="), name="ex", using="btree"),
            lambda: pg.ExcludeConstraint(("a", "="), name="ex", using="btree", where=text("a > 7")),
        ],
    ),
    "exclude expression": (
        "exclude",
        [
            lambda: pg.ExcludeConstraint((text("int4range(a, a + 1)"), "&&"), name="ex"),
            lambda: pg.ExcludeConstraint(
                (func.int4range(column("a"), column("a"), text("'[]'")), "&&"), name="ex", deferrable=True
            ),
        ],
    ),
    "foreign key": (
        "fk",
        [
            lambda: ForeignKeyConstraint(["id"], ["t.id"], name="fk"),
            lambda: ForeignKeyConstraint(["id"], ["t.id"], name="fk", ondelete="CASCADE"),
            lambda: ForeignKeyConstraint(
                ["id"], ["t.id"], name="fk", onupdate="SET NULL", deferrable=True, initially="DEFERRED"
            ),
        ],
    ),
    "foreign key match": (
        "fk",
        [
            lambda: ForeignKeyConstraint(["id"], ["t.id"], name="fk"),
            lambda: ForeignKeyConstraint(["id"], ["t.id"], name="fk", match="FULL"),
        ],
    ),
    "foreign key unnamed": (
        "fk",
        [
            lambda: ForeignKeyConstraint(["id"], ["t.id"]),
            lambda: ForeignKeyConstraint(["id"], ["t.id"], ondelete="RESTRICT"),
        ],
    ),
    "index": ("index", [ix("a"), ix("a", "b"), ix("b", "a")]),
    "index unique": ("index", [ix("a"), ix("a", unique=True)]),
    "index order": (
        "index",
        [
            ix("a"),
            ix(lambda: text("a DESC")),
            ix(lambda: text("a DESC NULLS LAST")),
            ix(lambda: column("a").desc().nulls_last(), "b"),
        ],
    ),
    "index method": ("index", [ix("a"), ix("a", postgresql_using="hash"), ix("a", postgresql_using="brin")]),
    "index include": ("index", [ix("a"), ix("a", postgresql_include=["b"])]),
    "index where": (
        "index",
        [
            ix("a", postgresql_where=text("b = 'x'")),
            ix("a", postgresql_where=text("b IN ('x', 'y')")),
            ix("a", postgresql_where=column("b").like("a%")),
        ],
    ),
    "index options": (
        "options",
        [
            ix("a", postgresql_with={"fillfactor": 50}),
            ix("a", postgresql_with={"fillfactor": 60, "deduplicate_items": "off"}),
        ],
    ),
    "index operator class": (
        "index",
        [
            ix("b"),
            ix("b", postgresql_ops={"b": "text_pattern_ops"}),
            ix("b", postgresql_ops={"b": "varchar_pattern_ops"}, unique=True),
        ],
    ),
    "index expression": (
        "index",
        [ix(lambda: text("lower(b)")), ix(lambda: func.upper(column("b"))), ix(lambda: text("(a + 1)"), "b")],
    ),
    "index expression with a colon": (
        "index",
        [ix(lambda: text(r"(b || '\:x')")), ix(lambda: text("((b)::varchar(5))"))],
    ),
    "index collation": (
        "index",
        [ix("b"), ix(lambda: text('b COLLATE "C"')), ix(lambda: text('b COLLATE "C" text_pattern_ops DESC'))],
    ),
    "index full text": (
        "index",
        [
            ix(lambda: text("to_tsvector('english', b)"), postgresql_using="gin"),
            ix(lambda: func.to_tsvector(text("'simple'::regconfig"), column("b")), postgresql_using="gin"),
        ],
    ),
    "index named awkwardly": ("names", [ix("a", name="My Index"), ix("a", "b", name='in"dex')]),
}
for _name, (_tag, _parts) in PARTS.items():
    _chain: list[Callable[[], Any] | None] = [None, *_parts, None]
    for _number, (_one_part, _other_part) in enumerate(pairwise(_chain)):
        case(
            f"{_name} {_number}",
            _tag,
            table(*AB, *([_one_part] if _one_part else [])),
            table(*AB, *([_other_part] if _other_part else [])),
            rows=ROWS,
            kept=KEPT,
        )
case(
    "unique nulls",
    "unique",
    table(*AB, uq("a")),
    table(*AB, uq("a", postgresql_nulls_not_distinct=True)),
    rows=ROWS,
    kept=KEPT,
    since=15,
)
case(
    "index nulls",
    "index",
    table(*AB, ix("a", unique=True)),
    table(*AB, ix("a", unique=True, postgresql_nulls_not_distinct=True)),
    rows=ROWS,
    kept=KEPT,
    since=15,
)


def pk(*columns: str, name: str | None = None, **options: Any) -> Build:
    def build(m: MetaData) -> None:
        key = [PrimaryKeyConstraint(*columns, name=name, **options)] if columns else []
        Table("t", m, Column("a", Integer, autoincrement=False), Column("b", Text), *key)

    return build


PK_ROWS = "INSERT INTO t (a, b) VALUES (7, 'x'), (8, 'y')"
PK_KEPT = ("SELECT a, b FROM t ORDER BY a", KEPT[1])
for _name, _one_build, _other_build in (
    ("primary key comes", pk(), pk("a")),
    ("primary key goes", pk("a"), pk()),
    ("primary key grows", pk("a"), pk("a", "b")),
    ("primary key shrinks", pk("a", "b"), pk("a")),
    ("primary key turns", pk("a", "b"), pk("b", "a")),
    ("primary key moves", pk("a"), pk("b")),
    ("primary key gets a name", pk("a"), pk("a", name="the_key")),
    ("primary key deferrable", pk("a"), pk("a", name="the_key", deferrable=True)),
    ("primary key include", pk("a", name="the_key"), pk("a", name="the_key", postgresql_include=["b"])),
):
    case(_name, "pk", _one_build, _other_build, rows=PK_ROWS, kept=PK_KEPT)


def family(kind: Any, *, key: str = "id", **options: Any) -> Build:
    def build(m: MetaData) -> None:
        Table("parent", m, Column("id", kind, primary_key=True), Column("code", Text, unique=True))
        Table(
            "child",
            m,
            Column("n", Integer),
            Column("up", Text if key == "code" else kind, ForeignKey(f"parent.{key}", **options)),
        )

    return build


FAMILY = "INSERT INTO parent VALUES ('1', 'x'); INSERT INTO child VALUES (1, {})"
case(
    "key and reference to bigint",
    "fk",
    family(Integer),
    family(BigInteger),
    rows=FAMILY.format("1"),
    kept=("SELECT up FROM child", [(1,)]),
)
case(
    "key and reference to uuid",
    "fk",
    family(String(36)),
    family(Uuid(as_uuid=False)),
    rows=f"INSERT INTO parent VALUES ('{'1' * 32}', 'x'); INSERT INTO child VALUES (1, '{'1' * 32}')",
)
case(
    "key and reference to integer",
    "fk",
    family(Text),
    family(BigInteger),
    rows=FAMILY.format("'1'"),
    kept=("SELECT up FROM child", [(1,)]),
)
case(
    "reference to another key",
    "fk",
    family(Text),
    family(Text, key="code"),
    rows="INSERT INTO parent VALUES ('1', '1'); INSERT INTO child VALUES (1, '1')",
    kept=("SELECT up FROM child", [("1",)]),
)
case(
    "reference that cascades",
    "fk",
    family(Integer),
    family(Integer, ondelete="SET NULL", name="fk"),
    rows=FAMILY.format("1"),
    kept=("SELECT up FROM child", [(1,)]),
)


def keyed(extra: tuple[Callable[[], Any], ...], target: str) -> Build:
    def build(m: MetaData) -> None:
        Table("parent", m, Column("id", Integer, primary_key=True), Column("code", Text), *(each() for each in extra))
        Table(
            "child", m, Column("n", Integer), Column("up", Text, *([ForeignKey(target, name="fk")] if target else []))
        )

    return build


case(
    "unique and the reference to it",
    "fk",
    keyed((), ""),
    keyed((uq("code"),), "parent.code"),
    rows="INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 'x')",
)
case(
    "unique index and the reference to it",
    "fk",
    keyed((), ""),
    keyed((ix("code", unique=True),), "parent.code"),
    rows="INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 'x')",
)
case(
    "unique changes under a reference",
    "fk",
    keyed((uq("code"),), "parent.code"),
    keyed((uq("code", postgresql_include=["id"]),), "parent.code"),
    rows="INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 'x')",
)
case(
    "unique goes with the reference to it",
    "fk",
    keyed((uq("code"),), "parent.code"),
    keyed((), ""),
    rows="INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 'x')",
)

# Enums, domains, sequences


def kind(*labels: str, default: str | None = None, more: Callable[[], Any] | None = None, name: str = "kind") -> Build:
    return table(a(Enum(*labels, name=name), server_default=default), *([more] if more else []))


X, XY = ROW.format("'x'"), [("x",)]
for _name, _one_build, _other_build in (
    ("label at the end", kind("x"), kind("x", "y")),
    ("label at the start", kind("x"), kind("w", "x")),
    ("label between", kind("x", "z"), kind("x", "y", "z")),
    ("labels everywhere", kind("x"), kind("v", "w", "x", "y", "z")),
    ("label and its use as a default", kind("x"), kind("x", "y", default="y")),
    ("label and its use in a check", kind("x"), kind("x", "y", more=ck("a <> 'y'"))),
    ("label and its use in an index", kind("x"), kind("x", "y", more=ix("id", postgresql_where=text("a = 'y'")))),
    ("label goes", kind("x", "y"), kind("x")),
    ("label that was the default goes", kind("x", "y", default="y"), kind("x", default="x")),
    ("label that a check uses goes", kind("x", "y", more=ck("a <> 'y'")), kind("x")),
    ("label goes under an index", kind("x", "y", more=ix("a")), kind("x", more=ix("a"))),
    ("labels turn", kind("x", "y"), kind("y", "x")),
    ("label goes and another comes", kind("x", "y"), kind("x", "z", default="z")),
    ("label with a quote", kind("x"), kind("x", "it's")),
    ("label with capitals", kind("x"), kind("x", "A B")),
    ("enum of another name", kind("x", default="x"), kind("x", default="x", name="sort")),
    ("enum of an awkward name", kind("x"), kind("x", name="My Kind")),
):
    case(_name, "enum", _one_build, _other_build, rows=X, kept=("SELECT a::text FROM t", XY))
case(
    "label in an array",
    "enum",
    table(a(ARRAY(Enum("x", "y", name="kind")))),
    table(a(ARRAY(Enum("x", name="kind")))),
    rows=ROW.format("'{x}'"),
)
case(
    "label of an enum that two tables use",
    "enum",
    both(table(a(Enum("x", "y", name="kind"))), table(a(Enum("x", "y", name="kind")), name="u")),
    both(table(a(Enum("x", name="kind"))), table(a(Enum("x", name="kind")), name="u")),
    rows=X,
)
case(
    "enum in another schema",
    "enum",
    table(a(Enum("x", name="kind"))),
    table(a(Enum("x", name="kind", schema="app"))),
    rows=X,
    setup="CREATE SCHEMA app",
)
case("enum of an application comes", "enum", table(), table(a(Enum(Mood, name="mood"), server_default="SAD")), rows=N1)
case(
    "enum of an application by value",
    "enum",
    table(),
    table(
        a(Enum(Mood, name="mood", values_callable=lambda kinds: [each.value for each in kinds]), server_default="sad")
    ),
    rows=N1,
)


def dom(base: Any = Integer, **options: Any) -> Build:
    return table(a(pg.DOMAIN("dom", base, **options)))


for _name, _one_build, _other_build in (
    ("domain check comes", dom(), dom(check="VALUE > 0")),
    ("domain check goes", dom(check="VALUE > 0"), dom()),
    (
        "domain check changes",
        dom(check="VALUE > 0", constraint_name="pos"),
        dom(check="VALUE > 1", constraint_name="pos"),
    ),
    ("domain check gets a name", dom(check="VALUE > 0"), dom(check="VALUE > 0", constraint_name="pos")),
    ("domain default", dom(), dom(default="5")),
    ("domain default goes", dom(default="5"), dom()),
    ("domain not null", dom(), dom(not_null=True)),
    ("domain null", dom(not_null=True), dom()),
    ("domain type", dom(), dom(BigInteger)),
    ("domain of integer to domain of text", dom(), dom(Text)),
    ("domain goes", dom(), table(a(Integer))),
    ("domain comes", table(a(Integer)), dom(check="VALUE > 0")),
    ("domain of all", dom(), dom(BigInteger, default="5", not_null=True, check="VALUE > 0")),
):
    case(_name, "domain", _one_build, _other_build, rows=ROW.format(7), kept=("SELECT a::text FROM t", [("7",)]))


def seq(**options: Any) -> Build:
    return lambda m: Sequence("seq", metadata=m, **options)


DRAWN = "SELECT nextval('seq')"
for _name, _one_build, _other_build, _rows in (
    ("sequence comes", nothing, seq(start=5, increment=2, cache=3), ""),
    ("sequence goes", seq(), nothing, DRAWN),
    ("sequence options", seq(), seq(increment=5, maxvalue=100, cycle=True, cache=2), DRAWN),
    ("sequence options go", seq(increment=5, maxvalue=100, cycle=True, cache=2), seq(), DRAWN),
    ("sequence type", seq(), seq(data_type=Integer), DRAWN),
    ("sequence of small numbers", seq(data_type=SmallInteger), seq(data_type=BigInteger), DRAWN),
    ("sequence counts down", nothing, seq(increment=-1, start=-5, minvalue=-100, maxvalue=-1), ""),
    ("sequence starts elsewhere", seq(start=3), seq(start=9), DRAWN),
):
    case(_name, "sequence", _one_build, _other_build, rows=_rows)

# Tables
OTHER = table(a(Integer), name="other")
case("table comes", "table", nothing, table(*AB, uq("a"), ck("a > 0"), ix("b")))
case("table goes", "table", both(OTHER, table(*AB)), OTHER, rows=ROWS)
case("table goes with its enum", "enum", both(OTHER, kind("x")), OTHER, rows=X)
case("table goes that others refer to", "fk", family(Integer), nothing, rows=FAMILY.format("1"))
case("tables come and go", "compound", family(Integer), both(table(*AB), OTHER), rows=FAMILY.format("1"))
case(
    "table takes the index of another",
    "names",
    both(OTHER, table(*AB, ix("a"))),
    both(OTHER, table(*AB, ix("b"), name="u")),
    rows=ROWS,
)
case("table comment", "comment", table(), table(comment='it\'s a "comment" \\ 50% :x\nsecond line'), rows=N1)
case("table comment changes", "comment", table(comment="one"), table(comment="two"), rows=N1)
case("table comment goes", "comment", table(comment="one"), table(), rows=N1)
case("column comment", "comment", table(a(Text)), table(a(Text, comment="it's")), rows=N1)
case("column comment goes", "comment", table(a(Text, comment="it's")), table(a(Text)), rows=N1)
case(
    "table options",
    "options",
    table(),
    table(postgresql_with={"fillfactor": 70, "autovacuum_enabled": "false"}),
    rows=N1,
    alchemy=(2, 1),
)
case(
    "table options change",
    "options",
    table(postgresql_with={"fillfactor": 70}),
    table(postgresql_with={"fillfactor": 80, "parallel_workers": 2}),
    rows=N1,
    alchemy=(2, 1),
)
case("table options go", "options", table(postgresql_with={"fillfactor": 70}), table(), rows=N1, alchemy=(2, 1))
case("table unlogged", "options", table(), table(prefixes=["UNLOGGED"]), rows=N1, kept=("SELECT id FROM t", [(1,)]))
case("table logged", "options", table(prefixes=["UNLOGGED"]), table(), rows=N1, kept=("SELECT id FROM t", [(1,)]))
case(
    "unlogged table comes",
    "options",
    nothing,
    table(prefixes=["UNLOGGED"], postgresql_with={"fillfactor": 70}, comment="x"),
    alchemy=(2, 1),
)
case("schema comes", "schema", nothing, table(a(Enum("x", name="kind", schema="app")), ix("a"), schema="app"))
case(
    "reference into another schema",
    "schema",
    table(schema="app"),
    both(
        table(schema="app"),
        lambda m: Table(
            "u", m, Column("t_id", ForeignKey("app.t.id", name="fk")), Column("n", Integer, index=True), schema="other"
        ),
    ),
    setup="CREATE SCHEMA app",
)
case(
    "names that need quotes",
    "names",
    nothing,
    lambda m: Table(
        "My Table",
        m,
        Column("Id", Integer, primary_key=True),
        Column("select", Text, index=True),
        Column("a b", Integer, CheckConstraint('"a b" > 0', name="My Check")),
        comment="x",
    ),
)
case(
    "names that need quotes change",
    "names",
    lambda m: Table("User", m, Column("Id", Integer, primary_key=True), Column("Order", Text)),
    lambda m: Table(
        "User", m, Column("Id", BigInteger, primary_key=True), Column("Order", Text, nullable=False, index=True)
    ),
    rows="""INSERT INTO "User" VALUES (1, 'x')""",
)
CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
case(
    "convention",
    "naming conventions",
    table(a(Integer)),
    table(
        a(Integer, index=True), uq("a", name=None), ck("a > 0", "positive"), lambda: Column("up", ForeignKey("t.id"))
    ),
    rows=N1,
    convention=CONVENTION,
)
case(
    "convention of a new table",
    "naming conventions",
    nothing,
    table(
        a(Integer, index=True), uq("a", name=None), ck("a > 0", "positive"), lambda: Column("up", ForeignKey("t.id"))
    ),
    convention=CONVENTION,
)
CASES.append(
    Case(
        "convention comes",
        table(a(Integer, unique=True), ck("a > 0", "positive")),
        sql="CREATE TABLE t (id serial PRIMARY KEY, a integer UNIQUE, CONSTRAINT positive CHECK (a > 0))",
        rows=N1,
        convention=CONVENTION,
        tags=("naming conventions",),
    )
)


def circle(m: MetaData) -> None:
    Table(
        "one",
        m,
        Column("id", Integer, primary_key=True),
        Column("two_id", ForeignKey("two.id", name="fk_one", use_alter=True)),
    )
    Table("two", m, Column("id", Integer, primary_key=True), Column("one_id", ForeignKey("one.id", name="fk_two")))


def tree(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("id", Integer, primary_key=True),
        Column("up", ForeignKey("t.id")),
        Column("x", Integer),
        Column("y", Integer),
        UniqueConstraint("x", "y", name="uq"),
        ForeignKeyConstraint(["x", "y"], ["t.x", "t.y"], name="xy"),
    )


case("circle comes", "fk", nothing, circle)
case("circle goes", "fk", circle, nothing, rows="INSERT INTO one VALUES (1, NULL); INSERT INTO two VALUES (1, 1)")
case("tree comes", "fk", nothing, tree)
case("tree goes", "fk", tree, nothing, rows="INSERT INTO t VALUES (1, 1, 1, 1)")


def chain(m: MetaData) -> None:
    for number, name in enumerate("zyxw"):
        Table(
            name,
            m,
            Column("id", Integer, primary_key=True),
            *([Column("up", ForeignKey(f"{'zyxw'[number - 1]}.id"))] if number else []),
        )


case("chain comes", "fk", nothing, chain)
case("chain goes", "fk", chain, nothing, rows="INSERT INTO z VALUES (1); INSERT INTO y VALUES (1, 1)")


# Partitions and heirs
def parts(*extra: Callable[[], Any], by: str | None = "RANGE (id)") -> Build:
    def build(m: MetaData) -> None:
        options: dict[str, Any] = {"postgresql_partition_by": by} if by else {}
        Table(
            "t", m, Column("id", Integer, primary_key=True, autoincrement=False), *(each() for each in extra), **options
        )

    return build


PARTITION = "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10); INSERT INTO t (id) VALUES (1), (2)"
STAY = ("SELECT count(*) FROM t", [(2,)])
case("partitioned table comes", "partition", nothing, parts(a(Integer), ix("a")))
case("partitioned table goes", "partition", parts(), nothing, rows=PARTITION)
for _name, _extra in {
    "column": (a(Integer, nullable=False, server_default="1"),),
    "index": (a(Integer), ix("a")),
    "check": (a(Integer), ck("a > 0")),
    "unique": (a(Integer), uq("id", "a")),
    "reference": (a(lambda: ForeignKey("other.id", name="fk")),),
}.items():
    _more_parts = _extra[:1] if len(_extra) > 1 else ()
    case(
        f"{_name} of a partitioned table",
        "partition",
        both(OTHER, parts(*_more_parts)),
        both(OTHER, parts(*_extra)),
        rows=PARTITION,
        kept=STAY,
    )
case(
    "type of a partitioned table",
    "partition",
    parts(a(Integer), ix("a")),
    parts(a(BigInteger), ix("a", "id")),
    rows=PARTITION,
    kept=STAY,
)
case("partitioned at last", "partition", parts(by=None), parts(by="HASH (id)"), rows="")
case(
    "partitioned no more",
    "partition",
    parts(a(Integer)),
    parts(a(Integer), ix("a"), by=None),
    rows=PARTITION,
    kept=STAY,
)


def heirs(*, inherits: bool, extra: tuple[Callable[[], Any], ...] = ()) -> Build:
    def build(m: MetaData) -> None:
        base = Table("base", m, Column("id", Integer, primary_key=True), *(each() for each in extra))
        options: dict[str, Any] = {"postgresql_inherits": "base"} if inherits else {}
        heir = Table(
            "t", m, Column("id", Integer, primary_key=True), Column("b", Text), *(each() for each in extra), **options
        )
        if inherits:
            heir.add_is_dependent_on(base)

    return build


HEIR = "INSERT INTO t (id, b) VALUES (1, 'x')"
case("heir comes", "inheritance", nothing, heirs(inherits=True))
case(
    "inherits",
    "inheritance",
    heirs(inherits=False),
    heirs(inherits=True),
    rows=HEIR,
    kept=("SELECT b FROM t", [("x",)]),
)
case(
    "inherits no more",
    "inheritance",
    heirs(inherits=True),
    heirs(inherits=False),
    rows=HEIR,
    kept=("SELECT b FROM t", [("x",)]),
)
case(
    "heir goes",
    "inheritance",
    heirs(inherits=True),
    lambda m: Table("base", m, Column("id", Integer, primary_key=True)),
    rows=HEIR,
)


# Renames
def named(
    name: str, col: str, *, labels: tuple[str, ...] = ("x", "y"), enum_name: str = "kind", schema: str | None = None
) -> Build:
    def build(m: MetaData) -> None:
        Table(
            name,
            m,
            Column("id", Integer, primary_key=True),
            Column(col, Enum(*labels, name=enum_name, schema=schema), server_default=labels[0], index=True),
            CheckConstraint(f"{col} <> '{labels[1]}'", name="ck"),
            schema=schema,
        )

    return build


RENAMED = "INSERT INTO t (id) VALUES (1)"
case(
    "table renamed",
    "rename",
    named("t", "a"),
    named("people", "a"),
    rows=RENAMED,
    renames=(("table", "public.t", "people"),),
    kept=("SELECT a::text FROM people", [("x",)]),
)
case(
    "column renamed",
    "rename",
    named("t", "a"),
    named("t", "b"),
    rows=RENAMED,
    renames=(("column", "public.t.a", "b"),),
    kept=("SELECT b::text FROM t", [("x",)]),
)
case(
    "all renamed",
    "rename",
    named("t", "a"),
    named("people", "b", labels=("u", "v"), enum_name="sort"),
    rows=RENAMED,
    renames=(
        ("table", "public.t", "people"),
        ("column", "public.t.a", "b"),
        ("type", "public.kind", "sort"),
        ("enum_value", "public.kind.x", "u"),
        ("enum_value", "public.kind.y", "v"),
    ),
    kept=("SELECT b::text FROM people", [("u",)]),
)
case(
    "schema renamed",
    "rename",
    named("t", "a", schema="app"),
    named("t", "a", schema="core"),
    setup="CREATE SCHEMA app",
    rows="INSERT INTO app.t (id) VALUES (1)",
    renames=(("schema", "app", "core"),),
    kept=("SELECT a::text FROM core.t", [("x",)]),
)
case(
    "column renamed and converted",
    "rename",
    table(a(Text), ck("a <> ''")),
    table(lambda: Column("b", Integer, nullable=False), ck("b > 0"), ix("b")),
    rows=ROW.format("'7'"),
    renames=(("column", "public.t.a", "b"),),
    kept=("SELECT b FROM t", [(7,)]),
)
case(
    "column renamed over another",
    "rename",
    table(a(Integer), B),
    table(B),
    rows=ROWS,
    renames=(),
    kept=("SELECT b FROM t ORDER BY id", [("x",), ("y",)]),
)
case(
    "index and constraint renamed",
    "rename",
    table(*AB, ix("a"), uq("a")),
    table(*AB, ix("a", name="i2"), uq("a", name="u2")),
    rows=ROWS,
    kept=KEPT,
    renames=(("index", "public.ix", "i2"), ("constraint", "public.t.uq", "u2")),
)
case(
    "sequence renamed and changed",
    "rename",
    seq(),
    lambda m: Sequence("other", metadata=m, increment=5),
    rows=DRAWN,
    renames=(("sequence", "public.seq", "other"),),
    kept=("SELECT last_value FROM other", [(1,)]),
)
case(
    "table moved",
    "rename",
    table(*AB),
    table(*AB, schema="app"),
    setup="CREATE SCHEMA app",
    rows=ROWS,
    renames=(("table", "public.t", "app.t"),),
    kept=("SELECT count(*) FROM app.t", [(2,)]),
)


# What once went wrong
def shared(*names: str) -> Build:
    """Fill with tables whose ids come from one sequence."""

    def build(m: MetaData) -> None:
        ids = Sequence("ids", metadata=m, start=10)
        for name in names:
            Table(name, m, Column("id", Integer, ids, server_default=ids.next_value(), primary_key=True))

    return build


def refers(kind: Any, *, unlogged: bool = False, parent: bool = True, child: bool = True) -> Build:
    """Fill with two tables, one of which refers to the other."""

    def build(m: MetaData) -> None:
        prefixes = ["UNLOGGED"] if unlogged else []
        key = [ForeignKey("z.id")] if parent else []
        Table("z", m, Column("id", kind, primary_key=True), prefixes=prefixes)
        if child:
            Table("a", m, Column("id", Integer, primary_key=True), Column("z", kind, *key), prefixes=prefixes)

    return build


REFERS = "INSERT INTO z (id) VALUES (1); INSERT INTO a VALUES (1, 1)"
case("sequence of two tables", "sequence", shared("t1"), shared("t1", "t2"), rows="INSERT INTO t1 DEFAULT VALUES")
case("table logged with what it refers to", "options", refers(Integer, unlogged=True), refers(Integer), rows=REFERS)
case("table unlogged with what it refers to", "options", refers(Integer), refers(Integer, unlogged=True), rows=REFERS)
case("serial key and its reference to text", "pk", refers(Integer), refers(Text), rows=REFERS)
case("table goes that refers to a key of another type", "pk", refers(Integer), refers(Text, child=False), rows=REFERS)
case(
    "reference and what it refers to go",
    "fk",
    both(table(a(Integer, unique=True)), table(a(lambda: ForeignKey("t.a")), name="other")),
    both(table(a(Integer)), table(name="other")),
    rows="INSERT INTO t VALUES (1, 1); INSERT INTO other VALUES (1, 1)",
)
case("sequence turns round", "sequence", seq(), seq(increment=-1, start=-1), rows="SELECT nextval('seq')")
case("sequence begins higher", "sequence", seq(), seq(minvalue=100, start=100), rows="SELECT nextval('seq')")
case(
    "identity turns round",
    "identity",
    table(a(Integer, _IDENTITY)),
    table(a(Integer, lambda: Identity(increment=-1, start=1000, minvalue=-1000, maxvalue=1000))),
    rows="INSERT INTO t (id) VALUES (1), (2)",
    kept=("SELECT nextval('t_a_seq')", [(0,)]),
)
case(
    "label with a quote as a default",
    "enum",
    table(a(Enum("x", name="kind"), server_default="x")),
    table(a(Enum("x", "it's", "y\\z", name="kind"), server_default="it's")),
    rows=ROW.format("'x'"),
)
case(
    "label that was the default goes, one that comes is",
    "enum",
    table(a(Enum("x", "y", name="kind"), server_default="y")),
    table(a(Enum("x", "z", name="kind"), server_default="z")),
    rows=ROW.format("'x'"),
)
case(
    "labels swapped",
    "rename",
    table(a(Enum("x", "y", name="kind"))),
    table(a(Enum("y", "x", name="kind"))),
    rows=ROW.format("'x'"),
    renames=(("enum_value", "public.kind.x", "y"), ("enum_value", "public.kind.y", "x")),
    kept=("SELECT a::text FROM t", [("y",)]),
)
case(
    "columns swapped",
    "rename",
    table(*AB, ix("a"), ck("a > 0")),
    table(lambda: Column("b", Integer), lambda: Column("a", Text), ix("b"), ck("b > 0")),
    rows=ROWS,
    renames=(("column", "public.t.a", "b"), ("column", "public.t.b", "a")),
    kept=("SELECT a FROM t ORDER BY id", [("x",), ("y",)]),
)
case(
    "enum moves and gets a label that is used",
    "rename",
    table(a(Enum("x", name="kind"), server_default="x")),
    table(a(Enum("w", "y", name="sort", schema="app"), server_default="y")),
    rows=ROW.format("'x'"),
    renames=(("type", "public.kind", "app.sort"), ("enum_value", "public.kind.x", "w")),
    kept=("SELECT a::text FROM t", [("w",)]),
)
case(
    "domain renamed with its check",
    "rename",
    table(a(pg.DOMAIN("n", Integer, check="VALUE > 0"))),
    table(a(pg.DOMAIN("m", Integer, check="VALUE > 0"))),
    rows=ROW.format("7"),
    renames=(("type", "public.n", "m"),),
)
case(
    "table renamed and its old name used anew",
    "rename",
    table(a(Integer, index=True)),
    both(table(a(Integer, index=True), name="t_old"), table(a(Text))),
    rows=ROW.format("7"),
    renames=(("table", "public.t", "t_old"),),
    kept=("SELECT a FROM t_old", [(7,)]),
)
case(
    "types of inherited columns",
    "inheritance",
    heirs(inherits=True, extra=(a(Integer),)),
    heirs(inherits=True, extra=(a(Text, server_default="1", nullable=False),)),
    rows="INSERT INTO base VALUES (1, 7)",
    kept=("SELECT a FROM base", [("7",)]),
)
case("partitioned at last, with more", "partition", parts(by=None), parts(a(Integer), ix("a"), by="HASH (id)"), rows="")


class Vector(UserDefinedType[str]):
    """A type of an extension that is in a schema of its own."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "ext.vector(3)"


case(
    "an operator class of another schema",
    "index",
    table(a(Vector)),
    table(
        a(Vector),
        lambda: Index("ix", "a", postgresql_using="hnsw", postgresql_ops={"a": "ext.vector_cosine_ops"}),
    ),
    setup="CREATE SCHEMA ext",
    extensions=("vector SCHEMA ext",),
    rows=ROW.format("'[1,2,3]'"),
)
case(
    "a free sequence goes with the default that drew from it",
    "sequence",
    both(lambda m: Sequence("seq", metadata=m), table(a(Integer, server_default=text("nextval('seq')")))),
    table(a(Integer)),
    rows=N1,
)
case(
    "a function of another schema",
    "schema",
    table(a(Integer)),
    table(a(Integer, lambda: CheckConstraint("lib.twice(a) > 0", name="ck"), server_default=text("lib.twice(2)"))),
    setup="CREATE SCHEMA lib; CREATE FUNCTION lib.twice(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS "
    "'SELECT $1 * 2'",
    rows=ROW.format("7"),
)

# Several at once
case(
    "all at once",
    "compound",
    both(family(Integer), kind("x", default="x"), OTHER),
    both(
        family(BigInteger, ondelete="CASCADE"),
        table(
            a(Enum("x", "y", "z", name="kind"), server_default="z", nullable=False, index=True),
            B,
            lambda: Column("when", DateTime(timezone=True), nullable=False, server_default=func.now()),
            ck("b <> ''", "nb"),
            uq("a", "b"),
        ),
        lambda m: Table(
            "extra",
            m,
            Column("id", Integer, Identity(), primary_key=True),
            Column("t_id", ForeignKey("t.id", ondelete="CASCADE"), nullable=False, index=True),
            Column("flag", Boolean, nullable=False, server_default=true()),
            Column("tags", ARRAY(Text), server_default="{}"),
            comment="it's new",
        ),
    ),
    rows=f"{FAMILY.format('1')}; {X}",
    kept=("SELECT t.a::text, up FROM t, child", [("x", 1)]),
)
CASES.append(
    Case(
        "from a schema made by hand",
        table(*AB, ix("b"), uq("a")),
        sql="""CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a varchar(20) DEFAULT '7'
        CHECK (a <> ''), b text COLLATE "C"); CREATE INDEX old ON t USING hash (b)""",
        rows="INSERT INTO t (a, b) VALUES ('7', 'x')",
        kept=("SELECT a, b FROM t", [(7, "x")]),
        tags=("compound",),
    )
)
CASES.append(
    Case(
        "what others made stays",
        table(*AB),
        before=table(*AB),
        sql="""CREATE VIEW v AS SELECT id FROM t; CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        CREATE TABLE alembic_version (n integer)""",
        tags=("unmanaged objects",),
    )
)


def every() -> Iterator[Case]:
    """Yield all cases, each under a name of its own."""
    seen: set[str] = set()
    for each in CASES:
        assert each.name not in seen, each.name
        seen.add(each.name)
        yield each
