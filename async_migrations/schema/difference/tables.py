"""Differences of schemas and of whole tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from async_migrations.schema.difference.base import Difference, OfTable, Verb
from async_migrations.schema.table import Name, Table, shown


@dataclass(frozen=True, slots=True)
class SchemaAdded(Difference):
    """The metadata has tables in a schema that does not exist."""

    verb = Verb.ADD
    schema: str

    @property
    def group(self) -> str:
        """The schema."""
        return self.schema

    def __str__(self) -> str:
        return f"schema {shown(self.schema)} is missing"


@dataclass(frozen=True, slots=True)
class SchemaRenamed(Difference):
    """A schema has another name, says a hint."""

    verb = Verb.RENAME
    before: str
    after: str

    @property
    def group(self) -> str:
        """The schema."""
        return self.after

    def __str__(self) -> str:
        return f"schema {shown(self.before)} is renamed to {shown(self.after)}"


@dataclass(frozen=True, slots=True)
class TableAdded(Difference):
    """A table is missing, with all its columns, constraints and indexes."""

    verb = Verb.ADD
    table: Table

    @property
    def group(self) -> Name:
        """The table."""
        return self.table.name

    def __str__(self) -> str:
        return f"{self.table.kind.value} {self.table.name} is missing ({len(self.table.columns)} columns)"


@dataclass(frozen=True, slots=True)
class TableRemoved(Difference):
    """A table is not in the metadata."""

    verb = Verb.REMOVE
    table: Table

    @property
    def destructive(self) -> bool:
        """Its rows would go."""
        return True

    @property
    def group(self) -> Name:
        """The table."""
        return self.table.name

    def __str__(self) -> str:
        return f"{self.table.kind.value} {self.table.name} is not in the metadata"


@dataclass(frozen=True, slots=True)
class TableRenamed(Difference):
    """A table has another name or schema, says a hint."""

    verb = Verb.RENAME
    before: Name
    after: Name

    @property
    def group(self) -> Name:
        """The table, as it is called afterwards."""
        return self.after

    def __str__(self) -> str:
        return f"table {self.before} is renamed to {self.after}"


@dataclass(frozen=True, slots=True)
class TableOptionsChanged(OfTable):
    """Storage parameters differ; both sides as sorted `name=value`."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        return f"table {self.table} has the options {_listed(self.before)} instead of {_listed(self.after)}"


@dataclass(frozen=True, slots=True)
class TablespaceChanged(OfTable):
    """The table lies in another tablespace; None is the database's own."""

    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"table {self.table} lies in tablespace {self.before or 'default'} instead of {self.after or 'default'}"


@dataclass(frozen=True, slots=True)
class AccessMethodChanged(OfTable):
    """The table has another access method."""

    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"table {self.table} uses {self.before} instead of {self.after}"


@dataclass(frozen=True, slots=True)
class PersistenceChanged(OfTable):
    """The table is UNLOGGED on one side only."""

    before: bool
    after: bool

    def __str__(self) -> str:
        return f"table {self.table} is {'unlogged' if self.before else 'logged'}"


@dataclass(frozen=True, slots=True)
class ParentsChanged(OfTable):
    """The table inherits from other tables."""

    before: tuple[Name, ...]
    after: tuple[Name, ...]

    def __str__(self) -> str:
        before, after = _listed(map(str, self.before)), _listed(map(str, self.after))
        return f"table {self.table} inherits from {before} instead of {after}"


@dataclass(frozen=True, slots=True)
class PartitioningChanged(OfTable):
    """The table is partitioned by something else, or on one side only; it has to be made anew.

    Attributes:
        before: the partition key, or None for a table that is not partitioned.
        after: the same.
    """

    before: str | None
    after: str | None

    @property
    def destructive(self) -> bool:
        """A new table has to take its place."""
        return True

    def __str__(self) -> str:
        return f"table {self.table} is partitioned by {self.before or 'nothing'} instead of {self.after or 'nothing'}"


@dataclass(frozen=True, slots=True)
class PartitionBoundChanged(OfTable):
    """The partition holds other rows."""

    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"partition {self.table} is {self.before or 'none'} instead of {self.after or 'none'}"


@dataclass(frozen=True, slots=True)
class CommentChanged(OfTable):
    """A comment differs: of the table, of `column` or of `constraint`."""

    before: str | None
    after: str | None
    column: str | None = None
    constraint: str | None = None

    def __str__(self) -> str:
        what = f"table {self.table}"
        if self.column is not None:
            what = f"column {self.table}.{shown(self.column)}"
        if self.constraint is not None:
            what = f"constraint {shown(self.constraint)} of {self.table}"
        return f"{what} has the comment {self.before!r} instead of {self.after!r}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
