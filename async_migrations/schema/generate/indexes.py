"""Steps for indexes of tables that exist: beside running writes, in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from async_migrations.schema import difference as d
from async_migrations.schema.generate import constraint_source, constraints
from async_migrations.schema.generate.constraints import beside
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.giving_way import (
    Leaning,
    ancestor,
    columns_of,
    heir,
    is_at_once,
    marked,
    successor,
)
from async_migrations.schema.generate.index_source import creation
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Constraint, Index, Name


def added(context: Context, it: d.IndexAdded) -> Iterator[Step]:
    """Create an index."""
    key = ancestor(context, it)
    if key is None:
        yield made(context, it.table, it.index)
    else:
        yield from _made_of_a_key(context, it, key)


def removed(context: Context, it: d.IndexRemoved) -> Iterator[Step]:
    """Drop an index, unless its column takes it along, when what may take its place is there."""
    places = {(it.table, key.column) for key in it.index.keys if key.column}
    at_once = is_at_once(context, it.table, it.index)
    if places & context.dropped and not at_once:
        return
    if at_once or _is_named_anew(context, it.index):
        yield _released(context, it.table, it.index)
    elif (key := heir(context, it.table, it.index)) is not None:
        yield from _made_a_key(context, it, key)
    else:
        yield from _late(context, it)


def changed(context: Context, it: d.IndexChanged) -> Iterator[Step]:
    """Build the new index under another name before the old one goes."""
    if is_at_once(context, it.table, it.before):
        yield _released(context, it.table, it.before)
        yield made(context, it.table, it.after)
        return
    if not it.before.valid:
        up: tuple[Group, ...] = (_drop(context, it.table, it.before), creation(context, it.table, it.after))
        yield Step(Stage.CONCURRENT, Phase.INDEXES, up)
        return
    leaning = Leaning(context, it.table, columns_of(it.before))
    yield Step(
        Stage.CONCURRENT,
        Phase.SWAPS,
        tuple(_swapped(context, it.table, it.after, leaning.off, leaning.on, told=False)),
        tuple(_swapped(context, it.table, it.before, leaning.off, (), told=True)),
        remarks=leaning.remarks,
        told=(it.before.body,),
    )
    yield from leaning.around()


def _late(context: Context, it: d.IndexRemoved) -> Iterator[Step]:
    columns = columns_of(it.index)
    leaning, new = Leaning(context, it.table, columns), None
    if columns is not None:
        new = successor(context, it.table, columns)
    marks = () if new is None else (marked(context, it.table, it.index.name, new),)
    up = (*marks, *leaning.off, _drop(context, it.table, it.index), *leaning.on)
    marks = () if new is None else (marked(context, it.table, new, it.index.name),)
    down = (*leaning.off, creation(context, it.table, it.index, told=True), *marks)
    told = (it.index.body,)
    yield Step(Stage.CONCURRENT, Phase.SWAPS, up, down, remarks=leaning.remarks, told=told)
    yield from leaning.around()


def _made_a_key(context: Context, it: d.IndexRemoved, key: Constraint) -> Iterator[Step]:
    """Let a key take the name of an index, and the index itself where it is the same."""
    table, own = it.table, constraints.index_of(context, key)
    leaning = Leaning(context, table, columns_of(it.index))
    if _is_same(it.index, own):
        up: tuple[Group, ...] = (constraint_source.creation(context, table, key, using_index=own.name),)
        yield from leaning.back()
    else:
        up = (
            creation(context, table, own, name=beside(own.name), told=True),
            marked(context, table, it.index.name, beside(own.name)),
            *leaning.off,
            _drop(context, table, it.index),
            constraint_source.creation(context, table, key, using_index=beside(own.name)),
            *leaning.on,
        )
        yield from leaning.around()
    down = _in_place_of(context, table, key, it.index, leaning.off, (), told=True)
    yield Step(Stage.CONCURRENT, Phase.SWAPS, up, tuple(down), told=(it.index.body,))


def _made_of_a_key(context: Context, it: d.IndexAdded, key: Constraint) -> Iterator[Step]:
    """Let an index take the name of a unique constraint, which has one of its own until then."""
    table, own = it.table, constraints.index_of(context, key)
    leaning = Leaning(context, table, frozenset(key.columns))
    up = _in_place_of(context, table, key, it.index, leaning.off, leaning.on, told=False)
    down = (
        creation(context, table, own, name=beside(own.name), told=True),
        marked(context, table, it.index.name, beside(own.name)),
        *leaning.off,
        _drop(context, table, it.index),
        constraint_source.creation(context, table, key, using_index=beside(own.name)),
    )
    yield Step(Stage.CONCURRENT, Phase.SWAPS, tuple(up), down)
    yield from leaning.around()


def _in_place_of(
    context: Context,
    table: Name,
    key: Constraint,
    index: Index,
    off: Sequence[Group],
    on: Sequence[Group],
    *,
    told: bool,
) -> Iterator[Group]:
    """Build an index beside a key, which then goes."""
    name = beside(index.name)
    yield creation(context, table, index, name=name, told=told)
    yield marked(context, table, key.name, name)
    yield from off
    yield constraint_source.dropping(context, table, key)
    yield op("rename_index", name, index.name, schema=context.schema(table))
    yield from on


def _is_same(index: Index, other: Index) -> bool:
    """Whether a key may take an index as it is."""
    plain = replace(index, name=other.name, body=other.body, comment=None)
    keys = tuple(replace(key, text=there.text) for key, there in zip(index.keys, other.keys, strict=False))
    return replace(plain, keys=keys) == other and len(index.keys) == len(other.keys) and index.valid


def _is_named_anew(context: Context, index: Index) -> bool:
    """Whether a new index takes the name, so that the old one goes first."""
    return any(index.name == each.index.name for each in context.of(d.IndexAdded))


def made(context: Context, table: Name, index: Index) -> Step:
    """Create an index on a table that exists."""
    stage = Stage.MAIN if context.is_partitioned(table) else Stage.CONCURRENT
    up, down = creation(context, table, index), _drop(context, table, index)
    return Step(stage, Phase.INDEXES, (up,), (down,))


def _swapped(
    context: Context, table: Name, index: Index, off: Sequence[Group], on: Sequence[Group], *, told: bool
) -> Iterator[Group]:
    name, schema = beside(index.name), context.schema(table)
    yield creation(context, table, index, name=name, told=told)
    yield marked(context, table, index.name, name)
    yield from off
    yield _drop(context, table, index)
    yield op("rename_index", name, index.name, schema=schema)
    yield from on


def _released(context: Context, table: Name, index: Index) -> Step:
    at_once = is_at_once(context, table, index)
    stage, phase = (Stage.MAIN, Phase.RELEASE_INDEXES) if at_once else (Stage.CONCURRENT, Phase.RELEASE_INDEXES)
    # An index of a word that the server reads otherwise now is rare, and told as it stands.
    down = creation(context, table, index, told=True)
    return Step(stage, phase, (_drop(context, table, index),), (down,), told=(index.body,))


def _drop(context: Context, table: Name, index: Index) -> Group:
    return op("drop_index", index.name, table.name, schema=context.schema(table))
