"""Changes that few services ever make: domains over domains, partitions that the models make, other access methods."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import TypeEngine

from tests.schema_cases import Build, Case

CASES: list[Case] = []


def case(name: str, tag: str, before: Build, after: Build, **facts: Any) -> None:
    """Note a case."""
    CASES.append(Case(name, after, before=before, tags=(tag,), **facts))


def domains(base: TypeEngine[Any] | None, *, over: Sequence[str] = ("even",), check: str = "VALUE % 2 = 0") -> Build:
    """Return what fills a metadata with a table and, where there is a base, a domain and one that is made of it.

    Args:
        base: what the first domain is made of.
        over: what the domains are called that are made of it.
        check: theirs.
    """

    def build(metadata: MetaData) -> None:
        columns: list[Column[Any]] = [Column("id", Integer, primary_key=True)]
        if base is not None:
            first = DOMAIN("small", base, metadata=metadata)
            columns.append(Column("small", first))
            columns += [Column(name, DOMAIN(name, first, check=check, metadata=metadata)) for name in over]
        Table("t", metadata, *columns)

    return build


ROWS = "INSERT INTO t (small, even) VALUES (1, 2)"
KEPT = "SELECT small::text, even::text FROM t"
case("domain over domain made", "domain", domains(None), domains(Integer()))
case("domain over domain gone", "domain", domains(Integer()), domains(None))
case("domain over domain by names", "domain", domains(None), domains(Integer(), over=("zero", "a_first")))
case(
    "domain under a domain of another type",
    "domain",
    domains(Integer()),
    domains(BigInteger()),
    rows=ROWS,
    kept=(KEPT, [("1", "2")]),
)
case(
    "domain under a domain made a text",
    "domain",
    domains(Integer(), check="VALUE IS NOT NULL"),
    domains(Text(), check="VALUE IS NOT NULL"),
    rows=ROWS,
    kept=(KEPT, [("1", "2")]),
)
case(
    "domain under a domain of another type and over it too",
    "domain",
    domains(Integer()),
    domains(BigInteger(), check="VALUE % 2 = 0 AND VALUE < 9"),
    rows=ROWS,
    kept=(KEPT, [("1", "2")]),
)
case(
    "new domain over one of another type",
    "domain",
    domains(Integer(), over=()),
    domains(BigInteger(), over=("even",)),
    rows="INSERT INTO t (small) VALUES (1)",
    kept=(KEPT, [("1", None)]),
)


def parted(bound: str | None) -> Build:
    """Return what fills a metadata with a partitioned table, and with a partition that a listener makes."""

    def build(metadata: MetaData) -> None:
        log = Table("log", metadata, Column("id", Integer, primary_key=True), postgresql_partition_by="RANGE (id)")
        if bound is not None:
            made = f"CREATE TABLE log_1 PARTITION OF log FOR VALUES {bound}"
            event.listen(log, "after_create", DDL(made))  # type: ignore[no-untyped-call]  # SQLAlchemy's

    return build


case("partition of the models made", "partition", parted(None), parted("FROM (1) TO (10)"))
case(
    "partition of the models with another bound",
    "partition",
    parted("FROM (1) TO (10)"),
    parted("FROM (1) TO (20)"),
    rows="INSERT INTO log VALUES (7)",
    kept=("SELECT id FROM log_1", [(7,)]),
)


def referred(bound: str | None) -> Build:
    """Return what fills a metadata with a table that another refers to, partitioned where there is a bound."""

    def build(metadata: MetaData) -> None:
        options: dict[str, Any] = {} if bound is None else {"postgresql_partition_by": "RANGE (id)"}
        log = Table("log", metadata, Column("id", Integer, primary_key=True), Column("a", Text, index=True), **options)
        Table("note", metadata, Column("id", Integer, primary_key=True), Column("log_id", ForeignKey("log.id")))
        if bound is not None:
            made = f"CREATE TABLE log_1 PARTITION OF log FOR VALUES {bound}"
            event.listen(log, "after_create", DDL(made))  # type: ignore[no-untyped-call]  # SQLAlchemy's

    return build


case(
    "a table with rows is cut into partitions of the models",
    "partition",
    referred(None),
    referred("FROM (1) TO (10)"),
    rows="INSERT INTO log VALUES (7, 'x'); INSERT INTO note VALUES (1, 7)",
    kept=("SELECT l.a FROM log_1 AS l JOIN note ON log_id = l.id", [("x",)]),
)


def cut(name: str, column: str, bound: str | None) -> Build:
    """Return what fills a metadata with a table of one column beside its id, partitioned where there is a bound."""

    def build(metadata: MetaData) -> None:
        options: dict[str, Any] = {} if bound is None else {"postgresql_partition_by": "RANGE (id)"}
        parts: list[Column[Any]] = [Column("id", Integer, primary_key=True), Column(column, Text, index=True)]
        log = Table(name, metadata, *parts, **options)
        if bound is not None:
            made = f"CREATE TABLE log_1 PARTITION OF {name} FOR VALUES {bound}"
            event.listen(log, "after_create", DDL(made))  # type: ignore[no-untyped-call]  # SQLAlchemy's

    return build


case(
    "a table is renamed with a column and cut into partitions",
    "partition",
    cut("log", "a", None),
    cut("events", "b", "FROM (1) TO (10)"),
    renames=(("table", "public.log", "events"), ("column", "public.log.a", "b")),
    sql="CREATE SEQUENCE events_old",
    rows="INSERT INTO log (a) VALUES ('x')",
    kept=("SELECT b FROM log_1", [("x",)]),
)


def sorted_by(name: str, *, indexed: bool) -> Build:
    """Return what fills a metadata with a table that has, where it is indexed, an index that begins with the last."""

    def build(metadata: MetaData) -> None:
        other = Column(name.lower() + "_", Integer)
        table = Table("t", metadata, Column("id", Integer, primary_key=True), Column(name, Integer), other)
        if indexed:
            Index("ix", table.c[name].desc().nulls_last(), unique=True)

    return build


case(
    "descending index of a name in capitals",
    "index",
    sorted_by("createdAt", indexed=False),
    sorted_by("createdAt", indexed=True),
)
case(
    "descending index of a reserved name gone",
    "index",
    sorted_by("order", indexed=True),
    sorted_by("order", indexed=False),
)
case(
    "index of a generated column that only SQLAlchemy quotes",
    "computed",
    lambda m: Table("t", m, Column("id", Integer, primary_key=True), Column("over", Integer, index=True)),
    lambda m: Table(
        "t",
        m,
        Column("id", Integer, primary_key=True),
        Column("over", Integer, Computed("id + 1", persisted=True), index=True),
    ),
)

case(
    "a generated column of another type with another expression",
    "computed",
    lambda m: Table(
        "t", m, Column("id", Integer, primary_key=True), Column("g", Integer, Computed("id * 2", persisted=True))
    ),
    lambda m: Table(
        "t", m, Column("id", Integer, primary_key=True), Column("g", Text, Computed("(id * 3)::text", persisted=True))
    ),
    rows="INSERT INTO t (id) VALUES (5)",
    kept=("SELECT g FROM t", [("15",)]),
)


def kinds(*labels: str, default: str | None = None, check: str | None = None) -> Build:
    """Return what fills a metadata with a table of an array of an enum, and with what names its labels."""

    def build(metadata: MetaData) -> None:
        column: Column[Any] = Column("a", ARRAY(Enum(*labels, name="kind")), server_default=default)
        checks = [] if check is None else [CheckConstraint(check, name="ck")]
        Table("t", metadata, Column("id", Integer, primary_key=True), column, *checks)

    return build


case("a label used in the default of an array", "enum", kinds("x"), kinds("x", "new", default="{x,new}"))
case(
    "a label used in an array inside a check",
    "enum",
    kinds("x"),
    kinds("x", 'it\'s "new"', check="""a <> '{"it''s \\"new\\""}'::kind[]"""),
)

OTHER_HEAP = """DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_am WHERE amname = 'other_heap') THEN
CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler; END IF; END $$"""


def stored(method: str | None) -> Build:
    """Return what fills a metadata with a table of an access method."""
    return lambda m: Table("t", m, Column("id", Integer, primary_key=True), postgresql_using=method)


case(
    "another access method",
    "options",
    stored(None),
    stored("other_heap"),
    setup=OTHER_HEAP,
    rows="INSERT INTO t VALUES (7)",
    kept=("SELECT id FROM t", [(7,)]),
    since=15,
)
