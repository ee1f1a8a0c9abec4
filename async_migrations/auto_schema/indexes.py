"""Missing indexes, and those whose name is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Index, Table
from sqlalchemy.sql.ddl import SchemaGenerator

from async_migrations import ddl
from async_migrations.auto_schema.snapshot import KINDS, Snapshot
from async_migrations.auto_schema.target import Name, Target

LARGE = 100_000
"""Rows from which on a build that blocks writes is worth a warning."""


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index of the models, its table and its name in the database."""

    index: Index
    table: Table
    name: Name

    def __str__(self) -> str:
        return f"{self.name.name} on {self.table.fullname}"


def create(target: Target, snapshot: Snapshot, tables: Sequence[Table]) -> list[str]:
    """Create the indexes that `tables` lack, by name, in the order of their names.

    Returns:
        Their names.
    """
    created = []
    for table in tables:
        for wanted in _wanted(target, table):
            if sentence := conflict(snapshot, wanted):
                target.refuse(wanted.name, sentence)
            elif wanted.name not in snapshot.relations:
                _warn_of_large(target, snapshot, wanted)
                _build(target, wanted)
                created.append(wanted.name.name)
    return created


def conflict(snapshot: Snapshot, wanted: WantedIndex) -> str | None:
    """Say what has the name of an index and is none of its table; None if it is free or such an index."""
    taken = snapshot.relations.get(wanted.name)
    if taken is None or taken.indexed == wanted.table.name:
        return None
    if taken.indexed is None:
        kind = KINDS.get(taken.kind, "something else")
        return f"The index {wanted} was not created: {wanted.name.name} is {kind}. Rename it in the models."
    return (
        f"The index {wanted} was not created: {taken.indexed} has an index of this name, and PostgreSQL takes a "
        "name once in a schema. Rename it in the models."
    )


def _wanted(target: Target, table: Table) -> list[WantedIndex]:
    schema = target.name_of(table).schema
    found = [
        WantedIndex(index, table, Name(schema, ddl.plain_name(target.dialect, index) or ""))
        for index in table.indexes
        if ddl.index_applies(target.connection, index)
    ]
    return sorted(found, key=lambda wanted: wanted.name)


def _build(target: Target, wanted: WantedIndex) -> None:
    with target.step(f"Creating index {wanted}", f"Created index: {wanted.name.name}"):
        _Builder(target.dialect, target.connection).visit_index(wanted.index)  # type: ignore[no-untyped-call]  # SQLAlchemy's


class _Builder(SchemaGenerator):
    """CREATE INDEX with its events."""

    def visit_index(self, index: Index, create_ok: bool = True) -> None:  # noqa: FBT001, FBT002, ARG002 - SQLAlchemy's
        with self.with_ddl_events(index):
            self.connection.execute(ddl.CreateIndexHere(index))


def _warn_of_large(target: Target, snapshot: Snapshot, wanted: WantedIndex) -> None:
    relation = snapshot.relations.get(target.name_of(wanted.table))
    if relation is not None and relation.rows > LARGE:
        target.warn(
            f"{wanted.table.fullname} has about {relation.rows:,.0f} rows, and nobody can write to it while the index "
            f"{wanted.name.name} is built. To build it without that wait, put self.op.create_index into a migration "
            "with transactional = False that runs before this one."
        )
