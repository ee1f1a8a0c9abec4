"""Changes that something stands in the way of: limits, users of a type, parents, what was made by hand."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN

from tests.schema_cases import Build, Case

CASES: list[Case] = []
Columns = Callable[[], tuple[Column[Any], ...]]


def case(name: str, tag: str, before: Build, after: Build, **facts: Any) -> None:
    """Note a case."""
    CASES.append(Case(name, after, before=before, tags=(tag,), **facts))


def seq(**options: Any) -> Build:
    """Return what fills a metadata with a sequence."""
    return lambda m: Sequence("seq", metadata=m, **options)


def one(type_: Any, **options: Any) -> Build:
    """Return what fills a metadata with a table of one column beside its id."""
    return lambda m: Table("t", m, Column("id", Integer, primary_key=True), Column("a", type_, **options))


NEXT = "SELECT nextval('seq')"
case("limits above a new sequence", "sequence", seq(), seq(start=100, minvalue=10), kept=(NEXT, [(100,)]))
case(
    "limits above what was drawn",
    "sequence",
    seq(),
    seq(start=100, minvalue=100, maxvalue=900),
    rows="SELECT nextval('seq')",
    kept=(NEXT, [(100,)]),
)
case(
    "limits around what was drawn",
    "sequence",
    seq(),
    seq(minvalue=1, maxvalue=900),
    rows="SELECT setval('seq', 70)",
    kept=(NEXT, [(71,)]),
)
case(
    "limits around what is given next",
    "sequence",
    seq(),
    seq(start=100, minvalue=10),
    rows="SELECT setval('seq', 500, false)",
    kept=(NEXT, [(500,)]),
)
case(
    "a sequence turns round",
    "sequence",
    seq(),
    seq(increment=-1, start=-1, minvalue=-100, maxvalue=-1),
    kept=(NEXT, [(-1,)]),
)


def shared(m: MetaData) -> None:
    """Fill a metadata with two tables that draw from one sequence, which each of them announces."""
    numbers = Sequence("numbers", metadata=m)
    for name in ("one", "two"):
        Table(name, m, Column("id", Integer, numbers, server_default=numbers.next_value(), primary_key=True))


def apart(m: MetaData) -> None:
    """Fill a metadata with the same tables and numbers of the application's own."""
    for name in ("one", "two"):
        Table(name, m, Column("id", Integer, primary_key=True, autoincrement=False))


case("two tables draw from one sequence", "sequence", apart, shared)

POSITIVE, LARGE = DOMAIN("d", Integer, check="VALUE > 0"), DOMAIN("d", Integer, check="VALUE > 2")
case(
    "check of a domain in arrays",
    "domain",
    one(ARRAY(POSITIVE)),
    one(ARRAY(LARGE)),
    rows="INSERT INTO t (a) VALUES ('{5,6}')",
    kept=("SELECT a::text FROM t", [("{5,6}",)]),
)
case(
    "domain renamed with its constraints",
    "domain",
    one(POSITIVE),
    one(DOMAIN("e", Integer, check="VALUE > 0")),
    renames=(("type", "public.d", "e"),),
    kept=("SELECT conname::text FROM pg_constraint WHERE contypid = 'e'::regtype", [("e_check",)]),
)
case(
    "table moves to a schema that is not there",
    "schema",
    one(Text, index=True),
    lambda m: Table("t", m, Column("id", Integer, primary_key=True), Column("a", Text, index=True), schema="elsewhere"),
    renames=(("table", "public.t", "elsewhere.t"),),
    rows="INSERT INTO t (a) VALUES ('x')",
    kept=("SELECT a FROM elsewhere.t", [("x",)]),
)


def family(type_: Any, *, nullable: bool = True) -> Build:
    """Return what fills a metadata with a table, its child and its grandchild."""

    def build(m: MetaData) -> None:
        Table("parent", m, Column("a", type_, nullable=nullable))
        Table("child", m, Column("b", Text), postgresql_inherits="parent")
        Table("grandchild", m, Column("c", Text), postgresql_inherits="child")

    return build


case(
    "a parent's type changes",
    "inheritance",
    family(Integer),
    family(BigInteger),
    sql="CREATE VIEW seen AS SELECT a FROM grandchild",
    rows="INSERT INTO grandchild VALUES (1, 'x', 'y')",
    kept=("SELECT a FROM seen", [(1,)]),
)
case("a parent forbids NULL", "inheritance", family(Integer), family(Integer, nullable=False))
case("a parent allows NULL", "inheritance", family(Integer, nullable=False), family(Integer))

BY_HAND = """CREATE VIEW seen WITH (security_barrier = true) AS SELECT id, a AS b FROM t WHERE a IS NOT NULL;
CREATE VIEW twice AS SELECT seen.b, t.a FROM seen JOIN t USING (id);
CREATE MATERIALIZED VIEW kept AS SELECT b, count(*) FROM twice GROUP BY b; CREATE UNIQUE INDEX ON kept (b);
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER one BEFORE UPDATE OF a ON t FOR EACH ROW WHEN (NEW.a IS NOT NULL) EXECUTE FUNCTION pass();
CREATE POLICY mine ON t AS RESTRICTIVE FOR UPDATE USING (a IS NOT NULL) WITH CHECK (id > 0);
CREATE RULE none AS ON DELETE TO t WHERE OLD.a IS NULL DO INSTEAD NOTHING"""
HELD = "SELECT b::text FROM kept"
HANDS = {
    "longer": (String(5), Text()),
    "to a number": (Text(), SmallInteger()),
    "labels in another order": (Enum("1", "2", name="e"), Enum("2", "1", name="e")),
    "no enum any more": (Enum("1", "2", name="e"), Text()),
    "another domain": (DOMAIN("d", Integer), DOMAIN("d", BigInteger)),
}
for _name, (_one, _other) in HANDS.items():
    case(
        f"made by hand on a column: {_name}",
        "unmanaged objects",
        one(_one),
        one(_other),
        sql=BY_HAND,
        rows="INSERT INTO t (a) VALUES ('1'); REFRESH MATERIALIZED VIEW kept",
        kept=(HELD, [("1",)]),
    )


def doubled(expression: str) -> Build:
    """Return what fills a metadata with a generated column."""
    return lambda m: Table("t", m, Column("a", Integer), Column("b", Integer, Computed(expression, persisted=True)))


case(
    "made by hand on a generated column",
    "unmanaged objects",
    doubled("a * 2"),
    doubled("a * 3"),
    sql="CREATE VIEW seen AS SELECT b FROM t",
    rows="INSERT INTO t (a) VALUES (5)",
    kept=("SELECT b FROM seen", [(15,)]),
)
case(
    "a default of a child",
    "inheritance",
    family(Integer),
    lambda m: (
        Table("parent", m, Column("a", Integer, server_default=text("3"))),
        Table("child", m, Column("b", Text), postgresql_inherits="parent"),
        Table("grandchild", m, Column("c", Text), postgresql_inherits="child"),
    ),
)
case(
    "two columns swap their names",
    "rename",
    lambda m: Table("t", m, Column("a", Integer), Column("b", Integer, index=True), Column("c", Integer)),
    lambda m: Table("t", m, Column("a", Integer), Column("b", Integer), Column("c", Integer, index=True)),
    renames=(("column", "public.t.a", "b"), ("column", "public.t.b", "c"), ("column", "public.t.c", "a")),
    rows="INSERT INTO t VALUES (1, 2, 3)",
    kept=("SELECT a, b, c FROM t", [(3, 1, 2)]),
)


def pair(one: str, other: str) -> Build:
    """Return what fills a metadata with two tables that have keys, indexes, checks and serial columns."""

    def build(m: MetaData) -> None:
        Table(one, m, Column("id", Integer, primary_key=True), Column("a", Integer, unique=True, index=True))
        checked = CheckConstraint("id > 0 AND a > 0")
        Table(other, m, Column("id", Integer, primary_key=True), Column("a", Integer, unique=True), checked)

    return build


case(
    "two tables swap their names",
    "rename",
    pair("one", "other"),
    pair("other", "one"),
    renames=(("table", "public.one", "other"), ("table", "public.other", "one")),
    rows="INSERT INTO one (a) VALUES (1); INSERT INTO other (a) VALUES (7), (8)",
    kept=("SELECT a FROM one ORDER BY a", [(7,), (8,)]),
)
case(
    "two labels swap their names",
    "rename",
    one(Enum("x", "y", name="e")),
    one(Enum("y", "x", name="e")),
    renames=(("enum_value", "public.e.x", "y"), ("enum_value", "public.e.y", "x")),
    rows="INSERT INTO t (a) VALUES ('x')",
    kept=("SELECT a::text FROM t", [("y",)]),
)
case(
    "an enum renamed whose new label is a default",
    "compound",
    lambda m: Table("t", m, Column("a", Enum("x", "y", name="e"), server_default="x")),
    lambda m: Table("u", m, Column("b", Enum("x", "z", "new", name="f"), server_default="new")),
    renames=(
        ("table", "public.t", "u"),
        ("column", "public.t.a", "b"),
        ("type", "public.e", "f"),
        ("enum_value", "public.e.y", "z"),
    ),
    rows="INSERT INTO t VALUES ('y')",
    kept=("SELECT b::text FROM u", [("z",)]),
)
case(
    "a key gives way to another, and so does who referred to it",
    "compound",
    lambda m: (
        Table("t", m, Column("id", Integer, primary_key=True), Column("code", Text, nullable=False)),
        Table("u", m, Column("t_id", ForeignKey("t.id"))),
    ),
    lambda m: (
        Table("t", m, Column("code", Text, primary_key=True)),
        Table("u", m, Column("t_code", ForeignKey("t.code"))),
    ),
    rows="INSERT INTO t (code) VALUES ('x')",
    kept=("SELECT code FROM t", [("x",)]),
)


def room(columns: Columns, gone: Columns | None = None) -> Build:
    """Return what fills a metadata with a table and an index, on it or on a table that goes."""

    def build(m: MetaData) -> None:
        held = [Index("ix", "n")]
        if gone is not None:
            Table("gone", m, Column("id", Integer, primary_key=True), *gone(), *held)
        Table("t", m, *columns(), *([] if gone else held))

    return build


def key() -> Column[Any]:
    """Return a serial key."""
    return Column("id", Integer, primary_key=True)


def random() -> Column[Any]:
    """Return a key of another name."""
    return Column("key", Uuid, server_default=text("gen_random_uuid()"), primary_key=True)


def number(**options: Any) -> Column[Any]:
    """Return a column of numbers."""
    return Column("n", Integer, **options)


for _what, _before, _gone, _after in (
    ("a key gives way to another", lambda: (key(), number()), lambda: (number(),), lambda: (random(), number())),
    (
        "a reference to it goes with its column",
        lambda: (key(), number(), Column("up", ForeignKey("gone.id"))),
        lambda: (number(),),
        lambda: (key(), number()),
    ),
    (
        "each refers to the other",
        lambda: (key(), number(), Column("up", ForeignKey("gone.id", name="fk", use_alter=True))),
        lambda: (number(), Column("t_id", ForeignKey("t.id"))),
        lambda: (random(), number()),
    ),
    (
        "it refers to a key that moves",
        lambda: (key(), number()),
        lambda: (number(), Column("t_id", ForeignKey("t.id"))),
        lambda: (Column("id", Integer), number(primary_key=True)),
    ),
    (
        "a column goes that another was computed from",
        lambda: (key(), number(), Column("a", Integer), Column("c", Integer, Computed("a + 1", persisted=True))),
        lambda: (number(),),
        lambda: (key(), number(), Column("c", Integer, Computed("n + 1", persisted=True))),
    ),
):
    case(
        f"a table makes room and {_what}",
        "compound",
        room(_before, _gone),
        room(_after),
        rows="INSERT INTO t (n) VALUES (7)",
        kept=("SELECT n FROM t", [(7,)]),
    )
