"""Steps for constraints."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate import index_source
from async_migrations.schema.generate.constraint_source import creation, key_options
from async_migrations.schema.generate.context import KEYS, Context, shortened
from async_migrations.schema.generate.conversion import is_comparable
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Constraint, ConstraintKind, Index, IndexKey, Name

_LOOKS_LATER = frozenset({ConstraintKind.CHECK, ConstraintKind.FOREIGN_KEY})


def added(context: Context, it: d.ConstraintAdded) -> Iterator[Step]:
    """Add a constraint."""
    yield from made(context, it.table, it.constraint)


def removed(context: Context, it: d.ConstraintRemoved) -> Iterator[Step]:
    """Drop a constraint, unless its column takes it along."""
    if _goes_along(context, it.table, it.constraint):
        return
    yield released(context, it.table, it.constraint)


def changed(context: Context, it: d.ConstraintChanged) -> Iterator[Step]:
    """Drop a constraint and make it anew; a key keeps its promise meanwhile."""
    if _can_swap(context, it):
        yield _swap(context, it)
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
    elif kind not in _LOOKS_LATER or _needs_no_look(context, table, constraint):
        yield Step(Stage.MAIN, Phase.CHECKS, (up,), down)
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


def dropping(context: Context, table: Name, constraint: Constraint) -> Group:
    """Return the operation that drops a constraint."""
    return op("drop_constraint", constraint.name, table.name, schema=context.schema(table))


def in_the_way(context: Context) -> Iterator[Step]:
    """Drop and make anew the foreign keys that stay, and lean on a key or a type that changes."""
    for table, key in context.references():
        if _leans_on_changed(context, table, key):
            yield released(context, table, key)
            yield from made(context, table, key)
    for gone in (*context.of(d.TableRemoved), *(each for each in context.left_out if isinstance(each, d.TableRemoved))):
        for key in gone.table.constraints:
            if key.kind is ConstraintKind.FOREIGN_KEY and _leans_on_changed(context, gone.table.name, key):
                yield released(context, gone.table.name, key)


def _leans_on_changed(context: Context, table: Name, key: Constraint) -> bool:
    if key.target is None:
        return False
    for change in context.of(d.ColumnTypeChanged):
        ends = (change.table == table and change.column in key.columns) or (
            change.table == key.target and change.column in key.target_columns
        )
        if ends and not is_comparable(change.before.type, change.after.type):
            return True
    for gone in (*context.of(d.ConstraintChanged), *context.of(d.ConstraintRemoved)):
        before = gone.before if isinstance(gone, d.ConstraintChanged) else gone.constraint
        if gone.table == key.target and before.kind in KEYS and {*before.columns} == {*key.target_columns}:
            return True
    return any(
        change.table == key.target and change.column in key.target_columns for change in context.of(d.ComputedChanged)
    )


def _can_swap(context: Context, it: d.ConstraintChanged) -> bool:
    """Whether a key can be put in another's place over an index that is built beside it."""
    kept = it.before.kind is it.after.kind and it.after.kind in KEYS and not context.is_partitioned(it.table)
    places = {(it.table, column) for column in (*it.before.columns, *it.after.columns)}
    return kept and not places & (context.converted | context.new_columns)


def _swap(context: Context, it: d.ConstraintChanged) -> Step:
    return Step(
        Stage.CONCURRENT,
        Phase.KEYS,
        tuple(_swapped(context, it.table, it.before, it.after)),
        tuple(_swapped(context, it.table, it.after, it.before)),
        remarks=("The new index is there before the old constraint goes.",),
    )


def _swapped(context: Context, table: Name, before: Constraint, after: Constraint) -> Iterator[Group]:
    name = beside(after.name)
    options = key_options(after)
    keys = tuple(IndexKey(text=context.quote(column), column=column) for column in after.columns)
    include = tuple(options.get("include", ()))
    distinct = "nulls_not_distinct" in options
    index = Index(after.name, "", unique=True, keys=keys, include=include, nulls_not_distinct=distinct)
    yield index_source.creation(context, table, index, name=name, told=True)
    yield dropping(context, table, before)
    yield creation(context, table, after, using_index=name)


def beside(name: str) -> str:
    """Return the name of an index for as long as another has its own."""
    return shortened(name, 4) + "_new"


def _needs_no_look(context: Context, table: Name, constraint: Constraint) -> bool:
    """Whether no row can break it, or PostgreSQL cannot look at rows later."""
    if constraint.kind is ConstraintKind.FOREIGN_KEY:
        return context.is_partitioned(table)
    return bool(constraint.columns) and all((table, column) in context.new_columns for column in constraint.columns)


def _goes_along(context: Context, table: Name, constraint: Constraint) -> bool:
    """Whether dropping a column drops it."""
    places = {(table, column) for column in constraint.columns}
    if constraint.kind is ConstraintKind.FOREIGN_KEY and _leans_on_changed(context, table, constraint):
        return False
    return bool(places & context.dropped) and not places & context.converted and constraint.name not in _taken(context)


def _taken(context: Context) -> frozenset[str]:
    """Return the names that something new takes."""
    names = [each.index.name for each in context.of(d.IndexAdded)]
    names += [each.constraint.name for each in context.of(d.ConstraintAdded)]
    names += [each.after for each in context.of(d.ConstraintRenamed)]
    for each in context.of(d.TableAdded):
        names += [each.table.name.name, *(one.name for one in (*each.table.indexes, *each.table.constraints))]
    return frozenset(names)
