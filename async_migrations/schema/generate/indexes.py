"""Steps for indexes of tables that exist: beside running writes, in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate.constraints import beside
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.index_source import creation
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Index, Name


def added(context: Context, it: d.IndexAdded) -> Iterator[Step]:
    """Create an index."""
    yield made(context, it.table, it.index)


def removed(context: Context, it: d.IndexRemoved) -> Iterator[Step]:
    """Drop an index, unless its column takes it along."""
    places = {(it.table, key.column) for key in it.index.keys if key.column}
    if (
        places & context.dropped
        and not _is_in_the_way(context, it.table, it.index)
        and it.index.name not in _taken(context)
    ):
        return
    yield _released(context, it.table, it.index)


def changed(context: Context, it: d.IndexChanged) -> Iterator[Step]:
    """Build the new index under another name before the old one goes."""
    if _is_at_once(context, it.table, it.before):
        yield _released(context, it.table, it.before)
        yield made(context, it.table, it.after)
        return
    if not it.before.valid:
        up: tuple[Group, ...] = (_drop(context, it.table, it.before), creation(context, it.table, it.after))
        yield Step(Stage.CONCURRENT, Phase.INDEXES, up)
        return
    yield Step(
        Stage.CONCURRENT,
        Phase.INDEXES,
        tuple(_swapped(context, it.table, it.after, told=False)),
        tuple(_swapped(context, it.table, it.before, told=True)),
        told=(it.before.body,),
    )


def made(context: Context, table: Name, index: Index) -> Step:
    """Create an index on a table that exists."""
    stage = Stage.MAIN if context.is_partitioned(table) else Stage.CONCURRENT
    up, down = creation(context, table, index), _drop(context, table, index)
    return Step(stage, Phase.INDEXES, (up,), (down,))


def _swapped(context: Context, table: Name, index: Index, *, told: bool) -> Iterator[Group]:
    schema = context.schema(table)
    yield creation(context, table, index, name=beside(index.name), told=told)
    yield _drop(context, table, index)
    yield op("rename_index", beside(index.name), index.name, schema=schema)


def _released(context: Context, table: Name, index: Index) -> Step:
    at_once = _is_at_once(context, table, index)
    stage, phase = (Stage.MAIN, Phase.RELEASE_INDEXES) if at_once else (Stage.CONCURRENT, Phase.RELEASE_INDEXES)
    # An index of a word that the server reads otherwise now is rare, and told as it stands.
    down = creation(context, table, index, told=True)
    return Step(stage, phase, (_drop(context, table, index),), (down,), told=(index.body,))


def _drop(context: Context, table: Name, index: Index) -> Group:
    return op("drop_index", index.name, table.name, schema=context.schema(table))


def _is_at_once(context: Context, table: Name, index: Index) -> bool:
    """Whether an index goes in the transaction: it is in the way there, or cannot go concurrently."""
    return context.is_partitioned(table) or _is_in_the_way(context, table, index) or index.name in _taken(context)


def _is_in_the_way(context: Context, table: Name, index: Index) -> bool:
    """Whether an index leans on a column that is converted."""
    return any(owner == table and index.leans_on(column) for owner, column in context.converted)


def _taken(context: Context) -> frozenset[str]:
    """Return the names that something in the transaction takes."""
    names: list[str] = []
    for each in context.of(d.TableAdded):
        names += [each.table.name.name, *(one.name for one in (*each.table.indexes, *each.table.constraints))]
    names += [each.constraint.name for each in context.of(d.ConstraintAdded)]
    names += [each.sequence.name.name for each in context.of(d.SequenceAdded)]
    return frozenset(names)
