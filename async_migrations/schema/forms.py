"""Texts that PostgreSQL prints, each with its address, and the other forms of it that mean the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from async_migrations.schema.snapshot import Domain, Snapshot
from async_migrations.schema.table import Name, Table

Address = tuple[str, Name, str]
"""What it is ("default", "type", "computed", "constraint", "index", …), of which table or domain, and which one."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Which other texts mean the same as the one that the metadata gives.

    What PostgreSQL prints is no fixed point: parsed again, `v IN ('a', 'b')` prints otherwise, and so it does after a
    dump was restored. Renames print otherwise too.

    Attributes:
        known: by address, texts that are as good as the metadata's.
    """

    known: Mapping[Address, frozenset[str]] = field(default_factory=dict)

    def same(self, address: Address, live: str | None, wanted: str | None) -> bool:
        """Whether both texts mean the same."""
        if live == wanted:
            return True
        return live is not None and wanted is not None and live in self.known.get(address, ())

    def joined(self, other: Forms) -> Forms:
        """Return what both know."""
        addresses = {**self.known, **other.known}
        none: frozenset[str] = frozenset()
        return Forms({each: self.known.get(each, none) | other.known.get(each, none) for each in addresses})


def addressed(snapshot: Snapshot) -> Iterator[tuple[Address, str]]:
    """Yield every text of a snapshot that names other things or holds an expression."""
    for table in snapshot.tables:
        yield from _of_table(table)
    for domain in snapshot.domains:
        yield from _of_domain(domain)


def _of_table(table: Table) -> Iterator[tuple[Address, str]]:
    name = table.name
    for column in table.columns:
        yield ("type", name, column.name), column.type
        if column.default is not None:
            yield ("default", name, column.name), column.default
        if column.computed is not None:
            yield ("computed", name, column.name), column.computed.expression
        if column.collation is not None:
            yield ("collation", name, column.name), column.collation
    for constraint in table.constraints:
        yield ("constraint", name, constraint.name), constraint.definition
    for index in table.indexes:
        yield ("index", name, index.name), index.body
    if table.partition_key is not None:
        yield ("partition key", name, ""), table.partition_key
    if table.partition_bound is not None:
        yield ("partition bound", name, ""), table.partition_bound


def _of_domain(domain: Domain) -> Iterator[tuple[Address, str]]:
    yield ("domain", domain.name, ""), domain.type
    if domain.default is not None:
        yield ("domain default", domain.name, ""), domain.default
    for check in domain.checks:
        yield ("domain check", domain.name, check.name), check.definition
