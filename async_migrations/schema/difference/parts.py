"""Differences of constraints and indexes."""

from __future__ import annotations

from dataclasses import dataclass

from async_migrations.schema.difference.base import OfTable, Verb
from async_migrations.schema.names import one_line
from async_migrations.schema.table import Constraint, Index, shown


@dataclass(frozen=True, slots=True)
class ConstraintAdded(OfTable):
    """A constraint is missing."""

    verb = Verb.ADD
    constraint: Constraint

    def __str__(self) -> str:
        constraint, definition = self.constraint, one_line(self.constraint.definition)
        return f"{constraint.kind.value} {shown(constraint.name)} of {self.table} is missing: {definition}"


@dataclass(frozen=True, slots=True)
class ConstraintRemoved(OfTable):
    """A constraint is not in the metadata."""

    verb = Verb.REMOVE
    constraint: Constraint

    def __str__(self) -> str:
        constraint = self.constraint
        name, kind = shown(constraint.name), constraint.kind.value
        return f"{kind} {name} of {self.table} is not in the metadata: {one_line(constraint.definition)}"


@dataclass(frozen=True, slots=True)
class ConstraintChanged(OfTable):
    """A constraint of the same name says something else; it has to be dropped and made anew."""

    before: Constraint
    after: Constraint

    def __str__(self) -> str:
        before, after = self.before, self.after
        name = f"{after.kind.value} {shown(after.name)} of {self.table}"
        return f"{name} is {one_line(before.definition)} instead of {one_line(after.definition)}"


@dataclass(frozen=True, slots=True)
class ConstraintRenamed(OfTable):
    """A constraint that says the same has another name."""

    verb = Verb.RENAME
    before: str
    after: str

    def __str__(self) -> str:
        return f"constraint {shown(self.before)} of {self.table} is renamed to {shown(self.after)}"


@dataclass(frozen=True, slots=True)
class ConstraintUnvalidated(OfTable):
    """A constraint is still NOT VALID: nobody has looked at the rows that were there before it."""

    constraint: Constraint

    def __str__(self) -> str:
        return f"{self.constraint.kind.value} {shown(self.constraint.name)} of {self.table} is NOT VALID"


@dataclass(frozen=True, slots=True)
class DeferrabilityChanged(OfTable):
    """Only DEFERRABLE or INITIALLY DEFERRED differs, of a foreign key: it can be altered in place."""

    before: Constraint
    after: Constraint

    def __str__(self) -> str:
        before, after = _deferral(self.before), _deferral(self.after)
        return f"{self.after.kind.value} {shown(self.after.name)} of {self.table} is {before} instead of {after}"


@dataclass(frozen=True, slots=True)
class IndexAdded(OfTable):
    """An index is missing."""

    verb = Verb.ADD
    index: Index

    def __str__(self) -> str:
        return f"{_kind(self.index)} {shown(self.index.name)} of {self.table} is missing: {one_line(self.index.body)}"


@dataclass(frozen=True, slots=True)
class IndexRemoved(OfTable):
    """An index is not in the metadata."""

    verb = Verb.REMOVE
    index: Index

    def __str__(self) -> str:
        name, body = shown(self.index.name), one_line(self.index.body)
        return f"{_kind(self.index)} {name} of {self.table} is not in the metadata: {body}"


@dataclass(frozen=True, slots=True)
class IndexChanged(OfTable):
    """An index of the same name is another one, or INVALID; it has to be built anew."""

    before: Index
    after: Index

    def __str__(self) -> str:
        name = f"{shown(self.after.name)} of {self.table}"
        if not self.before.valid:
            return f"{_kind(self.after)} {name} is INVALID: its build did not end"
        before, after = one_line(self.before.body), one_line(self.after.body)
        return f"{_kind(self.before)} {name} is {before} instead of {_kind(self.after)} {after}"


@dataclass(frozen=True, slots=True)
class IndexRenamed(OfTable):
    """An index that is otherwise the same has another name."""

    verb = Verb.RENAME
    before: str
    after: str

    def __str__(self) -> str:
        return f"index {shown(self.before)} of {self.table} is renamed to {shown(self.after)}"


def _kind(index: Index) -> str:
    return "unique index" if index.unique else "index"


def _deferral(constraint: Constraint) -> str:
    if not constraint.deferrable:
        return "NOT DEFERRABLE"
    return "DEFERRABLE INITIALLY DEFERRED" if constraint.deferred else "DEFERRABLE"
