"""One picture of a schema, as plain values that can be compared and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from async_migrations.schema.table import Name, SequenceOptions, Table


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum.

    Attributes:
        name: its name.
        labels: in their order.
        extension: the extension that it belongs to.
        held: what else leans on it that is not compared, such as a function or a view.
    """

    name: Name
    labels: tuple[str, ...]
    extension: str | None = None
    held: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """A CHECK of a domain, as `pg_get_constraintdef` prints it."""

    name: str
    definition: str
    validated: bool = True
    implicit: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain.

    Attributes:
        name: its name.
        type: what it is made of, as `format_type` prints it.
        nullable: no NOT NULL.
        default: as PostgreSQL prints it.
        collation: where it is not that of the type, as SQL.
        checks: by name.
        extension: the extension that it belongs to.
        held: what else leans on it that is not compared.
        base: of a domain over another, the type that is under them in the end.
    """

    name: Name
    type: str
    nullable: bool = True
    default: str | None = None
    collation: str | None = None
    checks: tuple[DomainCheck, ...] = ()
    extension: str | None = None
    held: tuple[str, ...] = field(default=(), compare=False)
    base: str | None = field(default=None, compare=False)

    @property
    def stored(self) -> str:
        """What the values are, whatever other domain they are of."""
        return self.base or self.type


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence; that of an identity column is in `Column.identity` only.

    Attributes:
        name: its name.
        options: how it counts.
        owner: table and column that it goes with (OWNED BY, `serial`).
        unlogged: UNLOGGED.
        extension: the extension that it belongs to.
        held: what else leans on it that is not compared.
    """

    name: Name
    options: SequenceOptions
    owner: tuple[Name, str] | None = None
    unlogged: bool = False
    extension: str | None = None
    held: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Extension:
    """An installed extension; for people, never compared."""

    name: str
    schema: str
    version: str


@dataclass(frozen=True, slots=True)
class Other:
    """Something that is seen and never compared: a view, a function, a type that is no enum or domain."""

    kind: str
    name: Name
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One picture of a schema, everything sorted by name.

    Attributes:
        version: the server's, such as 180001.
        default_schema: where unqualified names are created; None if the search path names none that exists.
        schemas: all there are, PostgreSQL's own aside.
        tables: tables of every kind.
        enums: enum types.
        domains: domains.
        sequences: sequences of their own and of serial columns.
        extensions: what is installed.
        others: what is seen and never compared.
    """

    version: int
    default_schema: str | None
    schemas: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    enums: tuple[EnumType, ...] = ()
    domains: tuple[Domain, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    extensions: tuple[Extension, ...] = ()
    others: tuple[Other, ...] = ()

    def table(self, name: Name) -> Table | None:
        """Return one table; for many, make `by_name(snapshot.tables)` once."""
        return next((each for each in self.tables if each.name == name), None)


def by_name(things: tuple[Table, ...]) -> Mapping[Name, Table]:
    """Return tables by their names."""
    return {each.name: each for each in things}
