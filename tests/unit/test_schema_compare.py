"""Comparing snapshots: plain values in, plain values out."""

import gc
from dataclasses import replace

import pytest

from async_migrations.schema import difference as d
from async_migrations.schema.answer import SchemaDifference
from async_migrations.schema.answers import rows
from async_migrations.schema.collector import held_back
from async_migrations.schema.compare import ORDER, compare
from async_migrations.schema.forms import Forms, addressed
from async_migrations.schema.hints import parse
from async_migrations.schema.pairing import pair
from async_migrations.schema.renaming import renamed
from async_migrations.schema.resolution import resolve
from async_migrations.schema.scope import Scope, is_ledger
from async_migrations.schema.snapshot import Domain, DomainCheck, EnumType, Other, Sequence, Snapshot
from async_migrations.schema.table import (
    Column,
    Computed,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    IndexKey,
    Name,
    SequenceOptions,
    Table,
    TableKind,
    parse_name,
    shown,
)
from async_migrations.schema.translation import Translation

T = Name("public", "t")
ID = Column("id", "integer", nullable=False)
A = Column("a", "text")
POSITIVE = Constraint("ck", ConstraintKind.CHECK, "CHECK ((a > 0))", ("a",))
PLAIN = Index("ix", "btree (a)", keys=(IndexKey("a", "a"),))
TABLE = Table(T, columns=(ID, A), constraints=(POSITIVE,), indexes=(PLAIN,))
PUBLIC = Scope(frozenset({"public"}))


def snapshot(*tables: Table, **parts: object) -> Snapshot:
    return replace(Snapshot(180000, "public", ("public",), tables), **parts)  # type: ignore[arg-type]


def found(live: Snapshot, wanted: Snapshot, **options: object) -> list[d.Difference]:
    return list(compare(live, wanted, PUBLIC, **options).differences)  # type: ignore[arg-type]


def test_equal_snapshots_have_no_differences() -> None:
    assert found(snapshot(TABLE), snapshot(TABLE)) == []
    moved = replace(TABLE, columns=(replace(A, position=1), replace(ID, position=2)))
    assert found(snapshot(TABLE), snapshot(moved)) == []


def test_every_kind_of_difference_has_its_place_in_the_order() -> None:
    kinds = {each for each in vars(d).values() if isinstance(each, type) and issubclass(each, d.Difference)}
    assert kinds - {d.Difference, d.OfTable, d.OfColumn, d.Named} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_what_others_lean_on_comes_first_and_removals_last() -> None:
    live = snapshot(TABLE, Table(Name("public", "old")), enums=(EnumType(Name("public", "gone"), ("a",)),))
    wanted = snapshot(
        replace(TABLE, columns=(ID,)),
        Table(Name("public", "new")),
        enums=(EnumType(Name("public", "kind"), ("a",)),),
        sequences=(Sequence(Name("public", "s"), SequenceOptions()),),
    )
    assert [type(each) for each in found(live, wanted)] == [
        d.EnumAdded,
        d.SequenceAdded,
        d.TableAdded,
        d.ColumnRemoved,
        d.TableRemoved,
        d.EnumRemoved,
    ]


def test_only_what_loses_something_is_destructive() -> None:
    live = snapshot(TABLE, Table(Name("public", "old")))
    wanted = snapshot(replace(TABLE, columns=(ID, Column("b", "text")), constraints=(), indexes=()))
    differences = found(live, wanted)
    assert {type(each) for each in differences if each.destructive} == {d.ColumnRemoved, d.TableRemoved}
    assert not d.ColumnRemoved(T, replace(A, computed=Computed("id + 1"))).destructive
    assert d.EnumLabelsChanged(T, ("a", "b"), ("a",)).destructive
    assert not d.EnumLabelsChanged(T, ("a",), ("a", "b")).destructive


@pytest.mark.parametrize(
    ("before", "after", "lossy"),
    [
        ("numeric(10,4)", "numeric(10,2)", True),
        ("numeric(10,2)", "numeric(12,2)", False),
        ("numeric", "numeric(10,2)", True),
        ("numeric(10,2)", "numeric", False),
        ("numeric(10,2)", "integer", True),
        ("double precision", "real", True),
        ("real", "double precision", False),
        ("double precision", "numeric", False),
        ("double precision", "numeric(10,2)", True),
        ("timestamp without time zone", "date", True),
        ("timestamp with time zone", "timestamp(3) with time zone", True),
        ("timestamp(3) without time zone", "timestamp with time zone", False),
        ("date", "timestamp without time zone", False),
        ("character varying(20)", "character varying(10)", False),
        ("bigint", "integer", False),
        ('public."My Type"[]', "text", False),
        ("numeric(10,4)[]", "numeric(10,2)[]", True),
        ("numeric(10,0)", "integer", False),
        ("numeric(10,4)", "money", True),
        ("numeric", "double precision", True),
        ("integer", "double precision", False),
        ("integer", "real", True),
        ("bigint", "double precision", True),
        ("real", "numeric(10,2)", True),
        ("integer", "boolean", False),
        ("boolean", "integer", False),
        ("integer", "bit(4)", True),
        ("integer", "bit(32)", False),
        ("integer[]", "integer", True),
        ("integer[]", "text", False),
        ("integer", "integer[]", False),
        ("integer", "character varying(2)[]", False),
        ("text", "integer", False),
        ("text", "public.kind", False),
        ("text", "numeric", False),
        ("text", "numeric(10,2)", True),
        ("text", "double precision", True),
        ("text", "date", True),
        ("text", "timestamp with time zone", False),
        ("text", "timestamp(0) with time zone", True),
        ("text", "bit varying(4)", True),
        ("text", "name", True),
        ("text", "jsonb", True),
        ("json", "jsonb", True),
        ("json[]", "jsonb[]", True),
        ("jsonb", "json", False),
        ("jsonb", "numeric(10,2)", True),
        ("jsonb", "integer[]", False),
        ("jsonb", "text[]", True),
        ("text[]", "jsonb", False),
        ("timestamp with time zone", "integer", True),
        ("timestamp with time zone", "numeric", False),
        ("timestamp without time zone", "timestamp with time zone", False),
        ("date", "bigint", False),
        ("bigint", "date", True),
        ("interval", "integer", True),
        ("interval", "time without time zone", True),
        ("interval", "interval day to second(3)", True),
        ("interval year", "interval", False),
        ("time with time zone", "time without time zone", True),
        ("inet", "cidr", True),
        ("cidr", "inet", False),
        ("circle", "box", True),
        ("bytea", "uuid", False),
        ("public.citext", "text", False),
    ],
)
def test_a_conversion_that_rounds_silently_is_destructive(before: str, after: str, lossy: bool) -> None:  # noqa: FBT001
    one, other = Column("a", before), Column("a", after)
    assert d.ColumnTypeChanged(T, "a", one, other).destructive is lossy


def test_a_conversion_is_judged_by_what_is_under_domains() -> None:
    exact, rounded = Column("a", "public.exact", base="numeric(10,4)"), Column("a", "public.price", base="integer")
    made = Computed("b + 1")
    assert d.ColumnTypeChanged(T, "a", exact, rounded).destructive
    assert not d.ColumnTypeChanged(T, "a", exact, replace(rounded, computed=made)).destructive
    assert d.DomainChanged(T, Domain(T, "numeric(10,4)"), Domain(T, "public.price", base="integer")).destructive
    assert not d.DomainChanged(T, Domain(T, "integer"), Domain(T, "bigint")).destructive


def test_labels_say_what_was_added_removed_and_reordered() -> None:
    change = d.EnumLabelsChanged(T, ("a", "b", "c"), ("c", "a", "x"))
    assert (change.added, change.removed, change.reordered) == (("x",), ("b",), True)
    assert not d.EnumLabelsChanged(T, ("a", "c"), ("a", "b", "c")).reordered


def test_texts_that_mean_the_same_are_no_difference() -> None:
    live = snapshot(replace(TABLE, constraints=(replace(POSITIVE, definition="CHECK (((a) > 0))"),)))
    assert [type(each) for each in found(live, snapshot(TABLE))] == [d.ConstraintChanged]
    forms = Forms({("constraint", T, "ck"): frozenset({"CHECK (((a) > 0))"})})
    assert found(live, snapshot(TABLE), forms=forms) == []
    assert forms.joined(Forms()).same(("constraint", T, "ck"), "CHECK (((a) > 0))", "anything")


def test_a_name_that_nobody_chose_follows_what_is_said() -> None:
    one = Constraint("t_check", ConstraintKind.CHECK, "one", implicit=True)
    two = Constraint("t_check1", ConstraintKind.CHECK, "two", implicit=True)
    swapped = (replace(one, definition="two"), replace(two, definition="one"))
    pairs = pair(swapped, (one, two), lambda a, b: a.definition == b.definition)
    assert not pairs.changed
    assert len(pairs.equal) == 2
    live, wanted = replace(TABLE, constraints=swapped), replace(TABLE, constraints=(one, two))
    assert found(snapshot(live), snapshot(wanted)) == []
    explicit = (replace(one, implicit=False), replace(two, implicit=False))
    swap = found(snapshot(live), snapshot(replace(TABLE, constraints=explicit)))
    assert [type(each) for each in swap] == [d.ConstraintChanged, d.ConstraintChanged]


def test_the_sequence_of_an_identity_has_no_name_of_its_own_until_it_is_renamed() -> None:
    identity = Identity(always=True, options=SequenceOptions(), sequence=Name("public", "a_seq"))
    live = snapshot(Table(T, columns=(replace(ID, identity=identity),)))
    other = replace(identity, sequence=Name("public", "b_seq"))
    wanted = snapshot(Table(T, columns=(replace(ID, identity=other),)))
    assert found(live, wanted) == [d.SequenceRenamed(Name("public", "b_seq"), Name("public", "a_seq"))]


def test_a_type_is_kept_while_anything_else_leans_on_it() -> None:
    kind = Name("public", "kind")
    enum = EnumType(kind, ("a",))
    assert found(snapshot(enums=(enum,)), snapshot()) == [d.EnumRemoved(kind, enum)]
    held = replace(enum, held=("function g(public.kind)",))
    assert found(snapshot(enums=(held,)), snapshot()) == []
    domain = Domain(Name("public", "dom"), "public.kind")
    by_domain = replace(enum, held=("type public.dom",))
    both = found(snapshot(enums=(by_domain,), domains=(domain,)), snapshot())
    assert [type(each) for each in both] == [d.DomainRemoved, d.EnumRemoved]
    foreign = Table(Name("public", "f"), TableKind.FOREIGN, (Column("k", "public.kind", type_name=kind),))
    assert found(snapshot(foreign, enums=(enum,)), snapshot()) == []
    assert found(snapshot(enums=(replace(enum, extension="x"),)), snapshot()) == []


@pytest.mark.parametrize("kind", [TableKind.FOREIGN, TableKind.PARTITION])
def test_partitions_and_foreign_tables_are_never_removed(kind: TableKind) -> None:
    assert found(snapshot(Table(T, kind)), snapshot()) == []
    compared = compare(snapshot(Table(T, kind)), snapshot(TABLE), PUBLIC)
    assert not compared.differences
    assert "left alone" in compared.notes[0]


def test_ledgers_and_members_of_extensions_are_never_removed() -> None:
    ledger = Table(
        Name("app", "l"),
        columns=tuple(Column(n, "text") for n in ("migration_name", "applied_at", "execution_time_ms")),
    )
    assert is_ledger(ledger, "schema_migrations")
    assert is_ledger(Table(Name("ops", "x")), "ops.x")
    assert not is_ledger(Table(Name("ops", "x")), "other.x")
    assert is_ledger(Table(Name("public", "alembic_version"), columns=(Column("version_num", "text"),)), "l")
    assert not is_ledger(Table(Name("public", "alembic_version"), columns=(Column("a", "text"),)), "l")
    assert found(snapshot(replace(TABLE, extension="postgis")), snapshot()) == []
    assert found(snapshot(replace(TABLE, extension="postgis")), snapshot(replace(TABLE, columns=()))) == []


def test_a_view_under_a_tables_name_is_left_alone() -> None:
    compared = compare(snapshot(others=(Other("view", T),)), snapshot(TABLE), PUBLIC)
    assert compared.notes == ("public.t is a view in the database and a table in the metadata: left alone.",)


def test_domain_checks_with_names_that_postgresql_chose_are_known_by_what_they_say() -> None:
    name = Name("public", "dom")
    live = Domain(name, "integer", checks=(DomainCheck("old_check", "CHECK (x)"),))
    wanted = Domain(name, "integer", checks=(DomainCheck("dom_check", "CHECK (x)", implicit=True),))
    assert found(snapshot(domains=(live,)), snapshot(domains=(wanted,))) == []
    (changed,) = found(snapshot(domains=(live,)), snapshot(domains=(replace(wanted, type="bigint", nullable=False),)))
    assert isinstance(changed, d.DomainChanged)
    assert changed.parts == ("type", "nullable")


def test_renames_come_first_and_the_rest_is_said_in_new_names() -> None:
    wanted_table = replace(
        TABLE,
        name=Name("public", "u"),
        columns=(ID, Column("b", "text")),
        constraints=(replace(POSITIVE, definition="CHECK ((b > 0))", columns=("b",)),),
        indexes=(),
    )
    live, wanted = snapshot(TABLE), snapshot(wanted_table)
    hints = parse([("column", "public.t.a", "b"), ("table", "public.t", "u")], "public")
    renaming = resolve(hints, live, wanted)
    old_words = Forms({("constraint", Name("public", "u"), "ck"): frozenset({"CHECK ((a > 0))"})})
    u = Name("public", "u")
    assert found(live, wanted, renaming=renaming, forms=old_words) == [
        d.TableRenamed(T, u),
        d.ColumnRenamed(u, "a", "b"),
        d.IndexRemoved(u, replace(PLAIN, keys=(IndexKey("a", "b"),))),
    ]
    assert next(address for address, _ in addressed(renamed(live, renaming))) == ("type", u, "id")


def test_names_are_read_and_shown_with_quotes_where_they_need_them() -> None:
    assert parse_name('a."b.c"."d""e"') == ("a", "b.c", 'd"e')
    assert str(Name("public", "Order")) == 'public."Order"'
    assert shown('q"') == '"q"""'
    (hint,) = parse([("enum_value", 'app."My Type".it\'s 1.5', "two words")], "public")
    assert (hint.owner, hint.old, hint.new) == (Name("app", "My Type"), "it's 1.5", "two words")


def test_rows_come_out_of_copy_as_they_went_in() -> None:
    assert rows(b"a\tb\n\\N\tx\\ty\\\\z\\n\n\t\n") == [["a", "b"], [None, "x\ty\\z\n"], ["", ""]]
    assert rows(b"") == []


def test_a_translation_touches_the_names_of_schemas_only() -> None:
    there = Translation({"public": "am_scratch_1_0", "My App": "AM_scratch_1_1"})
    sql = 'ALTER TABLE "public"."t" ADD CHECK (public.f(a) > my_public.x AND "My App".g() = \'public\')'
    check = '"am_scratch_1_0".f(a) > my_public.x AND "AM_scratch_1_1".g() = \'public\''
    out = f'ALTER TABLE "am_scratch_1_0"."t" ADD CHECK ({check})'
    assert there.outward(sql) == out
    assert there.inward('am_scratch_1_0.f + "AM_scratch_1_1".g') == 'public.f + "My App".g'
    assert there.path(["public", "lib"]) == ["am_scratch_1_0", "public", "lib"]


def test_the_collector_is_given_back_as_it_was() -> None:
    assert gc.isenabled()
    with held_back():
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with held_back():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_difference_is_one_line_for_people() -> None:
    differences = found(
        snapshot(TABLE), snapshot(replace(TABLE, columns=(replace(ID, default="7"), A), comment="x\ny"))
    )
    lines = str(SchemaDifference(tuple(differences), None, snapshot(), snapshot())).splitlines()  # type: ignore[arg-type]
    assert lines == [
        "~ column public.t.id has the default none instead of 7",
        "~ table public.t has the comment None instead of 'x\\ny'",
    ]
