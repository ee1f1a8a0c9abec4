"""Which differences are followed: those that lose something, and what leans on them, only when allowed; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

from async_migrations.schema import difference as d
from async_migrations.schema.generate.afterwards import afterwards
from async_migrations.schema.generate.conversion import is_comparable
from async_migrations.schema.names import is_named
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Constraint, ConstraintKind, Name, Table, TableKind

_CONVERSIONS = (d.ColumnTypeChanged, d.ComputedChanged)


@dataclass(frozen=True)
class _Left:
    """What is left out so far, and what is there all the same: things are called as after the renames.

    Attributes:
        standing: the live schema.
        wanted: what the metadata gives.
        out: the differences that are left out.
        kept: those that are followed.
    """

    standing: Snapshot
    wanted: Snapshot
    out: tuple[d.Difference, ...]
    kept: tuple[d.Difference, ...]

    @cached_property
    def tables(self) -> frozenset[Name]:
        """Tables that there are then."""
        new = (each.table.name for each in self.kept if isinstance(each, d.TableAdded))
        return frozenset({*(each.name for each in self.standing.tables), *new})

    @cached_property
    def missing_types(self) -> frozenset[Name]:
        """Enums and domains of the metadata that are not there, nor made."""
        wanted, there = (
            {*(each.name for each in side.enums), *(each.name for each in side.domains)}
            for side in (self.wanted, self.standing)
        )
        new = {each.name for each in self.kept if isinstance(each, d.EnumAdded | d.DomainAdded)}
        return frozenset(wanted - there - new)

    @cached_property
    def types_in_use(self) -> frozenset[str]:
        """Types of what stays: columns, and domains that are made of others."""
        found: set[str] = set()
        for each in self.out:
            match each:
                case d.TableRemoved():
                    found |= {str(column.type_name) for column in each.table.columns}
                case d.ColumnRemoved():
                    found.add(str(each.column.type_name))
                case d.ColumnTypeChanged():
                    found.add(str(each.before.type_name))
                case d.DomainRemoved():
                    found.add(each.domain.type.partition("[")[0])
                case d.DomainChanged():
                    found.add(each.before.type.partition("[")[0])
        return frozenset(found)

    @cached_property
    def columns(self) -> frozenset[tuple[Name, str]]:
        """Columns that stay as they are, or do not come."""
        changed = {(each.table, each.column) for each in self.out if isinstance(each, _CONVERSIONS)}
        return frozenset(changed | {(e.table, e.column.name) for e in self.out if isinstance(e, d.ColumnAdded)})

    @cached_property
    def taken(self) -> frozenset[Name]:
        """Names of tables that stay, and of their indexes."""
        return frozenset(name for each in self.out if isinstance(each, d.TableRemoved) for name in _names(each.table))

    @cached_property
    def keys(self) -> frozenset[tuple[Name, frozenset[str]]]:
        """Keys that do not come."""
        found = set()
        for each in self.out:
            if isinstance(each, d.ConstraintAdded):
                found.add((each.table, frozenset(each.constraint.columns)))
            elif isinstance(each, d.IndexAdded):
                found.add((each.table, frozenset(key.column or "" for key in each.index.keys)))
        return frozenset(found)

    @cached_property
    def uncut(self) -> frozenset[Name]:
        """Tables that are not partitioned, or by something else."""
        return frozenset(each.table for each in self.out if isinstance(each, d.PartitioningChanged))

    @cached_property
    def references(self) -> tuple[tuple[Name, Constraint], ...]:
        """Foreign keys that are there, and stay."""
        gone = {each.table.name for each in self.kept if isinstance(each, d.TableRemoved)}
        dropped = {(each.table, each.constraint.name) for each in self.kept if isinstance(each, d.ConstraintRemoved)}
        dropped |= {(each.table, each.before.name) for each in self.kept if isinstance(each, d.ConstraintChanged)}
        return tuple(
            (table.name, key)
            for table in self.standing.tables
            if table.name not in gone
            for key in table.constraints
            if key.kind is ConstraintKind.FOREIGN_KEY and (table.name, key.name) not in dropped
        )


def followed(
    operations: Iterable[d.Difference], live: Snapshot, wanted: Snapshot, *, allow_destructive: bool
) -> tuple[tuple[d.Difference, ...], tuple[d.Difference, ...]]:
    """Return the differences that are followed, and those that are left out.

    Args:
        operations: all differences.
        live: the schema as it is.
        wanted: the schema that the metadata gives.
        allow_destructive: whether what loses something is followed.
    """
    operations = tuple(operations)
    standing = afterwards(live, operations)
    lossy = [each for each in operations if each.destructive and not allow_destructive]
    partly = tuple(each for each in lossy if _is_partly(each))
    out = tuple(each for each in lossy if each not in partly)
    while True:
        kept = tuple(each for each in operations if each not in out)
        left = _Left(standing, wanted, (*out, *partly), kept)
        waiting = [each for each in kept if each not in partly and _waits(each, left)]
        if not waiting:
            return kept, (*(each for each in operations if each in out), *partly)
        out += tuple(waiting)


def _waits(it: d.Difference, left: _Left) -> bool:
    """Whether a difference cannot be followed, since another one is not."""
    return any(rule(it, left) for rule in _RULES)


def _is_in_use(it: d.Difference, left: _Left) -> bool:
    return isinstance(it, d.EnumRemoved | d.DomainRemoved) and str(it.name) in left.types_in_use


def _is_of_such_a_column(it: d.Difference, left: _Left) -> bool:
    """Whether a column stays as it is, and the rest of it does so too."""
    return isinstance(it, d.OfColumn) and (it.table, it.column) in left.columns


def _reads_such_a_column(it: d.Difference, left: _Left) -> bool:
    """Whether a part of a table reads a column that has not the type it should have."""
    columns = [column for table, column in left.columns if table == getattr(it, "table", None)]
    match it:
        case d.ConstraintAdded(constraint=constraint) | d.ConstraintChanged(after=constraint):
            there = {(constraint.target, column) for column in constraint.target_columns}
            return bool({*columns} & {*constraint.columns} or there & left.columns)
        case d.IndexAdded(index=index) | d.IndexChanged(after=index):
            return any(index.leans_on(column) for column in columns)
        case d.ColumnAdded(column=added) if added.computed is not None:
            return any(is_named(column, added.computed.expression) for column in columns)
        case d.ComputedChanged(after=computed) if computed is not None:
            return any(is_named(column, computed.expression) for column in columns)
    return False


def _has_a_name_that_is_taken(it: d.Difference, left: _Left) -> bool:
    return any(name in left.taken for name in _new_names(it))


def _needs_a_table(it: d.Difference, left: _Left) -> bool:
    """Whether it names a table that does not come, a key in one, or a table that is not partitioned as it should be."""
    match it:
        case d.TableAdded(table=table):
            parents: tuple[Name, ...] = table.parents
            targets = [each for each in table.constraints if each.target not in {None, table.name}]
            cut = table.kind is TableKind.PARTITION and bool({*parents} & left.uncut)
            return cut or not {*parents} <= left.tables or any(_has_no_target(each, left) for each in targets)
        case d.ConstraintAdded(constraint=constraint) | d.ConstraintChanged(after=constraint):
            return constraint.target is not None and _has_no_target(constraint, left)
        case d.ParentsChanged(after=parents):
            return not {*parents} <= left.tables
        case d.PartitionBoundChanged():
            found = left.standing.table(it.table)
            return found is not None and bool({*found.parents} & left.uncut)
    return False


def _has_no_target(key: Constraint, left: _Left) -> bool:
    return key.target not in left.tables or (key.target, frozenset(key.target_columns)) in left.keys


def _needs_a_type(it: d.Difference, left: _Left) -> bool:
    """Whether it names an enum or a domain that does not come."""
    match it:
        case d.TableAdded(table=table):
            return any(each.type_name in left.missing_types for each in table.columns)
        case d.ColumnAdded(column=column) | d.ColumnTypeChanged(after=column):
            return column.type_name in left.missing_types
        case d.DomainAdded(domain=domain) | d.DomainChanged(after=domain):
            return domain.type.partition("[")[0] in map(str, left.missing_types)
    return False


def _is_leant_on(it: d.Difference, left: _Left) -> bool:
    """Whether a key goes on which a foreign key leans that stays, and no other is there for it."""
    match it:
        case d.ConstraintRemoved(table=name, constraint=before) | d.ConstraintChanged(table=name, before=before):
            columns = frozenset(before.columns if before.kind in _KEYS else ())
        case d.IndexRemoved(table=name, index=index) | d.IndexChanged(table=name, before=index):
            columns = frozenset(key.column or "" for key in index.keys if index.unique and index.where is None)
        case _:
            return False
    wanted = left.wanted.table(name)
    if not columns or wanted is None:
        return False
    keys = [frozenset(each.columns) for each in wanted.constraints if each.kind in _KEYS and not each.deferrable]
    keys += [
        frozenset(key.column or "" for key in each.keys) for each in wanted.indexes if each.unique and not each.where
    ]
    leant = (key.target == name and frozenset(key.target_columns) == columns for _, key in left.references)
    return columns not in keys and any(leant)


def _parts_a_foreign_key(it: d.Difference, left: _Left) -> bool:
    """Whether a column would no longer be comparable with the other end of a foreign key, which stays as it is."""
    if not isinstance(it, d.ColumnTypeChanged) or is_comparable(it.before.stored, it.after.stored):
        return False
    changed = {(each.table, each.column) for each in left.kept if isinstance(each, d.ColumnTypeChanged)}
    ends = [
        (one, other)
        for table, key in left.references
        if key.target is not None
        for own, there in zip(key.columns, key.target_columns, strict=True)
        for one, other in permutations(((table, own), (key.target, there)))
    ]
    return any(one == (it.table, it.column) and other not in changed for one, other in ends)


def _is_what_a_table_is_cut_by(it: d.Difference, left: _Left) -> bool:
    """Whether a column is part of a partition key, and its type cannot change."""
    if not isinstance(it, d.ColumnTypeChanged | d.CollationChanged):
        return False
    made_anew = any(isinstance(each, d.PartitioningChanged) and each.table == it.table for each in left.kept)
    table = left.wanted.table(it.table)
    return not made_anew and table is not None and is_named(it.column, table.partition_key or "")


_RULES = (
    _is_in_use,
    _is_of_such_a_column,
    _reads_such_a_column,
    _has_a_name_that_is_taken,
    _needs_a_table,
    _needs_a_type,
    _is_leant_on,
    _parts_a_foreign_key,
    _is_what_a_table_is_cut_by,
)


def labels_after(it: d.EnumLabelsChanged, *, allow_destructive: bool) -> tuple[str, ...]:
    """Return the labels that an enum shall have: with none taken away where that is not allowed."""
    if allow_destructive or not it.removed:
        return it.after
    labels = list(it.before)
    for place, label in enumerate(it.after):
        if label not in labels:
            before = it.after[place - 1] if place else None
            labels.insert(labels.index(before) + 1 if before in labels else 0, label)
    return tuple(labels)


def is_made_anew(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether an enum can have other labels only as another type."""
    return [label for label in after if label in before] != [*before]


def _is_partly(it: d.Difference) -> bool:
    return isinstance(it, d.EnumLabelsChanged) and bool(it.added)


_KEYS = frozenset({ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE})
_WITH_INDEX = frozenset({ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE, ConstraintKind.EXCLUDE})
"""Constraints whose names are those of indexes, too, which share one space with tables."""


def _names(table: Table) -> Iterator[Name]:
    """Return the names that a table and its indexes take in its schema."""
    yield table.name
    yield from (Name(table.name.schema, each.name) for each in table.indexes)
    yield from (Name(table.name.schema, each.name) for each in table.constraints if each.kind in _WITH_INDEX)


def _new_names(it: d.Difference) -> Iterator[Name]:
    match it:
        case d.TableAdded():
            yield from _names(it.table)
        case d.IndexAdded():
            yield Name(it.table.schema, it.index.name)
        case d.ConstraintAdded() if it.constraint.kind in _WITH_INDEX:
            yield Name(it.table.schema, it.constraint.name)
        case d.IndexRenamed() | d.ConstraintRenamed():
            yield Name(it.table.schema, it.after)
