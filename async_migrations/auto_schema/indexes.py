"""Missing indexes, and those that have the right name and are another index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Index, Table
from sqlalchemy.engine.interfaces import ReflectedIndex
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
            if sentence := conflict(target, snapshot, wanted):
                target.warn(sentence)
            elif wanted.name not in snapshot.relations:
                _warn_of_large(target, snapshot, wanted)
                _build(target, wanted)
                created.append(wanted.name.name)
    return created


def conflict(target: Target, snapshot: Snapshot, wanted: WantedIndex) -> str | None:
    """Say why the name of an index stands for something else in the database; None if it is free or right."""
    taken = snapshot.relations.get(wanted.name)
    if taken is None:
        return None
    if taken.indexed is None:
        kind = KINDS.get(taken.kind, "something else")
        return f"The index {wanted} was not created: {wanted.name.name} is {kind}. Rename it in the models."
    if taken.indexed != wanted.table.name:
        return (
            f"The index {wanted} was not created: {taken.indexed} has an index of this name, and PostgreSQL takes a "
            "name once in a schema. Rename it in the models."
        )
    if not taken.valid:
        return (
            f"The index {wanted} is INVALID, left by a concurrent build that died, and no query uses it. Build it "
            "again with self.op.create_index in a migration with transactional = False."
        )
    return _other_definition(snapshot.tables[target.name_of(wanted.table)].indexes, wanted)


def _other_definition(live: Sequence[ReflectedIndex], wanted: WantedIndex) -> str | None:
    for reflected in live:
        if reflected["name"] == wanted.name.name and (what := ", ".join(differences(wanted.index, reflected))):
            return (
                f"The index {wanted} is in the database ({what}) and otherwise in the models: left as it is. "
                "Drop it and create it again in a migration of its own, with self.op."
            )
    return None


def differences(index: Index, live: ReflectedIndex) -> Iterator[str]:
    """Say what an index of the database surely has that the one of the models has not.

    Expressions and conditions are not compared: PostgreSQL writes them its own way.
    """
    wanted = index.dialect_options["postgresql"]
    found: dict[str, Any] = dict(live.get("dialect_options", {}))
    if bool(index.unique) != live["unique"]:
        yield "unique" if live["unique"] else "not unique"
    if not _same_columns(index, live["column_names"]):
        yield f"on ({', '.join(name or 'an expression' for name in live['column_names'])})"
    if (wanted["using"] or "btree").lower() != (using := found.get("postgresql_using", "btree")):
        yield f"USING {using}"
    if {_column_name(column) for column in wanted["include"] or ()} != {*found.get("postgresql_include", ())}:
        yield f"INCLUDE ({', '.join(found.get('postgresql_include', ()))})"
    if (wanted["where"] is None) != ("postgresql_where" not in found):
        yield f"WHERE {found['postgresql_where']}" if wanted["where"] is None else "without a condition"


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


def _same_columns(index: Index, live: Sequence[str | None]) -> bool:
    wanted = [expression.name if isinstance(expression, Column) else None for expression in index.expressions]
    if len(wanted) != len(live):
        return False
    return all(ours in {theirs, None} or theirs is None for ours, theirs in zip(wanted, live, strict=True))


def _column_name(column: Column[Any] | str) -> str:
    return column if isinstance(column, str) else column.name


def _warn_of_large(target: Target, snapshot: Snapshot, wanted: WantedIndex) -> None:
    relation = snapshot.relations.get(target.name_of(wanted.table))
    if relation is not None and relation.rows > LARGE:
        target.warn(
            f"{wanted.table.fullname} has about {relation.rows:,.0f} rows, and nobody can write to it while the index "
            f"{wanted.name.name} is built. To build it without that wait, put self.op.create_index into a migration "
            "with transactional = False that runs before this one."
        )
