"""A step of a migration: in which file it stands, where there, what it does and what takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from async_migrations.schema.generate.source import Group, call


class Stage(IntEnum):
    """Which file: they run in this order."""

    LABELS = 0
    """Enum labels that the next file uses, which PostgreSQL allows only after their commit."""
    MAIN = 1
    """All that one transaction can do without keeping others waiting for long."""
    CONCURRENT = 2
    """Indexes and keys of tables that exist, built beside running writes; not transactional."""
    VALIDATE = 3
    """Rows looked at beside running writes; not transactional."""
    DROP = 4
    """What loses something, last and apart, so that it can be read, held back and run by itself."""

    @property
    def transactional(self) -> bool:
        """Whether the file runs in a transaction."""
        return self not in {Stage.CONCURRENT, Stage.VALIDATE}


class Phase(IntEnum):
    """Where in its file."""

    PLACES = -1
    RENAME = 0
    RELEASE_KEYS = 10
    RELEASE = 11
    RELEASE_INDEXES = 12
    RELEASE_DEFAULTS = 13
    MAKE_ROOM = 15
    SCHEMAS = 20
    ENUMS = 21
    DOMAINS = 22
    SEQUENCES = 23
    CONVERT = 30
    TABLES = 40
    TABLE_INDEXES = 41
    TABLE_KEYS = 42
    STORAGE = 50
    COLUMNS = 60
    PARENTS = 62
    OWNERS = 65
    COMPUTED = 70
    TYPES = 71
    GENERATED = 72
    IDENTITIES = 73
    DEFAULTS = 74
    NULLABLE = 75
    FREED = 76
    INDEXES = 78
    KEYS = 80
    CHECKS = 81
    REFERENCES = 82
    SWAPS = 83
    VALIDATION = 84
    DEFERRAL = 85
    COMMENTS = 90
    DROP_COLUMNS = 92
    DROP_TABLES = 93
    DROP_SEQUENCES = 94
    DROP_DOMAINS = 95
    DROP_ENUMS = 96


UNKNOWN = None
"""What takes a step back cannot be known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        stage: its file.
        phase: its place in there.
        up: awaited calls that do it.
        down: awaited calls that take it back; None if that cannot be known.
        reason: why not.
        remarks: comments above it, for who reads the file.
        told: the texts in `down` that the server printed, under the names of before all renames.
    """

    stage: Stage
    phase: Phase
    up: tuple[Group, ...]
    down: tuple[Group, ...] | None = ()
    reason: str = ""
    remarks: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def op(operation: str, *arguments: Any, **keywords: Any) -> Group:
    """Return the awaited call of an operation; keywords that are None are left out."""
    given = {name: value for name, value in keywords.items() if value is not None}
    return call(f"await self.op.{operation}", *arguments, **given)
