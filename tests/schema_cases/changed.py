"""One change each, or one drift made by hand; what a comparison has to call it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from tests.schema_cases import Build, Case

CASES: list[Case] = []
Columns = Callable[[], tuple[Any, ...]]


def change(name: str, expected: str, before: Columns, after: Columns, tag: str = "", **facts: Any) -> None:
    """Note a case of one table `t` with an id, whose other parts change."""
    CASES.append(
        Case(name, _table(after), before=_table(before), tags=(tag or "column",), expected=_names(expected), **facts)
    )


def whole(name: str, expected: str, before: Build, after: Build, tag: str, **facts: Any) -> None:
    """Note a case of whole metadata."""
    CASES.append(Case(name, after, before=before, tags=(tag,), expected=_names(expected), **facts))


def _names(expected: str) -> tuple[str, ...]:
    return tuple(sorted(expected.split()))


def _table(parts: Columns, name: str = "t", **options: Any) -> Build:
    def build(m: MetaData) -> None:
        Table(name, m, Column("id", Integer, primary_key=True), *parts(), **options)

    return build


def col(*arguments: Any, **options: Any) -> Columns:
    """Return what makes one column `a`."""
    return lambda: (Column("a", *arguments, **options),)


def nothing(_: MetaData) -> None:
    """Fill nothing."""


A = col(Integer)
AB: Columns = lambda: (Column("a", Integer), Column("b", Integer))  # noqa: E731 - as its neighbours


def ab(*more: Callable[[], Any]) -> Columns:
    """Return what makes columns `a` and `b` and further parts."""
    return lambda: (*AB(), *(each() for each in more))


# Tables
whole("table added", "TableAdded", _table(A), lambda m: (_table(A)(m), _table(A, "u")(m)), "table")
whole("table removed", "TableRemoved", lambda m: (_table(A)(m), _table(A, "u")(m)), _table(A), "table")
whole("first table", "TableAdded", nothing, _table(A), "table")
whole(
    "table with enum added",
    "EnumAdded TableAdded",
    nothing,
    _table(col(Enum("a", "b", name="kind"))),
    "enum",
)
whole("table comment", "CommentChanged", _table(A), _table(A, comment="it's"), "comment")
whole("table comment removed", "CommentChanged", _table(A, comment="x"), _table(A), "comment")
whole(
    "table options",
    "TableOptionsChanged",
    _table(A),
    _table(A, postgresql_with={"fillfactor": 70}),
    "options",
    alchemy=(2, 1),
)
whole(
    "table options removed",
    "TableOptionsChanged",
    _table(A, postgresql_with={"fillfactor": 70}),
    _table(A),
    "options",
    alchemy=(2, 1),
)
whole("unlogged", "PersistenceChanged", _table(A), _table(A, prefixes=["UNLOGGED"]), "options")
whole(
    "partitioned",
    "PartitioningChanged",
    _table(A),
    _table(A, postgresql_partition_by="RANGE (id)"),
    "partition",
)
whole(
    "partitioned by something else",
    "PartitioningChanged",
    _table(A, postgresql_partition_by="RANGE (id)"),
    _table(A, postgresql_partition_by="HASH (id)"),
    "partition",
)
whole(
    "column of a partitioned table",
    "ColumnAdded",
    _table(A, postgresql_partition_by="RANGE (id)"),
    _table(AB, postgresql_partition_by="RANGE (id)"),
    "partition",
    sql="CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10)",
    rows="INSERT INTO t VALUES (1, 1)",
)
whole(
    "inheritance",
    "ParentsChanged",
    lambda m: (_table(A, "base")(m), _table(A)(m)),
    lambda m: (_table(A, "base")(m), _heir(m)),
    "inheritance",
)


def _heir(m: MetaData) -> object:
    heir = Table("t", m, Column("id", Integer, primary_key=True), Column("a", Integer), postgresql_inherits="base")
    heir.add_is_dependent_on(m.tables["base"])
    return heir


# Columns
change("column added", "ColumnAdded", lambda: (), A)
change("column removed", "ColumnRemoved", A, lambda: ())
change("columns swapped for others", "ColumnAdded ColumnRemoved", A, lambda: (Column("b", Integer),))
change("type", "ColumnTypeChanged", A, col(BigInteger), "type")
change("length", "ColumnTypeChanged", col(String(10)), col(String(20)), "type")
change("scale", "ColumnTypeChanged", col(Numeric(10, 2)), col(Numeric(10, 4)), "type")
change("varchar to text", "ColumnTypeChanged", col(String(10)), col(Text), "type")
change("time zone", "ColumnTypeChanged", col(DateTime), col(DateTime(timezone=True)), "type")
change("to an array", "ColumnTypeChanged", col(Text), col(pg.ARRAY(Text)), "type")
change("text to enum", "ColumnTypeChanged EnumAdded", col(Text), col(Enum("a", name="kind")), "enum")
change("enum to text", "ColumnTypeChanged EnumRemoved", col(Enum("a", name="kind")), col(Text), "enum")
change("collation", "CollationChanged", col(Text), col(Text(collation="C")), "type")
change("collation and type", "ColumnTypeChanged", col(String(5)), col(Text(collation="C")), "type")
change("not null", "NullabilityChanged", A, col(Integer, nullable=False), "nullable")
change("null", "NullabilityChanged", col(Integer, nullable=False), A, "nullable")
change("default added", "DefaultChanged", A, col(Integer, server_default="1"), "default")
change("default removed", "DefaultChanged", col(Integer, server_default="1"), A, "default")
change("default changed", "DefaultChanged", col(Text, server_default="a"), col(Text, server_default="b"), "default")
change(
    "default and type",
    "ColumnTypeChanged DefaultChanged",
    col(String(5), server_default="a"),
    col(Text, server_default="a"),
    "default",
)
change("column comment", "CommentChanged", A, col(Integer, comment="it's"), "comment")
change(
    "computed expression",
    "ComputedChanged",
    lambda: (Column("a", Integer), Column("b", Integer, Computed("a + 1", persisted=True))),
    lambda: (Column("a", Integer), Column("b", Integer, Computed("a + 2", persisted=True))),
    "computed",
)
change(
    "no longer computed",
    "ComputedChanged",
    lambda: (Column("a", Integer), Column("b", Integer, Computed("a + 1", persisted=True))),
    AB,
    "computed",
)
change("identity", "IdentityChanged NullabilityChanged", A, col(Integer, Identity()), "identity")
change("identity kind", "IdentityChanged", col(Integer, Identity()), col(Integer, Identity(always=True)), "identity")
change(
    "identity options",
    "IdentityChanged",
    col(Integer, Identity()),
    col(Integer, Identity(start=7, cache=9)),
    "identity",
)
whole(
    "serial to bigserial",
    "ColumnTypeChanged SequenceChanged",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True)),
    lambda m: Table("t", m, Column("id", BigInteger, primary_key=True)),
    "identity",
)
whole(
    "serial no more",
    "DefaultChanged SequenceRemoved",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True)),
    lambda m: Table("t", m, Column("id", Integer, primary_key=True, autoincrement=False)),
    "identity",
)
whole(
    "serial at last",
    "DefaultChanged SequenceAdded",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True, autoincrement=False)),
    lambda m: Table("t", m, Column("id", Integer, primary_key=True)),
    "identity",
)


# Constraints
def _check(sql: str, name: str | None = "ck") -> Callable[[], Any]:
    return lambda: CheckConstraint(sql, name=name)


def _unique(*columns: str, name: str | None = "uq", **options: Any) -> Callable[[], Any]:
    return lambda: UniqueConstraint(*columns, name=name, **options)


def _index(*columns: Any, name: str = "ix", **options: Any) -> Callable[[], Any]:
    return lambda: Index(name, *columns, **options)


change("check added", "ConstraintAdded", AB, ab(_check("a > 0")), "check")
change("check removed", "ConstraintRemoved", ab(_check("a > 0")), AB, "check")
change("check changed", "ConstraintChanged", ab(_check("a > 0")), ab(_check("a > 1")), "check")
change("check renamed", "ConstraintRenamed", ab(_check("a > 0", "x")), ab(_check("a > 0", "y")), "check")
change("unnamed check removed", "ConstraintRemoved", ab(_check("a > 0", None)), AB, "check")
change("unnamed check changed", "ConstraintChanged", ab(_check("a > 0", None)), ab(_check("a > 1", None)), "check")
change(
    "one of two unnamed checks removed",
    "ConstraintRemoved ConstraintRenamed",
    ab(_check("a > 0 AND id > 0", None), _check("b > 0 AND id > 0", None)),
    ab(_check("b > 0 AND id > 0", None)),
    "check",
)
change("unique added", "ConstraintAdded", AB, ab(_unique("a")), "unique")
change("unique removed", "ConstraintRemoved", ab(_unique("a")), AB, "unique")
change("unique columns", "ConstraintChanged", ab(_unique("a")), ab(_unique("a", "b")), "unique")
change("unique order", "ConstraintChanged", ab(_unique("a", "b")), ab(_unique("b", "a")), "unique")
change("unique include", "ConstraintChanged", ab(_unique("a")), ab(_unique("a", postgresql_include=["b"])), "unique")
change("unique deferrable", "ConstraintChanged", ab(_unique("a")), ab(_unique("a", deferrable=True)), "unique")
change("unique gets a name", "ConstraintRenamed", ab(_unique("a", name=None)), ab(_unique("a")), "names")
change("unique loses its name", "ConstraintRenamed", ab(_unique("a")), ab(_unique("a", name=None)), "names")
change(
    "unique nulls",
    "ConstraintChanged",
    ab(_unique("a")),
    ab(_unique("a", postgresql_nulls_not_distinct=True)),
    "unique",
    since=15,
)
change(
    "unique constraint to unique index",
    "ConstraintRemoved IndexAdded",
    ab(_unique("a")),
    ab(_index("a", unique=True)),
    "unique",
)
whole(
    "primary key added",
    "ConstraintAdded NullabilityChanged",
    lambda m: Table("t", m, Column("a", Integer)),
    lambda m: Table("t", m, Column("a", Integer, primary_key=True, autoincrement=False)),
    "pk",
)
whole(
    "primary key columns",
    "ConstraintChanged NullabilityChanged",
    lambda m: Table("t", m, Column("a", Text, primary_key=True), Column("b", Text)),
    lambda m: Table("t", m, Column("a", Text, primary_key=True), Column("b", Text, primary_key=True)),
    "pk",
)


def _fk(**options: Any) -> Columns:
    return lambda: (Column("a", Integer, ForeignKey("t.id", name="fk", **options)),)


change("foreign key added", "ConstraintAdded", A, _fk(), "fk")
change("foreign key removed", "ConstraintRemoved", _fk(), A, "fk")
change("foreign key on delete", "ConstraintChanged", _fk(), _fk(ondelete="CASCADE"), "fk")
change("foreign key deferred", "DeferrabilityChanged", _fk(), _fk(deferrable=True, initially="DEFERRED"), "fk")
change("foreign key not deferred", "DeferrabilityChanged", _fk(deferrable=True), _fk(), "fk")
CASES.append(
    Case(
        "foreign key not valid",
        _table(_fk()),
        before=_table(A),
        sql="ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES t (id) NOT VALID",
        tags=("fk",),
        expected=("ConstraintUnvalidated",),
    )
)


def _exclude(where: str | None = None) -> Callable[[], Any]:
    return lambda: pg.ExcludeConstraint(("a", "="), name="ex", using="btree", where=text(where) if where else None)


change("exclusion added", "ConstraintAdded", AB, ab(_exclude()), "exclude")
change("exclusion removed", "ConstraintRemoved", ab(_exclude()), AB, "exclude")
change("exclusion changed", "ConstraintChanged", ab(_exclude()), ab(_exclude("b > 0")), "exclude")

# Indexes
change("index added", "IndexAdded", AB, ab(_index("a")), "index")
change("index removed", "IndexRemoved", ab(_index("a")), AB, "index")
change("index columns", "IndexChanged", ab(_index("a")), ab(_index("a", "b")), "index")
change("index unique", "IndexChanged", ab(_index("a")), ab(_index("a", unique=True)), "index")
change("index order", "IndexChanged", ab(_index("a")), ab(_index(text("a DESC"))), "index")
change("index nulls first", "IndexChanged", ab(_index("a")), ab(_index(text("a NULLS FIRST"))), "index")
change("index method", "IndexChanged", ab(_index("a")), ab(_index("a", postgresql_using="hash")), "index")
change("index where", "IndexChanged", ab(_index("a")), ab(_index("a", postgresql_where=text("b > 0"))), "index")
change("index include", "IndexChanged", ab(_index("a")), ab(_index("a", postgresql_include=["b"])), "index")
change("index options", "IndexChanged", ab(_index("a")), ab(_index("a", postgresql_with={"fillfactor": 50})), "index")
change("index expression", "IndexChanged", ab(_index(text("(a + 1)"))), ab(_index(text("(a + 2)"))), "index")
change("index gets another name", "IndexRenamed", ab(_index("a", name="x")), ab(_index("a", name="y")), "index")
change(
    "index operator class",
    "IndexChanged",
    lambda: (Column("c", Text), Index("ix", "c")),
    lambda: (Column("c", Text), Index("ix", "c", postgresql_ops={"c": "text_pattern_ops"})),
    "index",
)
change(
    "index configuration",
    "IndexChanged",
    lambda: (Column("c", Text), Index("ix", text("to_tsvector('english', c)"), postgresql_using="gin")),
    lambda: (Column("c", Text), Index("ix", text("to_tsvector('simple', c)"), postgresql_using="gin")),
    "index",
)

# Enums, domains, sequences


def _enum(*labels: str, name: str = "kind") -> Columns:
    return lambda: (Column("a", Enum(*labels, name=name)),)


change("enum label added", "EnumLabelsChanged", _enum("a", "c"), _enum("a", "b", "c"), "enum")
change("enum label removed", "EnumLabelsChanged", _enum("a", "b"), _enum("a"), "enum")
change("enum labels in another order", "EnumLabelsChanged", _enum("a", "b"), _enum("b", "a"), "enum")
change("enum removed with its column", "ColumnRemoved EnumRemoved", _enum("a"), lambda: (), "enum")


def _domain(**options: Any) -> Columns:
    return lambda: (Column("a", pg.DOMAIN("dom", Integer, **options)),)


change("domain added", "ColumnTypeChanged DomainAdded", A, _domain(), "domain")
change("domain removed", "ColumnTypeChanged DomainRemoved", _domain(), A, "domain")
change("domain check", "DomainChanged", _domain(check="VALUE > 0"), _domain(check="VALUE > 1"), "domain")
change("domain default", "DomainChanged", _domain(), _domain(default="1"), "domain")
change("domain not null", "DomainChanged", _domain(), _domain(not_null=True), "domain")
change(
    "domain type",
    "DomainChanged",
    _domain(),
    lambda: (Column("a", pg.DOMAIN("dom", BigInteger)),),
    "domain",
)


def _sequence(**options: Any) -> Build:
    return lambda m: Sequence("seq", metadata=m, **options)


whole("sequence added", "SequenceAdded", nothing, _sequence(), "sequence")
whole("sequence removed", "SequenceRemoved", _sequence(), nothing, "sequence")
whole("sequence options", "SequenceChanged", _sequence(), _sequence(increment=5, cycle=True), "sequence")

# Schemas
whole(
    "schema added",
    "SchemaAdded TableAdded",
    nothing,
    lambda m: Table("t", m, Column("a", Text), schema="app"),
    "schema",
)

# Renames
whole(
    "table renamed",
    "ConstraintRenamed ConstraintRenamed IndexRenamed SequenceRenamed TableRenamed",
    _table(lambda: (Column("a", Integer, CheckConstraint("a > 0"), index=True),)),
    _table(lambda: (Column("a", Integer, CheckConstraint("a > 0"), index=True),), "people"),
    "rename",
    renames=(("table", "public.t", "people"),),
)
change(
    "column renamed",
    "ColumnRenamed IndexRenamed",
    lambda: (Column("a", Integer, index=True), CheckConstraint("a IN (1, 2)", name="ck"), Index("p", text("(a + 1)"))),
    lambda: (Column("b", Integer, index=True), CheckConstraint("b IN (1, 2)", name="ck"), Index("p", text("(b + 1)"))),
    "rename",
    renames=(("column", "public.t.a", "b"),),
)
change(
    "column renamed and changed",
    "ColumnRenamed ColumnTypeChanged ConstraintChanged DefaultChanged",
    lambda: (Column("a", Integer, server_default="1"), CheckConstraint("a > 0", name="ck")),
    lambda: (Column("b", BigInteger, server_default="2"), CheckConstraint("b > 5", name="ck")),
    "rename",
    renames=(("column", "public.t.a", "b"),),
)
change(
    "column renamed and its old name used anew",
    "ColumnAdded ColumnRenamed",
    lambda: (Column("a", Integer), CheckConstraint("a > 0", name="ck")),
    lambda: (Column("b", Integer), Column("a", Text), CheckConstraint("b > 0", name="ck")),
    "rename",
    renames=(("column", "public.t.a", "b"),),
)
change(
    "enum and label renamed",
    "EnumLabelRenamed TypeRenamed",
    lambda: (Column("a", Enum("x", "y", name="kind"), server_default="x"), CheckConstraint("a <> 'x'", name="ck")),
    lambda: (Column("a", Enum("z", "y", name="sort"), server_default="z"), CheckConstraint("a <> 'z'", name="ck")),
    "rename",
    renames=(("type", "public.kind", "sort"), ("enum_value", "public.kind.x", "z")),
)
change(
    "index renamed",
    "IndexRenamed",
    ab(_index("a")),
    ab(_index("a", name="i")),
    "rename",
    renames=(("index", "public.ix", "i"),),
)
change(
    "index renamed and changed",
    "IndexChanged IndexRenamed",
    ab(_index("a")),
    ab(_index("b", name="i")),
    "rename",
    renames=(("index", "public.ix", "i"),),
)
change(
    "constraint renamed",
    "ConstraintRenamed",
    ab(_check("a > 0")),
    ab(_check("a > 0", "c2")),
    "rename",
    renames=(("constraint", "public.t.ck", "c2"),),
)
whole(
    "sequence renamed",
    "SequenceRenamed",
    _sequence(),
    lambda m: Sequence("other", metadata=m),
    "rename",
    renames=(("sequence", "public.seq", "other"),),
)
whole(
    "table moved to another schema",
    "TableRenamed",
    _table(lambda: (Column("a", Integer, CheckConstraint("a > 0", name="ck")),)),
    _table(lambda: (Column("a", Integer, CheckConstraint("a > 0", name="ck")),), schema="app"),
    "rename",
    setup="CREATE SCHEMA app",
    renames=(("table", "public.t", "app.t"),),
)
whole(
    "schema renamed",
    "SchemaRenamed",
    lambda m: _app(m, "app"),
    lambda m: _app(m, "core"),
    "rename",
    setup="CREATE SCHEMA app",
    renames=(("schema", "app", "core"),),
)


def _app(m: MetaData, schema: str) -> None:
    kind = Enum("x", "y", name="kind", schema=schema)
    Table("t", m, Column("id", Integer, primary_key=True), Column("k", kind, server_default="x"), schema=schema)
    Table("u", m, Column("t_id", ForeignKey(f"{schema}.t.id")), CheckConstraint("t_id > 0"), schema=schema)


whole(
    "referenced table and column renamed",
    "ColumnRenamed ConstraintRenamed SequenceRenamed TableRenamed",
    lambda m: _pair(m, "t", "id"),
    lambda m: _pair(m, "people", "key"),
    "rename",
    renames=(("table", "public.t", "people"), ("column", "public.t.id", "key")),
)


def _pair(m: MetaData, table: str, key: str) -> None:
    Table(table, m, Column(key, Integer, primary_key=True))
    Table("u", m, Column("t_id", ForeignKey(f"{table}.{key}", ondelete="CASCADE"), index=True))
