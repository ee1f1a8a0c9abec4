"""The same schema on both sides, spelled awkwardly: silence."""

from collections.abc import Callable
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
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    and_,
    cast,
    column,
    desc,
    false,
    func,
    literal_column,
    or_,
    text,
    true,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.event import listen
from sqlalchemy.schema import DDL
from sqlalchemy.types import UserDefinedType

from tests.schema_cases import Build, Case

CASES: list[Case] = []


def case(name: str, *tags: str, **facts: Any) -> Callable[[Build], Build]:
    """Note a case whose metadata the decorated function fills."""

    def noted(build: Build) -> Build:
        CASES.append(Case(name, build, tags=tags, **facts))
        return build

    return noted


def of_columns(name: str, *columns: Callable[[], Any], tag: str = "column", **facts: Any) -> None:
    """Note a case of one table `t` with an id and what `columns` make."""
    CASES.append(
        Case(
            name,
            lambda m: Table("t", m, Column("id", Integer, primary_key=True), *(make() for make in columns)),
            tags=(tag,),
            **facts,
        )
    )


# Defaults

DEFAULTS: dict[str, tuple[Any, Any]] = {
    "a number as text": (Integer, "5"),
    "a number": (Integer, text("5")),
    "a negative number": (Integer, text("-1")),
    "a negative number with a cast": (BigInteger, text("'-1'::integer")),
    "a fraction": (Numeric(10, 2), text("0.00")),
    "a float": (Float, text("1e-3")),
    "a text": (String(20), "new"),
    "a text with a quote": (String(20), "it's"),
    "a text with a backslash": (Text, "a\\b"),
    "a text with a percent sign": (Text, "50%"),
    "a text with a colon": (Text, "a:b"),
    "an empty text": (Text, ""),
    "a text that looks like a function": (Text, "now()"),
    "now as SQLAlchemy has it": (DateTime(timezone=True), func.now()),
    "CURRENT_TIMESTAMP": (DateTime(timezone=True), text("CURRENT_TIMESTAMP")),
    "now at UTC": (DateTime, text("(now() AT TIME ZONE 'utc')")),
    "timezone() of now": (DateTime, func.timezone("UTC", func.now())),
    "a cast now": (DateTime(timezone=True), text("'now'::text::timestamptz")),
    "localtimestamp": (DateTime, text("LOCALTIMESTAMP(3)")),
    "a date": (Date, text("'2020-01-31'::date")),
    "a date without a cast": (Date, "2020-01-31"),
    "a time stamp with a zone": (DateTime(timezone=True), text("'2020-01-31 12:00+02'")),
    "an interval": (Interval, text("'1 day 02:03:04'::interval")),
    "an interval as words": (Interval, text("interval '90 minutes'")),
    "a time": (Time, text("'12:00'")),
    "true": (Boolean, true()),
    "false": (Boolean, false()),
    "a boolean as text": (Boolean, text("'f'")),
    "an empty array": (ARRAY(Integer), text("'{}'")),
    "an empty array by constructor": (ARRAY(Text), text("ARRAY[]::text[]")),
    "an array": (ARRAY(String(10)), text("ARRAY['a', 'b']::varchar(10)[]")),
    "an empty object": (pg.JSONB, text("'{}'::jsonb")),
    "an object": (JSON, text("""'{"a": [1, 2]}'""")),
    "a uuid": (Uuid, text("gen_random_uuid()")),
    "bytes": (LargeBinary, text(r"'\xdeadbeef'")),
    "arithmetic": (Integer, text("1 + 2 * 3")),
    "a concatenation": (Text, text("'a' || 'b' || current_user")),
    "a coalesce": (Text, text("coalesce(NULL, lower('X'))")),
    "a case": (Integer, text("CASE WHEN true THEN 1 ELSE 2 END")),
    "a sub-cast": (Integer, text("cast('7' as smallint)")),
    "a money": (pg.MONEY, text("0.00")),
    "an inet": (pg.INET, text("'127.0.0.1'")),
    "bits": (pg.BIT(4), text("B'1010'")),
    "a range": (pg.INT4RANGE, text("'[1,10)'::int4range")),
    "NULL": (Integer, text("NULL")),
}
for _name, (_type, _default) in DEFAULTS.items():
    of_columns(
        f"default {_name}",
        lambda t=_type, d=_default: Column("c", t, server_default=d),  # type: ignore[misc]
        tag="default",
    )

# CHECK constraints

CHECKS: dict[str, tuple[Any, str]] = {
    "IN on varchar": (String(20), "v IN ('a', 'b')"),
    "IN on text": (Text, "v IN ('a', 'b', 'c')"),
    "NOT IN": (String(5), "v NOT IN ('x', 'y')"),
    "IN with one": (String(5), "v IN ('x')"),
    "IN on integers": (Integer, "v IN (1, 2, 3)"),
    "IN on smallints": (SmallInteger, "v IN (1, 2, 3)"),
    "IN on char": (pg.CHAR(3), "v IN ('abc', 'def')"),
    "BETWEEN": (Integer, "v BETWEEN 1 AND 10"),
    "not BETWEEN": (Numeric(8, 2), "v NOT BETWEEN 0 AND 1.5"),
    "LIKE": (String(20), "v LIKE 'a%' AND v NOT LIKE '%z'"),
    "ILIKE": (Text, "v ILIKE '%x_'"),
    "SIMILAR TO": (Text, "v SIMILAR TO '(a|b)+'"),
    "a regular expression": (String(20), "v ~ '^[a-z]+$'"),
    "length": (String(20), "length(v) > 2 and char_length(v) <= 10"),
    "IS NOT NULL": (Text, "(v IS NOT NULL) = true"),
    "IS DISTINCT FROM": (Text, "v IS DISTINCT FROM 'a'"),
    "needless brackets": (Integer, "((((v)) > ((0))))"),
    "odd white space and case": (Integer, "v>0   aNd\n\tV < 10 oR v=42"),
    "nested AND and OR": (Integer, "(v > 0 AND v < 5) OR (v > 10 AND v < 15) OR v IS NULL"),
    "casts": (String(20), "v::text <> ''::varchar AND CAST(v AS text) != 'x'"),
    "ANY": (Text, "v = ANY (ARRAY['a', 'b'])"),
    "dates": (Date, "v >= '2000-01-01' AND v < date '2100-01-01'"),
    "jsonb": (pg.JSONB, "jsonb_typeof(v) = 'object' AND v ? 'key'"),
    "an array": (ARRAY(Text), "cardinality(v) < 5 AND 'x' <> ALL (v)"),
    "CASE": (Integer, "CASE WHEN v > 0 THEN v < 10 ELSE v > -10 END"),
    "a quote": (Text, "v <> 'it''s'"),
    "extract": (DateTime, "extract(year from v) > 1999"),
    "position": (Text, "position('@' in v) > 1 AND substring(v from 1 for 1) <> '.'"),
    "a row": (Integer, "(v, 1) > (0, 0)"),
    "coalesce": (Text, "coalesce(v, '') <> 'x'"),
    "overlaps": (Date, "(v, v + 1) OVERLAPS (date '2020-01-01', date '2020-02-01') IS NOT NULL"),
    "double negation": (Boolean, "NOT (NOT v)"),
    "a collation": (Text, "v COLLATE \"C\" < 'z'"),
}
for _name, (_type, _check) in CHECKS.items():
    of_columns(
        f"check {_name}",
        lambda t=_type: Column("v", t),  # type: ignore[misc]
        lambda c=_check: CheckConstraint(c, name="ck_v"),  # type: ignore[misc]
        tag="check",
    )
of_columns("check without a name", lambda: Column("a", Integer), lambda: CheckConstraint("a > 0"), tag="check")
of_columns(
    "two checks without names",
    lambda: Column("a", Integer),
    lambda: CheckConstraint("a > 0"),
    lambda: CheckConstraint("a < 9"),
    tag="check",
)
of_columns("boolean with a check", lambda: Column("a", Boolean(create_constraint=True, name="ck_a")), tag="check")
of_columns(
    "enum as varchar with a check",
    lambda: Column("a", Enum("x", "y", "it's", native_enum=False, create_constraint=True, name="ck_kind")),
    tag="check",
)


@case("check spelled with SQLAlchemy's expressions", "check")
def _(m: MetaData) -> None:
    a, b = Column("a", String(10)), Column("b", Integer)
    Table("t", m, a, b, CheckConstraint(or_(a.in_(["x", "y"]), and_(b > 1, b.is_not(None))), name="ck"))


# Names


@case("quoted names", "names")
def _(m: MetaData) -> None:
    Table(
        "Order",
        m,
        Column("ID", Integer, primary_key=True),
        Column("select", String, server_default="x"),
        Column("with space", Integer, CheckConstraint('"with space" > 0', name="Check Me")),
        Column("UPPER", Integer, index=True),
        Column('quo"te', Integer, unique=True),
        Index("IX Order", "select", "with space"),
    )
    Table("line USING item", m, Column("order", ForeignKey("Order.ID"), primary_key=True), Index("ix USING y", "order"))


@case("names of 63 bytes", "names")
def _(m: MetaData) -> None:
    name = "n" * 63
    Table(name, m, Column("c" * 63, Integer, primary_key=True), Column("b" * 63, Integer, unique=True))


@case("long names that a convention cuts", "names", convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})
def _(m: MetaData) -> None:
    Table("t" * 40, m, Column("a" * 40, Integer, index=True), Column("b" * 20, Integer, index=True, primary_key=True))


@case("names that are not ASCII", "names")
def _(m: MetaData) -> None:
    Table("größe", m, Column("größte", Integer, primary_key=True), Column("名前", String(5), comment="日本"))


@case(
    "a naming convention",
    "naming conventions",
    convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    },
)
def _(m: MetaData) -> None:
    Table("a", m, Column("id", Integer, primary_key=True), Column("n", Integer, unique=True, index=True))
    Table(
        "b",
        m,
        Column("id", Integer, primary_key=True),
        Column("a_id", ForeignKey("a.id")),
        Column("c", Boolean(create_constraint=True, name="is_c")),
        CheckConstraint("id > 0", name="positive"),
    )


@case("comments with quotes", "comment")
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("id", Integer, primary_key=True, comment='it\'s "quoted" \\ 100% :x\nand\tmore'),
        UniqueConstraint("id", name="uq", comment="it's one"),
        comment="it's a table",
    )


# Keys

of_columns("serial", tag="identity")
of_columns("bigserial", lambda: Column("b", BigInteger, Sequence("own_seq", start=5, increment=2)), tag="sequence")


@case("identity with options", "identity")
def _(m: MetaData) -> None:
    Table("t", m, Column("id", BigInteger, Identity(always=True, start=10, increment=5, cache=3, cycle=True)))
    Table("u", m, Column("id", SmallInteger, Identity(minvalue=-5, maxvalue=100), primary_key=True))


@case("composite and circular keys", "fk")
def _(m: MetaData) -> None:
    Table(
        "a",
        m,
        Column("x", Integer, primary_key=True, autoincrement=False),
        Column("y", String(3), primary_key=True),
        Column("b_id", ForeignKey("b.id", use_alter=True, name="fk_a_b", ondelete="SET NULL")),
    )
    Table(
        "b",
        m,
        Column("id", Integer, primary_key=True),
        Column("ax", Integer),
        Column("ay", String(3)),
        ForeignKeyConstraint(
            ["ax", "ay"], ["a.x", "a.y"], onupdate="CASCADE", ondelete="CASCADE", deferrable=True, initially="DEFERRED"
        ),
        Column("parent", ForeignKey("b.id", match="FULL")),
    )


@case("keys that are deferrable or carry columns", "unique")
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("a", Integer),
        Column("b", Integer),
        UniqueConstraint("a", "b", name="uq_ab", deferrable=True, initially="IMMEDIATE"),
        UniqueConstraint("b", name="uq_b", postgresql_include=["a"]),
    )


@case("nulls not distinct", "unique", since=15)
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("a", Integer),
        UniqueConstraint("a", name="uq_a", postgresql_nulls_not_distinct=True),
        Index("ix_a", "a", unique=True, postgresql_nulls_not_distinct=True),
    )


@case("exclusion constraints", "exclude", extensions=("btree_gist",))
def _(m: MetaData) -> None:
    Table(
        "booking",
        m,
        Column("room", Integer),
        Column("during", pg.TSTZRANGE),
        pg.ExcludeConstraint(("room", "="), ("during", "&&"), name="ex_room", using="gist"),
        pg.ExcludeConstraint((func.lower(column("during")), "="), name="ex_start", where=text("room > 0")),
    )


# Indexes


@case(
    "every kind of index",
    "index",
)
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("id", Integer, primary_key=True),
        Column("a", String(50)),
        Column("b", Integer),
        Column("c", DateTime(timezone=True)),
        Column("doc", pg.JSONB),
        Column("words", pg.TSVECTOR),
        Column("tags", ARRAY(Text)),
        Column("span", pg.INT8RANGE),
        Column("ip", pg.INET),
        Index("ix_plain", "a"),
        Index("ix_many", "a", "b", desc("c")),
        Index("ix_unique", "a", "b", unique=True),
        Index("ix_sorted", text("c DESC NULLS LAST"), text("b ASC NULLS FIRST")),
        Index("ix_lower", func.lower(literal_column("a"))),
        Index("ix_expression", text("(b + 1)"), text("coalesce(a, '')")),
        Index("ix_cast", text("((doc ->> 'n')::integer)")),
        Index("ix_partial", "b", postgresql_where=text("a IN ('x', 'y') AND b IS NOT NULL")),
        Index("ix_include", "b", postgresql_include=["a", "c"]),
        Index("ix_options", "b", postgresql_with={"fillfactor": 70}),
        Index("ix_opclass", "a", postgresql_ops={"a": "varchar_pattern_ops"}),
        Index("ix_hash", "b", postgresql_using="hash"),
        Index("ix_brin", "c", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
        Index("ix_gin", "doc", postgresql_using="gin", postgresql_ops={"doc": "jsonb_path_ops"}),
        Index("ix_fts", text("to_tsvector('english', coalesce(a, ''))"), postgresql_using="gin"),
        Index("ix_words", "words", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index("ix_tags", "tags", postgresql_using="gin"),
        Index("ix_span", "span", postgresql_using="gist"),
        Index("ix_ip", "ip", postgresql_using="spgist"),
        Index("ix_collate", text('a COLLATE "C"')),
        Index("ix_concurrently", "c", postgresql_concurrently=True),
        Index("ix_date", text("date(c AT TIME ZONE 'UTC')")),
    )


@case("types and operators of extensions", "index", extensions=("pg_trgm", "citext", "hstore"))
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("a", pg.CITEXT, CheckConstraint("a <> 'X'", name="ck"), server_default="x"),
        Column("b", pg.HSTORE),
        Column("c", Text),
        Index("ix_trgm", "c", postgresql_using="gin", postgresql_ops={"c": "gin_trgm_ops"}),
        CheckConstraint("c % 'x'", name="ck_alike"),
    )


class Vector(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "vector(3)"


@case("an extension in a schema of its own", "index", setup="CREATE SCHEMA ext", extensions=("vector SCHEMA ext",))
def _(m: MetaData) -> None:
    class Elsewhere(Vector):
        def get_col_spec(self, **_: Any) -> str:
            return "ext.vector(3)"

    Table(
        "t",
        m,
        Column("a", Elsewhere, server_default="[1,2,3]"),
        Index("ix", "a", postgresql_using="hnsw", postgresql_ops={"a": "ext.vector_l2_ops"}),
    )


@case("vectors", "index", extensions=("vector",))
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("a", Vector),
        CheckConstraint("a <> '[0,0,0]'", name="ck"),
        Index("ix", "a", postgresql_using="hnsw", postgresql_ops={"a": "vector_cosine_ops"}),
        Index("ix2", "a", postgresql_using="ivfflat", postgresql_with={"lists": 10}),
    )


@case("exclusion of overlaps", "exclude")
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("during", pg.TSTZRANGE),
        pg.ExcludeConstraint(("during", "&&"), name="ex", using="gist", deferrable=True, initially="DEFERRED"),
        pg.ExcludeConstraint(("during", "="), using="btree", where=text("during IS NOT NULL")),
    )


# Computed columns

of_columns(
    "computed",
    lambda: Column("a", Integer),
    lambda: Column("b", Integer, Computed("a*2 + 1", persisted=True)),
    tag="computed",
)
of_columns(
    "computed from text",
    lambda: Column("a", String(10)),
    lambda: Column("b", Text, Computed("upper(a) || '-' || coalesce(a, 'none')", persisted=True)),
    tag="computed",
)
of_columns(
    "computed search vector",
    lambda: Column("a", Text),
    lambda: Column("b", pg.TSVECTOR, Computed("to_tsvector('english', coalesce(a,''))", persisted=True)),
    tag="computed",
)
of_columns(
    "computed virtually",
    lambda: Column("a", Integer),
    lambda: Column("b", Integer, Computed("a % 7", persisted=False)),
    tag="computed",
    since=18,
    alchemy=(2, 1),
)

# Types

TYPES: dict[str, Any] = {
    "integer types": (SmallInteger, Integer, BigInteger),
    "numbers": (Numeric, Numeric(5), Numeric(12, 4), Float, Float(24), Float(53), pg.REAL, pg.DOUBLE_PRECISION),
    "texts": (String, String(5), Text, pg.CHAR, pg.CHAR(7)),
    "times": (Date, Time, Time(timezone=True), DateTime, DateTime(timezone=True), pg.TIMESTAMP(precision=3)),
    "intervals": (Interval, Interval(second_precision=3), pg.INTERVAL(fields="YEAR TO MONTH")),
    "bits and bytes": (LargeBinary, pg.BIT(3), pg.BIT(5, varying=True), pg.BYTEA),
    "addresses": (pg.INET, pg.CIDR, pg.MACADDR, pg.MACADDR8),
    "documents": (JSON, pg.JSONB, pg.JSONPATH, pg.TSVECTOR, pg.TSQUERY),
    "ranges": (pg.INT4RANGE, pg.NUMRANGE, pg.TSTZRANGE, pg.DATERANGE, pg.INT4MULTIRANGE),
    "arrays": (ARRAY(Integer), ARRAY(String(7)), ARRAY(Numeric(5, 2), dimensions=2), ARRAY(Uuid)),
    "others": (Uuid, pg.MONEY, pg.OID, pg.REGCLASS, Boolean),
}
for _name, _types in TYPES.items():
    of_columns(
        f"types {_name}",
        *[lambda t=t, n=n: Column(f"c{n}", t) for n, t in enumerate(_types)],
        tag="type",
    )
of_columns("collations", lambda: Column("a", String(9, collation="C")), lambda: Column("b", Text(collation="POSIX")))


@case("enums, shared and in arrays", "enum")
def _(m: MetaData) -> None:
    mood = Enum("sad", "it's ok", "HAPPY", name="mood", metadata=m)
    Table(
        "t",
        m,
        Column("a", mood, server_default="sad", nullable=False),
        Column("b", ARRAY(mood), server_default=text("'{}'")),
        CheckConstraint("a <> 'HAPPY'", name="ck_a"),
        CheckConstraint("a IN ('sad', 'it''s ok')", name="ck_b"),
        Index("ix_a", "a", postgresql_where=text("a = 'sad'")),
    )
    Table("u", m, Column("a", Enum("sad", "it's ok", "HAPPY", name="mood")), Column("x", Enum("1", name="My Type")))


@case("domains", "domain")
def _(m: MetaData) -> None:
    positive = pg.DOMAIN("positive", Integer, check="VALUE > 0", not_null=True, default=text("1"))
    code = pg.DOMAIN("code", String(5), check="VALUE IN ('a', 'b')", constraint_name="code_known", collation="C")
    Table("t", m, Column("a", positive), Column("b", code, server_default="a"), Column("c", ARRAY(code)))


@case("sequences", "sequence")
def _(m: MetaData) -> None:
    plain = Sequence("plain_seq", metadata=m)
    Sequence("odd seq", start=-5, increment=-1, minvalue=-1000, maxvalue=-1, cache=7, cycle=True, metadata=m)
    Sequence("small_seq", data_type=SmallInteger, metadata=m)
    Table("t", m, Column("id", Integer, plain, server_default=plain.next_value(), primary_key=True))


# Tables


@case("options of tables", "options", alchemy=(2, 1))
def _(m: MetaData) -> None:
    Table("t", m, Column("a", Integer), postgresql_with={"fillfactor": 70, "autovacuum_enabled": "false"})
    Table("u", m, Column("a", Integer), prefixes=["UNLOGGED"])


PARTITION = "CREATE TABLE event_2020 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"


@case("partitioned tables", "partition")
def _(m: MetaData) -> None:
    by_range = Table(
        "event",
        m,
        Column("at", DateTime(timezone=True), primary_key=True),
        Column("kind", String(5), primary_key=True),
        Column("n", Integer, index=True),
        CheckConstraint("n IN (1, 2)", name="ck_n"),
        postgresql_partition_by="RANGE (at)",
    )
    Table("by_hash", m, Column("a", Integer), postgresql_partition_by="HASH (a)")
    Table("by_expression", m, Column("a", Text), postgresql_partition_by="LIST (lower(a))")
    listen(
        by_range,
        "after_create",
        DDL(PARTITION),  # type: ignore[no-untyped-call]
    )


@case("inheritance", "inheritance")
def _(m: MetaData) -> None:
    base = Table(
        "base", m, Column("a", Integer, nullable=False), Column("b", Text), CheckConstraint("a > 0", name="ck")
    )
    child = Table("child", m, Column("c", Integer, index=True), postgresql_inherits="base")
    child.add_is_dependent_on(base)


@case("schemas", "schema", setup='CREATE SCHEMA app; CREATE SCHEMA "Odd One"')
def _(m: MetaData) -> None:
    Table("t", m, Column("id", Integer, primary_key=True))
    Table("t", m, Column("id", Integer, primary_key=True), Column("up", ForeignKey("t.id")), schema="app")
    Table(
        "t",
        m,
        Column("id", Integer, primary_key=True),
        Column("up", ForeignKey("app.t.id")),
        Column("kind", Enum("a", "b", name="kind", schema="Odd One"), server_default="a"),
        Index("ix_t", "kind", postgresql_where=text("kind = 'a'")),
        schema="Odd One",
    )


# Hand-made things that the metadata leans on

FUNCTION = "CREATE FUNCTION twice(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';"


@case("a function in a default, a check, an index and a computed column", "qualified", setup=FUNCTION)
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("a", Integer, server_default=text("twice(2)")),
        Column("b", Integer, Computed("public.twice(a)", persisted=True)),
        CheckConstraint("twice(a) > 0", name="ck"),
        Index("ix", text("twice(a)")),
    )


@case(
    "a type made by hand", "qualified", setup="CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TYPE pair AS (x int, y int)"
)
def _(m: MetaData) -> None:
    Table("t", m, Column("a", pg.ENUM("a", "b", name="mood", create_type=False), server_default="a"))


@case("a sequence made by hand", "qualified", setup="CREATE SEQUENCE counter")
def _(m: MetaData) -> None:
    Table("t", m, Column("a", BigInteger, server_default=text("nextval('counter')")))


@case("a collation made by hand", "qualified", setup="CREATE COLLATION mine (locale = 'C')")
def _(m: MetaData) -> None:
    Table("t", m, Column("a", Text(collation="mine")), Index("ix", text('a COLLATE public."mine"')))


# Things that are left alone

UNMANAGED = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
CREATE TABLE django_migrations (id serial, app text, name text, applied timestamptz);
CREATE VIEW v AS SELECT 1 AS one; CREATE MATERIALIZED VIEW mv AS SELECT 2 AS two;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id > 0);
CREATE STATISTICS st ON id, a FROM t; CREATE TYPE pair AS (x int, y int); CREATE TYPE span AS RANGE (subtype = int);
CREATE RULE r AS ON DELETE TO t DO ALSO NOTHING; CREATE SCHEMA theirs; CREATE TABLE theirs.t (id int);
CREATE TYPE theirs.status AS ENUM ('x'); CREATE TYPE held AS ENUM ('x');
CREATE FUNCTION g(held) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE ft (a text) SERVER s;
ALTER TABLE t ALTER COLUMN a SET STATISTICS 500; GRANT SELECT ON t TO PUBLIC; ALTER TABLE t REPLICA IDENTITY FULL;
CREATE TEMPORARY TABLE mine (a int)
"""


@case(
    "unmanaged objects",
    "unmanaged objects",
    before=lambda m: _plain(m),  # noqa: PLW0108 - it is defined below
    sql=UNMANAGED,
)
def _plain(m: MetaData) -> None:
    Table("t", m, Column("id", Integer, primary_key=True), Column("a", Integer))


@case(
    "members of an extension",
    "unmanaged objects",
    setup="CREATE TABLE config (a int); CREATE TYPE ext_kind AS ENUM ('a');"
    "CREATE SEQUENCE ext_seq; ALTER EXTENSION plpgsql ADD TABLE config; ALTER EXTENSION plpgsql ADD TYPE ext_kind;"
    "ALTER EXTENSION plpgsql ADD SEQUENCE ext_seq",
)
def _(m: MetaData) -> None:
    _plain(m)


@case(
    "partitions that the metadata does not know",
    "partition",
    before=lambda m: _parent(m),  # noqa: PLW0108 - it is defined below
    sql="CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY LIST (b);"
    "CREATE TABLE p11 PARTITION OF p1 FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;"
    "CREATE INDEX own ON p2 (b); CREATE TABLE loose (a int NOT NULL, b int, CONSTRAINT ck CHECK (b > 0));"
    "ALTER TABLE p ATTACH PARTITION loose FOR VALUES IN (7)",
    rows="INSERT INTO p VALUES (1, 1), (2, 2)",
)
def _parent(m: MetaData) -> None:
    Table(
        "p",
        m,
        Column("a", Integer, nullable=False),
        Column("b", Integer, index=True),
        CheckConstraint("b > 0", name="ck"),
        postgresql_partition_by="LIST (a)",
    )


# Live schemas in other words


@case(
    "made by hand in other words",
    "type",
    sql="""CREATE TABLE t (id int4 GENERATED BY DEFAULT AS IDENTITY CONSTRAINT t_pkey PRIMARY KEY, n varchar(10) DEFAULT
    'x'::varchar NOT NULL, d decimal(5, 2), ts timestamptz DEFAULT now(), b bool DEFAULT 't', f float8, c char(1),
    CONSTRAINT ck CHECK (n::text = ANY (ARRAY['x'::text, 'y'::text])), CONSTRAINT t_d_key UNIQUE (d));
    CREATE INDEX ix ON t USING btree (lower((n)::text) ASC) WHERE ((b IS TRUE))""",
)
def _(m: MetaData) -> None:
    Table(
        "t",
        m,
        Column("id", Integer, Identity(), primary_key=True),
        Column("n", String(10), server_default="x", nullable=False),
        Column("d", Numeric(5, 2), unique=True),
        Column("ts", DateTime(timezone=True), server_default=func.now()),
        Column("b", Boolean, server_default=true()),
        Column("f", Float(53)),
        Column("c", pg.CHAR(1)),
        CheckConstraint(text("n IN ('x', 'y')"), name="ck"),
        Index("ix", func.lower(cast(column("n"), Text)), postgresql_where=text("b IS TRUE")),
    )
