"""A schema as text and as a picture, without a server."""

import re

from async_migrations.schema.diagram import dot, mermaid
from async_migrations.schema.dump import text
from async_migrations.schema.snapshot import Domain, DomainCheck, EnumType, Sequence, Snapshot
from async_migrations.schema.table import (
    Column,
    Computed,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    Name,
    SequenceOptions,
    Table,
    TableKind,
)


def public(name: str) -> Name:
    return Name("public", name)


def key(name: str, *columns: str) -> Constraint:
    return Constraint(name, ConstraintKind.PRIMARY_KEY, f"PRIMARY KEY ({', '.join(columns)})", columns)


def refers(name: str, column: str, target: Name) -> Constraint:
    words = f"FOREIGN KEY ({column}) REFERENCES {target}(id)"
    return Constraint(name, ConstraintKind.FOREIGN_KEY, words, (column,), target, ("id",))


NUMBERS = Identity(always=True, options=SequenceOptions("integer", maximum=2147483647), sequence=public("b_id_seq"))
AUTHORS = Table(
    public("authors"),
    columns=(Column("id", "integer", nullable=False, identity=NUMBERS), Column("boss_id", "integer")),
    constraints=(refers("authors_boss", "boss_id", public("authors")), key("authors_pkey", "id")),
    comment="it's",
)
BOOKS = Table(
    Name("shop", "Books"),
    kind=TableKind.PARTITIONED,
    columns=(
        Column("id", "integer", nullable=False, default="nextval('shop.s'::regclass)"),
        Column("author_id", "integer", nullable=False),
        Column("twice", "integer", computed=Computed("(id * 2)"), comment="2"),
    ),
    constraints=(refers("books_author", "author_id", public("authors")),),
    indexes=(Index("ix", "btree (id)", unique=True, valid=False),),
    partition_key="RANGE (id)",
    options=("fillfactor=70",),
    unlogged=True,
)
PART = Table(Name("shop", "part"), kind=TableKind.PARTITION, parents=(BOOKS.name,), partition_bound="DEFAULT")
SNAPSHOT = Snapshot(
    180000,
    "public",
    tables=(BOOKS, AUTHORS, PART, Table(public("spatial_ref_sys"), extension="postgis")),
    enums=(EnumType(public("mood"), ("sad", "it's")),),
    domains=(Domain(public("d"), "text", nullable=False, default="'x'", checks=(DomainCheck("c", "CHECK (true)"),)),),
    sequences=(Sequence(Name("shop", "s"), SequenceOptions(), owner=(BOOKS.name, "id")),),
)


def test_everything_has_its_line() -> None:
    assert text(SNAPSHOT).splitlines() == [
        "enum public.mood: 'sad', 'it''s'",
        "",
        "domain public.d: text not null default 'x'",
        "  c: CHECK (true)",
        "",
        'sequence shop.s: bigint from 1 by 1 in 1..9223372036854775807 cache 1 owned by shop."Books".id',
        "",
        "table public.authors",
        "  comment 'it''s'",
        "  id       integer  not null identity always",
        "  boss_id  integer",
        "  constraint authors_pkey: PRIMARY KEY (id)",
        "  constraint authors_boss: FOREIGN KEY (boss_id) REFERENCES public.authors(id)",
        "",
        'unlogged partitioned table shop."Books"',
        "  partition by RANGE (id)",
        "  with fillfactor=70",
        "  id         integer  not null default nextval('shop.s'::regclass)",
        "  author_id  integer  not null",
        "  twice      integer  computed stored (id * 2) comment '2'",
        "  constraint books_author: FOREIGN KEY (author_id) REFERENCES public.authors(id)",
        "  unique index ix: btree (id) INVALID",
        "",
        "partition shop.part",
        '  partition of shop."Books"',
        "  DEFAULT",
    ]


def test_only_what_is_asked_for_is_written() -> None:
    assert text(SNAPSHOT, lambda kind, _: kind == "enum") == "enum public.mood: 'sad', 'it''s'\n"


def test_mermaid_says_how_many_refer_to_one_and_whether_they_must() -> None:
    lines = mermaid(SNAPSHOT, lambda _kind, _name: True).splitlines()
    assert '    "authors" |o--o{ "authors" : "boss_id"' in lines
    assert '    "authors" ||--o{ "shop.Books" : "author_id"' in lines
    assert '        integer id PK "not null"' in lines
    assert not [line for line in lines if "part" in line or "spatial" in line]


def test_each_edge_of_the_graph_has_its_ports() -> None:
    drawn = dot(SNAPSHOT, lambda _kind, _name: True)
    ports = set(re.findall(r'port="(\w+)"', drawn))
    edges = re.findall(r'"([^"]|\\")*":(\w+):e -> "([^"]|\\")*":(\w+):w', drawn)
    assert len(edges) == 2
    assert all({start, end} <= ports for _, start, _, end in edges)
    assert "style=dashed" in drawn
