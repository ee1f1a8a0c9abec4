"""Differences of enums, domains and sequences."""

from __future__ import annotations

from dataclasses import dataclass

from async_migrations.schema.difference.base import Difference, Verb
from async_migrations.schema.rounding import rounds
from async_migrations.schema.snapshot import Domain, EnumType, Sequence
from async_migrations.schema.table import Name, shown


@dataclass(frozen=True, slots=True)
class Named(Difference):
    """A difference of something that stands by itself, as it is called after the renames."""

    name: Name

    @property
    def group(self) -> Name:
        """The thing itself."""
        return self.name


@dataclass(frozen=True, slots=True)
class EnumAdded(Named):
    """An enum is missing."""

    verb = Verb.ADD
    enum: EnumType

    def __str__(self) -> str:
        return f"enum {self.name} is missing ({', '.join(self.enum.labels)})"


@dataclass(frozen=True, slots=True)
class EnumRemoved(Named):
    """An enum is not in the metadata, and nothing but tables of the metadata leant on it."""

    verb = Verb.REMOVE
    enum: EnumType

    def __str__(self) -> str:
        return f"enum {self.name} is not in the metadata"


@dataclass(frozen=True, slots=True)
class EnumLabelRenamed(Named):
    """A label has another name, says a hint."""

    verb = Verb.RENAME
    before: str
    after: str

    def __str__(self) -> str:
        return f"label {self.before!r} of enum {self.name} is renamed to {self.after!r}"


@dataclass(frozen=True, slots=True)
class EnumLabelsChanged(Named):
    """The labels differ, or their order; both sides in order, after all renames of labels."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        """Labels that are missing."""
        return tuple(label for label in self.after if label not in self.before)

    @property
    def removed(self) -> tuple[str, ...]:
        """Labels that are not in the metadata: rows may hold them."""
        return tuple(label for label in self.before if label not in self.after)

    @property
    def reordered(self) -> bool:
        """Whether the labels of both sides stand in another order: adding cannot make them equal."""
        kept = [label for label in self.before if label in self.after]
        return kept != [label for label in self.after if label in self.before]

    @property
    def destructive(self) -> bool:
        """A label goes; rows that hold it stand in the way."""
        return bool(self.removed)

    def __str__(self) -> str:
        return f"enum {self.name} has the labels {', '.join(self.before)} instead of {', '.join(self.after)}"


@dataclass(frozen=True, slots=True)
class DomainAdded(Named):
    """A domain is missing."""

    verb = Verb.ADD
    domain: Domain

    def __str__(self) -> str:
        return f"domain {self.name} is missing ({self.domain.type})"


@dataclass(frozen=True, slots=True)
class DomainRemoved(Named):
    """A domain is not in the metadata, and nothing but tables of the metadata leant on it."""

    verb = Verb.REMOVE
    domain: Domain

    def __str__(self) -> str:
        return f"domain {self.name} is not in the metadata"


@dataclass(frozen=True, slots=True)
class DomainChanged(Named):
    """Type, NOT NULL, default, collation or checks of a domain differ."""

    before: Domain
    after: Domain

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of its attributes differ."""
        names = ("type", "nullable", "default", "collation", "checks")
        return tuple(name for name in names if getattr(self.before, name) != getattr(self.after, name))

    @property
    def destructive(self) -> bool:
        """Whether its values are rounded or cut without an error."""
        return rounds(self.before.stored, self.after.stored)

    def __str__(self) -> str:
        return f"domain {self.name} has another {' and another '.join(self.parts)}"


@dataclass(frozen=True, slots=True)
class TypeRenamed(Named):
    """An enum or domain has another name or schema, says a hint; `name` is how it is called afterwards."""

    verb = Verb.RENAME
    before: Name
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.before} is renamed to {self.name}"


@dataclass(frozen=True, slots=True)
class SequenceAdded(Named):
    """A sequence is missing, that of a serial column included when the column is there already."""

    verb = Verb.ADD
    sequence: Sequence

    def __str__(self) -> str:
        return f"sequence {self.name} is missing"


@dataclass(frozen=True, slots=True)
class SequenceRemoved(Named):
    """A sequence is not in the metadata."""

    verb = Verb.REMOVE
    sequence: Sequence

    @property
    def destructive(self) -> bool:
        """How far it has counted is known to nobody else, unless it goes with its column's default."""
        return self.sequence.owner is None

    def __str__(self) -> str:
        return f"sequence {self.name} is not in the metadata"


@dataclass(frozen=True, slots=True)
class SequenceRenamed(Named):
    """A sequence has another name or schema; `name` is how it is called afterwards."""

    verb = Verb.RENAME
    before: Name

    def __str__(self) -> str:
        return f"sequence {self.before} is renamed to {self.name}"


@dataclass(frozen=True, slots=True)
class SequenceChanged(Named):
    """A sequence counts otherwise, or belongs to another column."""

    before: Sequence
    after: Sequence

    def __str__(self) -> str:
        if self.before.owner != self.after.owner:
            return f"sequence {self.name} belongs to {_owner(self.before)} instead of {_owner(self.after)}"
        return f"sequence {self.name} has other options"


def _owner(sequence: Sequence) -> str:
    return f"{sequence.owner[0]}.{shown(sequence.owner[1])}" if sequence.owner else "nothing"
