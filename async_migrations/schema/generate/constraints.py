"""Steps for constraints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from async_migrations.schema import difference as d
from async_migrations.schema.generate import index_source
from async_migrations.schema.generate.constraint_source import creation, dropping, key_options
from async_migrations.schema.generate.context import KEYS, Context, shortened
from async_migrations.schema.generate.giving_way import (
    Leaning,
    goes_late,
    is_at_once,
    is_swapped,
    leans_on_converted,
    leans_on_going,
    marked,
    successor,
)
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Constraint, ConstraintKind, Index, IndexKey, Name

LOOKED_AT = "Its rows are looked at while nobody writes to either table."
BUILT = "Its index is built while nobody reads or writes the table: PostgreSQL builds none concurrently for it."


def added(context: Context, it: d.ConstraintAdded) -> Iterator[Step]:
    """Add a constraint."""
    same = (e.index for e in context.of(d.IndexRemoved) if e.table == it.table and e.index.name == it.constraint.name)
    replaced = next(same, None)
    if replaced is None or it.constraint.kind not in KEYS or is_at_once(context, it.table, replaced):
        yield from made(context, it.table, it.constraint)


def removed(context: Context, it: d.ConstraintRemoved) -> Iterator[Step]:
    """Drop a constraint, unless its column takes it along."""
    if _goes_along(context, it.table, it.constraint):
        return
    if goes_late(context, it):
        if not any(e.table == it.table and e.index.name == it.constraint.name for e in context.of(d.IndexAdded)):
            yield from _late(context, it)
        return
    yield released(context, it.table, it.constraint)


def changed(context: Context, it: d.ConstraintChanged) -> Iterator[Step]:
    """Drop a constraint and make it anew; a key keeps its promise meanwhile."""
    if is_swapped(context, it):
        yield from _swap(context, it)
        return
    yield released(context, it.table, it.before)
    yield from made(context, it.table, it.after)


def deferred(context: Context, it: d.DeferrabilityChanged) -> Iterator[Step]:
    """Alter in place when a foreign key is checked."""

    def alter(constraint: Constraint) -> Group:
        initially = "DEFERRED" if constraint.deferred else None
        names = it.after.name, it.table.name
        schema = context.schema(it.table)
        return op("alter_constraint", *names, deferrable=constraint.deferrable, initially=initially, schema=schema)

    yield Step(Stage.MAIN, Phase.DEFERRAL, (alter(it.after),), (alter(it.before),))


def unvalidated(context: Context, it: d.ConstraintUnvalidated) -> Iterator[Step]:
    """Look at the rows that nobody has looked at."""
    up = op("validate_constraint", it.constraint.name, it.table.name, schema=context.schema(it.table))
    yield Step(Stage.VALIDATE, Phase.VALIDATION, (up,))


def made(context: Context, table: Name, constraint: Constraint) -> Iterator[Step]:
    """Add a constraint to a table that exists, with as little waiting as PostgreSQL allows."""
    down = (dropping(context, table, constraint),)
    kind = constraint.kind
    up = creation(context, table, constraint)
    if kind in KEYS:
        stage = Stage.MAIN if context.is_partitioned(table) else Stage.CONCURRENT
        yield Step(stage, Phase.KEYS, (up,), down)
    elif kind is ConstraintKind.FOREIGN_KEY and context.is_late(constraint):
        yield Step(Stage.VALIDATE, Phase.REFERENCES, (up,), down)
    elif not constraint.validated:
        late = creation(context, table, constraint, not_valid=True)
        yield Step(Stage.MAIN, Phase.REFERENCES, (late,), down)
    elif kind is ConstraintKind.EXCLUDE:
        yield Step(Stage.MAIN, Phase.CHECKS, (up,), down, remarks=(BUILT,))
    elif kind is ConstraintKind.FOREIGN_KEY and context.is_partitioned(table):
        # One that is NOT VALID PostgreSQL does not know there.
        yield Step(Stage.MAIN, Phase.REFERENCES, (up,), down, remarks=(LOOKED_AT,))
    else:
        phase = Phase.CHECKS if kind is ConstraintKind.CHECK else Phase.REFERENCES
        yield Step(Stage.MAIN, phase, (creation(context, table, constraint, not_valid=True),), down)
        look = op("validate_constraint", constraint.name, table.name, schema=context.schema(table))
        yield Step(Stage.VALIDATE, Phase.VALIDATION, (look,))


def released(context: Context, table: Name, constraint: Constraint) -> Step:
    """Drop a constraint before anything that it would be in the way of."""
    first = constraint.kind is ConstraintKind.FOREIGN_KEY
    return Step(
        Stage.MAIN,
        Phase.RELEASE_KEYS if first else Phase.RELEASE,
        (dropping(context, table, constraint),),
        (creation(context, table, constraint, told=True),),
        told=(constraint.definition,) if constraint.kind not in KEYS else (),
    )


def in_the_way(context: Context) -> Iterator[Step]:
    """Drop and make anew the foreign keys that stay, and lean on a type or a key that goes in the transaction."""
    for table, key in (*context.references(), *context.strange_references()):
        if leans_on_converted(context, table, key) or leans_on_going(context, key, early=True):
            yield released(context, table, key)
            yield from made(context, table, key)
    for gone in context.of(d.TableRemoved):
        for key in gone.table.constraints:
            if key.kind is ConstraintKind.FOREIGN_KEY and _leans_on_changed(context, gone.table.name, key):
                yield released(context, gone.table.name, key)


def _leans_on_changed(context: Context, table: Name, key: Constraint) -> bool:
    return leans_on_converted(context, table, key) or leans_on_going(context, key, early=False)


def _swap(context: Context, it: d.ConstraintChanged) -> Iterator[Step]:
    leaning = Leaning(context, it.table, frozenset(it.before.columns))
    yield Step(
        Stage.CONCURRENT,
        Phase.SWAPS,
        tuple(_swapped(context, it.table, it.before, it.after, leaning.off, leaning.on)),
        tuple(_swapped(context, it.table, it.after, it.before, leaning.off, ())),
        remarks=("The new index is there before the old constraint goes.", *leaning.remarks),
    )
    yield from leaning.around()


def _swapped(
    context: Context, table: Name, before: Constraint, after: Constraint, off: Sequence[Group], on: Sequence[Group]
) -> Iterator[Group]:
    name = beside(after.name)
    yield index_source.creation(context, table, index_of(context, after), name=name, told=True)
    yield marked(context, table, before.name, name)
    yield from off
    yield dropping(context, table, before)
    yield creation(context, table, after, using_index=name)
    yield from on


def _late(context: Context, it: d.ConstraintRemoved) -> Iterator[Step]:
    """Drop a unique constraint when what takes its place is there."""
    columns = frozenset(it.constraint.columns)
    leaning, new = Leaning(context, it.table, columns), successor(context, it.table, columns)
    marks = () if new is None else (marked(context, it.table, it.constraint.name, new),)
    up = (*marks, *leaning.off, dropping(context, it.table, it.constraint), *leaning.on)
    made_again = creation(context, it.table, it.constraint, told=True)
    marks = () if new is None else (marked(context, it.table, new, it.constraint.name),)
    yield Step(Stage.CONCURRENT, Phase.SWAPS, up, (*leaning.off, made_again, *marks), remarks=leaning.remarks)
    yield from leaning.around()


def index_of(context: Context, key: Constraint) -> Index:
    """Return the index that a key has."""
    options = key_options(key)
    keys = tuple(IndexKey(text=context.quote(column), column=column) for column in key.columns)
    include = tuple(options.get("include", ()))
    distinct = "nulls_not_distinct" in options
    return Index(key.name, "", unique=True, keys=keys, include=include, nulls_not_distinct=distinct)


def beside(name: str) -> str:
    """Return the name of an index for as long as another has its own."""
    return shortened(name, 4) + "_new"


def _goes_along(context: Context, table: Name, constraint: Constraint) -> bool:
    """Whether dropping a column drops it."""
    places = {(table, column) for column in constraint.columns}
    if constraint.kind is ConstraintKind.FOREIGN_KEY and (
        _leans_on_changed(context, table, constraint) or _leans_on_room(context, constraint)
    ):
        return False
    return bool(places & context.dropped) and not places & context.converted and constraint.name not in _taken(context)


def _leans_on_room(context: Context, key: Constraint) -> bool:
    """Whether a foreign key refers to a table that goes before the columns do."""
    return context.makes_room and any(key.target == each.table.name for each in context.of(d.TableRemoved))


def _taken(context: Context) -> frozenset[str]:
    """Return the names that something new takes."""
    names = [each.index.name for each in context.of(d.IndexAdded)]
    names += [each.constraint.name for each in context.of(d.ConstraintAdded)]
    names += [each.after for each in context.of(d.ConstraintRenamed)]
    for each in context.of(d.TableAdded):
        names += [each.table.name.name, *(one.name for one in (*each.table.indexes, *each.table.constraints))]
    return frozenset(names)
