"""Differences of columns."""

from __future__ import annotations

from dataclasses import dataclass

from async_migrations.schema.difference.base import OfTable, Verb
from async_migrations.schema.names import one_line
from async_migrations.schema.rounding import rounds
from async_migrations.schema.table import Column, Computed, Identity, shown


@dataclass(frozen=True, slots=True)
class ColumnAdded(OfTable):
    """A column is missing."""

    verb = Verb.ADD
    column: Column

    def __str__(self) -> str:
        return f"column {self.table}.{shown(self.column.name)} is missing ({self.column.type})"


@dataclass(frozen=True, slots=True)
class ColumnRemoved(OfTable):
    """A column is not in the metadata."""

    verb = Verb.REMOVE
    column: Column

    @property
    def destructive(self) -> bool:
        """Its values would go, unless they can be computed again."""
        return self.column.computed is None

    def __str__(self) -> str:
        return f"column {self.table}.{shown(self.column.name)} is not in the metadata"


@dataclass(frozen=True, slots=True)
class ColumnRenamed(OfTable):
    """A column has another name, says a hint."""

    verb = Verb.RENAME
    before: str
    after: str

    def __str__(self) -> str:
        return f"column {self.table}.{shown(self.before)} is renamed to {shown(self.after)}"


@dataclass(frozen=True, slots=True)
class OfColumn(OfTable):
    """A difference inside one column, which exists on both sides."""

    column: str

    @property
    def _what(self) -> str:
        return f"column {self.table}.{shown(self.column)}"


@dataclass(frozen=True, slots=True)
class ColumnTypeChanged(OfColumn):
    """The type differs; whole columns, so that a conversion can look at default and collation too."""

    before: Column
    after: Column

    @property
    def destructive(self) -> bool:
        """Whether a conversion rounds or cuts values without an error; those of a generated column are made again."""
        return self.after.computed is None and rounds(self.before.stored, self.after.stored)

    def __str__(self) -> str:
        return f"{self._what} is {self.before.type} instead of {self.after.type}"


@dataclass(frozen=True, slots=True)
class CollationChanged(OfColumn):
    """Only the collation differs; None is that of the type."""

    before: Column
    after: Column

    def __str__(self) -> str:
        before, after = self.before.collation or "default", self.after.collation or "default"
        return f"{self._what} has the collation {before} instead of {after}"


@dataclass(frozen=True, slots=True)
class NullabilityChanged(OfColumn):
    """NOT NULL stands on one side only.

    Attributes:
        after: the column as the metadata wants it: `after.nullable` says which way.
    """

    after: Column

    def __str__(self) -> str:
        return f"{self._what} {'is NOT NULL' if self.after.nullable else 'may be NULL'}"


@dataclass(frozen=True, slots=True)
class DefaultChanged(OfColumn):
    """The default differs; None where there is none."""

    before: str | None
    after: str | None

    def __str__(self) -> str:
        before, after = one_line(self.before or "none"), one_line(self.after or "none")
        return f"{self._what} has the default {before} instead of {after}"


@dataclass(frozen=True, slots=True)
class IdentityChanged(OfColumn):
    """The identity differs, or stands on one side only."""

    before: Identity | None
    after: Identity | None

    def __str__(self) -> str:
        if self.before and self.after:
            return f"{self._what} has an identity with other options"
        return f"{self._what} is {'an' if self.before else 'no'} identity column"


@dataclass(frozen=True, slots=True)
class ComputedChanged(OfColumn):
    """The column is computed otherwise, or on one side only."""

    before: Computed | None
    after: Computed | None

    @property
    def destructive(self) -> bool:
        """Whether values go that somebody has written."""
        return self.before is None

    def __str__(self) -> str:
        before, after = _written(self.before), _written(self.after)
        return f"{self._what} is computed as {before} instead of {after}"


def _written(computed: Computed | None) -> str:
    if computed is None:
        return "nothing"
    return f"{one_line(computed.expression)} {'STORED' if computed.stored else 'VIRTUAL'}"
