"""Differences inside one table that exists on both sides; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from async_migrations.schema import difference as d
from async_migrations.schema.forms import Forms
from async_migrations.schema.pairing import pair
from async_migrations.schema.table import (
    Column,
    Computed,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    Table,
    TableKind,
)

_NOT_DEFERRED = ("", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED")


def compare_table(live: Table, wanted: Table, forms: Forms) -> Iterator[d.Difference]:
    """Yield what differs between a table as it is and as the metadata wants it.

    Args:
        live: under its new names.
        wanted: what the metadata gives.
        forms: texts that mean the same.
    """
    yield from _table(live, wanted, forms)
    if wanted.kind is not TableKind.PARTITION:
        yield from _columns(live, wanted, forms)
    yield from _constraints(live, wanted, forms)
    yield from _indexes(live, wanted, forms)


def _table(live: Table, wanted: Table, forms: Forms) -> Iterator[d.Difference]:
    name = wanted.name
    if not forms.same(("partition key", name, ""), live.partition_key, wanted.partition_key):
        yield d.PartitioningChanged(name, live.partition_key, wanted.partition_key)
    if not forms.same(("partition bound", name, ""), live.partition_bound, wanted.partition_bound):
        yield d.PartitionBoundChanged(name, live.partition_bound, wanted.partition_bound)
    if live.parents != wanted.parents:
        yield d.ParentsChanged(name, live.parents, wanted.parents)
    if live.options != wanted.options:
        yield d.TableOptionsChanged(name, live.options, wanted.options)
    if live.tablespace != wanted.tablespace:
        yield d.TablespaceChanged(name, live.tablespace, wanted.tablespace)
    # Partitioned tables have an access method only since PostgreSQL 17.
    if live.method != wanted.method and live.method and wanted.method:
        yield d.AccessMethodChanged(name, live.method, wanted.method)
    if live.unlogged != wanted.unlogged:
        yield d.PersistenceChanged(name, live.unlogged, wanted.unlogged)
    if live.comment != wanted.comment:
        yield d.CommentChanged(name, live.comment, wanted.comment)


def _columns(live: Table, wanted: Table, forms: Forms) -> Iterator[d.Difference]:
    here = {column.name: column for column in live.columns}
    there = {column.name: column for column in wanted.columns}
    for column in wanted.columns:
        if column.name not in here:
            if column.local:
                yield d.ColumnAdded(wanted.name, column)
        elif here[column.name] != column:
            yield from _column(wanted, here[column.name], column, forms)
    for column in live.columns:
        if column.name not in there and column.local:
            yield d.ColumnRemoved(wanted.name, column)


def _column(table: Table, live: Column, declared: Column, forms: Forms) -> Iterator[d.Difference]:
    wanted = _filled_as(live, declared) if declared.announced else declared
    name, own = table.name, wanted.name
    collated = forms.same(("collation", name, own), live.collation, wanted.collation)
    if not forms.same(("type", name, own), live.type, wanted.type):
        yield d.ColumnTypeChanged(name, own, live, wanted)
    elif not collated:
        yield d.CollationChanged(name, own, live, wanted)
    if not _same_computed(table, own, live.computed, wanted.computed, forms):
        yield d.ComputedChanged(name, own, live.computed, wanted.computed)
    if not _same_identity(live.identity, wanted.identity):
        yield d.IdentityChanged(name, own, live.identity, wanted.identity)
    serial = live.sequence is not None and wanted.sequence is not None
    if not serial and not forms.same(("default", name, own), live.default, wanted.default):
        yield d.DefaultChanged(name, own, live.default, wanted.default)
    if live.nullable != wanted.nullable:
        yield d.NullabilityChanged(name, own, wanted)
    if live.comment != wanted.comment:
        yield d.CommentChanged(name, live.comment, wanted.comment, column=own)


def _filled_as(live: Column, wanted: Column) -> Column:
    """Return a column of which the metadata does not say how it is filled, filled as the live one is."""
    return replace(wanted, default=live.default, identity=live.identity, computed=live.computed, sequence=live.sequence)


def _same_computed(table: Table, name: str, live: Computed | None, wanted: Computed | None, forms: Forms) -> bool:
    if live is None or wanted is None:
        return live is wanted
    address = ("computed", table.name, name)
    return live.stored == wanted.stored and forms.same(address, live.expression, wanted.expression)


def _same_identity(live: Identity | None, wanted: Identity | None) -> bool:
    if live is None or wanted is None:
        return live is wanted
    # Its sequence has a name that PostgreSQL chose.
    return replace(live, sequence=wanted.sequence) == wanted


def _constraints(live: Table, wanted: Table, forms: Forms) -> Iterator[d.Difference]:
    def same(one: Constraint, other: Constraint) -> bool:
        address = ("constraint", wanted.name, other.name)
        return one.kind is other.kind and forms.same(address, one.definition, other.definition)

    pairs = pair(live.constraints, wanted.constraints, same)
    names = {constraint.name for constraint in live.constraints} - {each.name for each in pairs.removed}
    for constraint in pairs.removed:
        yield d.ConstraintRemoved(wanted.name, constraint)
    for before, after in pairs.equal:
        if before.name != after.name and (not after.implicit or after.name not in names):
            yield d.ConstraintRenamed(wanted.name, before.name, after.name)
        yield from _beside(wanted, before, after)
    for before, after in pairs.changed:
        if _only_deferral(before, after):
            yield d.DeferrabilityChanged(wanted.name, before, after)
            yield from _beside(wanted, before, after)
        else:
            yield d.ConstraintChanged(wanted.name, before, after)
    for constraint in pairs.added:
        yield d.ConstraintAdded(wanted.name, constraint)


def _beside(table: Table, before: Constraint, after: Constraint) -> Iterator[d.Difference]:
    if after.validated and not before.validated:
        yield d.ConstraintUnvalidated(table.name, after)
    if before.comment != after.comment:
        yield d.CommentChanged(table.name, before.comment, after.comment, constraint=after.name)


def _only_deferral(before: Constraint, after: Constraint) -> bool:
    # PostgreSQL alters this in place for foreign keys alone.
    if {before.kind, after.kind} != {ConstraintKind.FOREIGN_KEY}:
        return False
    return _undeferred(before) == _undeferred(after)


def _undeferred(constraint: Constraint) -> str:
    suffix = _NOT_DEFERRED[constraint.deferrable + constraint.deferred]
    return constraint.definition.replace(suffix, "") if suffix else constraint.definition


def _indexes(live: Table, wanted: Table, forms: Forms) -> Iterator[d.Difference]:
    def same(one: Index, other: Index) -> bool:
        facts = one.valid and one.unique == other.unique and one.tablespace == other.tablespace
        return facts and forms.same(("index", wanted.name, other.name), one.body, other.body)

    pairs = pair(live.indexes, wanted.indexes, same)
    for index in pairs.removed:
        yield d.IndexRemoved(wanted.name, index)
    for before, after in pairs.equal:
        if before.name != after.name:
            yield d.IndexRenamed(wanted.name, before.name, after.name)
    for before, after in pairs.changed:
        yield d.IndexChanged(wanted.name, before, after)
    for index in pairs.added:
        yield d.IndexAdded(wanted.name, index)
