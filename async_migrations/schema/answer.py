"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import MetaData

from async_migrations.schema.difference import Difference
from async_migrations.schema.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What a comparison of a live schema with the metadata found; false when they are equal.

    Attributes:
        operations: the differences in an order that can be followed; empty when there are none.
        metadata: what was wanted.
        live: the schema as it is.
        wanted: the schema that the metadata gives, read back from PostgreSQL. A table of the metadata without a
            schema of its own is in its `default_schema`.
        notes: sentences on what was left alone and how the comparison was made.
    """

    operations: tuple[Difference, ...]
    metadata: MetaData = field(repr=False)
    live: Snapshot = field(repr=False)
    wanted: Snapshot = field(repr=False)
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def destructive(self) -> tuple[Difference, ...]:
        """The differences that cannot be followed without losing something."""
        return tuple(each for each in self.operations if each.destructive)

    def __str__(self) -> str:
        if not self.operations:
            return "The database has the schema of the metadata."
        lines = [f"{each.verb.value} {each}" for each in self.operations]
        return "\n".join(lines)
