"""Which differences are followed: those that lose something, and what hangs on them, only when allowed; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from async_migrations.schema import difference as d
from async_migrations.schema.table import ConstraintKind, Name, Table


def followed(
    operations: Iterable[d.Difference], *, allow_destructive: bool
) -> tuple[tuple[d.Difference, ...], tuple[d.Difference, ...]]:
    """Return the differences that are followed, and those that are left out.

    Args:
        operations: all differences.
        allow_destructive: whether what loses something is followed.
    """
    operations = tuple(operations)
    if allow_destructive:
        return operations, ()
    lossy = [each for each in operations if each.destructive]
    kept = [each for each in operations if each not in lossy]
    in_use = _types_kept(lossy)
    waiting: list[d.Difference] = [
        each for each in kept if isinstance(each, d.EnumRemoved | d.DomainRemoved) and each.name in in_use
    ]
    # A type change that is left out leaves the rest of its column as it is, too.
    stuck = {(each.table, each.column) for each in lossy if isinstance(each, d.OfColumn)}
    waiting += [each for each in kept if isinstance(each, d.OfColumn) and (each.table, each.column) in stuck]
    taken = {name for each in lossy if isinstance(each, d.TableRemoved) for name in _names(each.table)}
    waiting += [each for each in kept if any(name in taken for name in _new_names(each))]
    out = tuple(each for each in operations if (each in lossy and not _is_partly(each)) or each in waiting)
    partly = tuple(each for each in lossy if _is_partly(each))
    return tuple(each for each in operations if each not in out), (*out, *partly)


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
        case d.IndexRenamed():
            yield Name(it.table.schema, it.after)


def _types_kept(lossy: Iterable[d.Difference]) -> set[Name | None]:
    """Return the types of the columns that stay because dropping or converting them is not allowed."""
    found: set[Name | None] = set()
    for each in lossy:
        match each:
            case d.TableRemoved():
                found |= {column.type_name for column in each.table.columns}
            case d.ColumnRemoved():
                found.add(each.column.type_name)
            case d.ColumnTypeChanged():
                found.add(each.before.type_name)
    return found - {None}
