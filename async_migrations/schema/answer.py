"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import MetaData

from async_migrations.schema.difference import Difference
from async_migrations.schema.snapshot import Snapshot

if TYPE_CHECKING:
    from async_migrations.schema.generate.written import WrittenMigrations


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
        scratch: the place in which the metadata was created, looked at and rolled back.
    """

    operations: tuple[Difference, ...]
    metadata: MetaData = field(repr=False)
    live: Snapshot = field(repr=False)
    wanted: Snapshot = field(repr=False)
    notes: tuple[str, ...] = ()
    scratch: str = ""

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def destructive(self) -> tuple[Difference, ...]:
        """The differences that cannot be followed without losing something."""
        return tuple(each for each in self.operations if each.destructive)

    def write_migrations(
        self, directory: str | Path, slug: str, *, allow_destructive: bool = False
    ) -> WrittenMigrations:
        """Write migrations that follow the differences, in one file or several where one transaction cannot do it.

        Indexes and keys of tables that exist are built beside running writes, in a file that is not transactional;
        rows are looked at beside running writes; what loses something stands in a file of its own, the last.

        Args:
            directory: the folder; made if it is missing.
            slug: what they do, in a few words, for their names.
            allow_destructive: whether differences are followed by which something is lost that cannot be made
                again: dropped tables, columns, labels and free sequences, conversions that round. Otherwise they
                are left out, and listed.

        Returns:
            The files, in order; `left_out` has the differences that they do not follow.

        Raises:
            ConfigurationError: nothing of the slug can be in a name, or it is too long.
            MigrationsError: a file cannot be written; none is left.
        """
        from async_migrations.schema.generate.written import write

        return write(self, Path(directory), slug, allow_destructive=allow_destructive)

    def __str__(self) -> str:
        if not self.operations:
            return "The database has the schema of the metadata."
        lines = [f"{each.verb.value} {each}" for each in self.operations]
        return "\n".join(lines)
