"""Laws of comparing and planning that hold for any two schemas."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_migrations.schema import difference as d
from async_migrations.schema.generate.plan import FilePlan
from async_migrations.schema.snapshot import Domain, EnumType, Sequence, Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Name, SequenceOptions, Table
from tests.support.plans import Planned, check, column, compared, index, key, planned, reference, snapshot, table

ENUM, BASE, OVER = Name("public", "e"), Name("public", "z"), Name("public", "d")
TABLES = ("t_1", "t_2", "t_3")
COLUMNS = ("c_1", "c_2", "c_3")
PLAIN = ("integer", "bigint", "text", "numeric(10,2)", "numeric(10,0)", "timestamp with time zone")


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    named = {"public.e": ENUM, "public.d": OVER}
    type_ = draw(st.sampled_from([*PLAIN, *named]))
    default = draw(st.sampled_from([None, "'1'"]))
    return column(name, type_, nullable=draw(st.booleans()), default=default, type_name=named.get(type_))


@st.composite
def tables(draw: st.DrawFn, name: str, others: tuple[str, ...]) -> Table:
    """Return a table whose parts are called after it, so that a name says what it is."""
    mine = [draw(columns(each)) for each in COLUMNS if draw(st.booleans())]
    parts: list[object] = [column("id", nullable=False), key(f"{name}_pkey", "id"), *mine]
    for each in mine:
        if draw(st.booleans()):
            parts.append(index(f"ix_{name}_{each.name}", each.name, unique=draw(st.booleans())))
        if draw(st.booleans()):
            parts.append(check(f"ck_{name}_{each.name}", f"({each.name} <> {draw(st.integers(0, 1))})", each.name))
        if draw(st.booleans()):
            parts.append(key(f"uq_{name}_{each.name}", each.name, kind=ConstraintKind.UNIQUE))
        if each.type == "integer" and draw(st.booleans()):
            parts.append(reference(f"fk_{name}_{each.name}", each.name, draw(st.sampled_from(others))))
    return table(name, *parts, comment=draw(st.sampled_from([None, "x"])))  # type: ignore[arg-type]  # parts of a table


@st.composite
def schemas(draw: st.DrawFn) -> Snapshot:
    there = tuple(each for each in TABLES if draw(st.booleans()))
    labels = tuple(draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)))
    base = draw(st.sampled_from(["integer", "bigint"]))
    domains = (Domain(OVER, "public.z", nullable=draw(st.booleans())), Domain(BASE, base))
    free = [Sequence(Name("public", "s"), SequenceOptions(increment=draw(st.integers(1, 2))))]
    return snapshot(
        *(draw(tables(each, there)) for each in there),
        enums=(EnumType(ENUM, labels),),
        domains=domains,
        sequences=tuple(free[: draw(st.integers(0, 1))]),
    )


laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.filterwarnings("error")


@laws
@given(schemas())
def test_a_schema_does_not_differ_from_itself_and_nothing_is_planned(schema: Snapshot) -> None:
    assert compared(schema, schema) == ()
    assert planned(schema, schema).plans == ()


@laws
@given(schemas(), schemas(), st.booleans())
def test_the_same_plan_comes_again_in_whatever_order_tables_are_read(
    live: Snapshot,
    wanted: Snapshot,
    free: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    def turned(one: Snapshot) -> Snapshot:
        return replace(one, tables=one.tables[::-1], domains=one.domains[::-1])

    first = planned(live, wanted, allow_destructive=free)
    assert planned(live, wanted, allow_destructive=free) == first
    assert planned(turned(live), turned(wanted), allow_destructive=free).calls == first.calls


def test_columns_of_a_domain_that_is_made_anew_move_in_the_same_order_however_tables_are_read() -> None:
    def schema(base: str, type_: str) -> Snapshot:
        named = OVER if type_ == "public.d" else None
        made = [table(each, column("c", type_, type_name=named)) for each in TABLES]
        return snapshot(*made, domains=(Domain(OVER, "public.z"), Domain(BASE, base)))

    live, wanted = schema("integer", "bigint"), schema("bigint", "public.d")
    turned = replace(wanted, tables=wanted.tables[::-1], domains=wanted.domains[::-1])
    assert planned(live, turned).calls == planned(live, wanted).calls


@laws
@given(schemas(), schemas(), st.booleans())
def test_every_difference_is_planned_or_listed_as_left_out(
    live: Snapshot,
    wanted: Snapshot,
    free: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    plan = planned(live, wanted, allow_destructive=free)

    for each in compared(live, wanted):
        listed = each in plan.left_out
        followed = any(all(word in call for word in way) for way in ways(each) for call in plan.calls)
        partly = isinstance(each, d.EnumLabelsChanged) and each.added
        assert (listed or followed) if partly else (listed != followed), each
    assert not (free and plan.left_out)


def ways(it: d.Difference) -> Iterator[tuple[str, ...]]:
    """Yield words that stand together in a call which follows a difference, in one way or another."""
    match it:
        case d.TableAdded() | d.TableRemoved():
            yield ("_table", f'"{it.table.name.name}"')
        case d.ColumnAdded() | d.ColumnRemoved():
            yield ("_column", f'"{it.table.name}"', f'"{it.column.name}"')
        case d.OfColumn():
            yield from ((verb, f'("{it.table.name}", "{it.column}"') for verb in ("alter_column", "_not_null"))
        case d.ConstraintAdded() | d.ConstraintRemoved():
            yield (f'"{it.constraint.name}"',)
            yield from (("drop_column", f'"{it.table.name}"', f'"{each}"') for each in it.constraint.columns)
        case d.ConstraintChanged():
            yield (f'"{it.after.name}"',)
        case d.IndexAdded() | d.IndexRemoved():
            yield (f'"{it.index.name}"',)
            yield from (("drop_column", f'"{it.table.name}"', f'"{each.column}"') for each in it.index.keys)
        case d.IndexChanged():
            yield (f'"{it.after.name}"',)
        case d.CommentChanged():
            yield ("table_comment", f'"{it.table.name}"')
        case d.Named():
            yield (f'"{it.name.name}"',)


@laws
@given(schemas(), schemas())
def test_what_others_lean_on_is_there_first_and_goes_last(live: Snapshot, wanted: Snapshot) -> None:
    plan = planned(live, wanted, allow_destructive=True)
    new = {each.table.name.name for each in compared(live, wanted) if isinstance(each, d.TableAdded)}
    gone = {each.table.name.name for each in compared(live, wanted) if isinstance(each, d.TableRemoved)}

    for one in wanted.tables:
        for part in one.constraints:
            if part.target is not None and part.target.name in new and one.name != part.target:
                made = [
                    n for n, call in enumerate(plan.calls) if f'"{part.name}"' in call and not goes(call, one, part)
                ]
                assert first(plan, "create_table", part.target.name) < made[0]
    for one in live.tables:
        for part in one.constraints:
            if part.target is not None and part.target.name in gone and one.name != part.target:
                free = [place for place, call in enumerate(plan.calls) if goes(call, one, part)]
                assert min(free) < first(plan, "drop_table", part.target.name)
    for it in compared(live, wanted):
        if isinstance(it, d.ColumnAdded):
            later = [f'"ix_{it.table.name}_{it.column.name}"', f'"ck_{it.table.name}_{it.column.name}"']
            born = first(plan, "add_column", it.table.name, it.column.name)
            assert all(born < place for place, call in enumerate(plan.calls) for name in later if name in call)


def first(plan: Planned, *words: str) -> int:
    quoted = [word if word.startswith(("create_", "drop_", "add_")) else f'"{word}"' for word in words]
    return next(place for place, call in enumerate(plan.calls) if all(word in call for word in quoted))


def goes(call: str, owner: Table, part: Constraint) -> bool:
    """Whether a call takes a foreign key away."""
    table_goes = call.startswith(f'drop_table("{owner.name.name}"')
    column_goes = any(call.startswith(f'drop_column("{owner.name.name}", "{each}"') for each in part.columns)
    return table_goes or column_goes or call.startswith(f'drop_constraint("{part.name}"')


@laws
@given(schemas(), schemas(), st.booleans())
def test_files_run_in_the_order_of_their_stages_and_only_concurrent_ones_without_a_transaction(
    live: Snapshot,
    wanted: Snapshot,
    free: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    plan = planned(live, wanted, allow_destructive=free)

    assert [each.stage for each in plan.plans] == sorted({each.stage for each in plan.plans})
    assert all(phases(each) == sorted(phases(each)) for each in plan.plans)
    assert all(each.steps for each in plan.plans)
    assert free or "drop" not in plan.files


def phases(file: FilePlan) -> list[int]:
    return [step.phase for step in file.steps]
