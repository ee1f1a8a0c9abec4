"""Renames that are probable: for a question to people, never followed by themselves; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

from async_migrations.schema import difference as d
from async_migrations.schema.hints import Rename
from async_migrations.schema.names import Name, shown
from async_migrations.schema.table import Column, Table

T = TypeVar("T")
U = TypeVar("U")
ALIKE = 0.6
"""The part of two tables' columns that must be the same."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One probable rename.

    Attributes:
        rename: the hint to give if it is one.
        likeness: from 0 to 1.
    """

    rename: Rename
    likeness: float

    def __str__(self) -> str:
        kind, old, new = self.rename
        return f"{kind.replace('_', ' ')} {old} may be {new} now"


def suggestions(operations: Iterable[d.Difference]) -> tuple[Suggestion, ...]:
    """Pair what is gone with what is new and looks the same: tables first, the likeliest first of each kind.

    Columns of a renamed table are seen only when the table's own hint is given: ask again then.

    Args:
        operations: what a comparison found.
    """
    found = tuple(operations)
    return (*_tables(found), *_types(found), *_columns(found), *_labels(found))


def _tables(operations: tuple[d.Difference, ...]) -> Iterator[Suggestion]:
    gone = [each.table for each in operations if isinstance(each, d.TableRemoved)]
    new = [each.table for each in operations if isinstance(each, d.TableAdded)]
    for old, wanted, likeness in _pairs(gone, new, _alike_tables):
        yield Suggestion(("table", str(old.name), _moved(old.name, wanted.name)), likeness)


def _alike_tables(old: Table, new: Table) -> float:
    here, there = ({(each.name, each.type) for each in table.columns} for table in (old, new))
    same = len(here & there) / max(len(here | there), 1)
    if same < ALIKE:
        return 0.0
    return same * 0.9 + _alike(old.name.name, new.name.name) * 0.1


def _types(operations: tuple[d.Difference, ...]) -> Iterator[Suggestion]:
    gone = [each.enum for each in operations if isinstance(each, d.EnumRemoved)]
    new = [each.enum for each in operations if isinstance(each, d.EnumAdded)]
    same: Callable[..., float] = lambda old, wanted: float(set(old.labels) == set(wanted.labels))  # noqa: E731
    for old, wanted, likeness in _pairs(gone, new, same):
        yield Suggestion(("type", str(old.name), _moved(old.name, wanted.name)), likeness)


def _columns(operations: tuple[d.Difference, ...]) -> Iterator[Suggestion]:
    tables = dict.fromkeys(each.table for each in operations if isinstance(each, d.ColumnRemoved))
    for table in tables:
        gone = [each.column for each in operations if isinstance(each, d.ColumnRemoved) and each.table == table]
        new = [each.column for each in operations if isinstance(each, d.ColumnAdded) and each.table == table]
        for old, wanted, likeness in _pairs(gone, new, _alike_columns):
            yield Suggestion(("column", f"{table}.{shown(old.name)}", shown(wanted.name)), likeness)


def _alike_columns(old: Column, new: Column) -> float:
    if old.type != new.type or (old.computed is None) != (new.computed is None):
        return 0.0
    same = (old.nullable == new.nullable, old.default == new.default, old.comment == new.comment)
    return 0.3 + 0.1 * sum(same) + 0.4 * _alike(old.name, new.name)


def _labels(operations: tuple[d.Difference, ...]) -> Iterator[Suggestion]:
    for each in operations:
        if isinstance(each, d.EnumLabelsChanged):
            for old, new, likeness in _pairs(each.removed, each.added, _alike_labels(each)):
                yield Suggestion(("enum_value", f"{each.name}.{shown(old)}", shown(new)), likeness)


def _alike_labels(change: d.EnumLabelsChanged) -> Callable[[str, str], float]:
    def alike(old: str, new: str) -> float:
        same_place = change.before.index(old) == change.after.index(new)
        return 0.5 * same_place + 0.5 * _alike(old, new)

    return alike


def _pairs(gone: Iterable[T], new: Iterable[U], alike: Callable[[T, U], float]) -> Iterator[tuple[T, U, float]]:
    """Pair each with one other at most, the likeliest first."""
    old, wanted = list(gone), list(new)
    scores = [(alike(a, b), i, j) for i, a in enumerate(old) for j, b in enumerate(wanted)]
    taken: set[tuple[str, int]] = set()
    for likeness, i, j in sorted(scores, key=lambda each: (-each[0], each[1], each[2])):
        if likeness > 0 and not taken & {("old", i), ("new", j)}:
            taken |= {("old", i), ("new", j)}
            yield old[i], wanted[j], likeness


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _moved(old: Name, new: Name) -> str:
    return shown(new.name) if old.schema == new.schema else str(new)
