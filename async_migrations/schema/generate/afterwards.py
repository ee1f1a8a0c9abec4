"""The live schema as it is called when all renames are done, which is how differences name things; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, Index, Name, Table


@dataclass(frozen=True, slots=True)
class _Names:
    """What things are called: schemas by their old names, all else by its old name in a schema's new one."""

    schemas: Mapping[str, str]
    things: Mapping[tuple[type[Any], Name], Name]
    parts: Mapping[tuple[type[Any], Name, str], str]

    def of(self, kind: type[Any], name: Name) -> Name:
        placed = Name(self.schemas.get(name.schema, name.schema), name.name)
        return self.things.get((kind, placed), placed)

    def within(self, kind: type[Any], table: Name, name: str) -> str:
        return self.parts.get((kind, table, name), name)


def afterwards(live: Snapshot, operations: Iterable[d.Difference]) -> Snapshot:
    """Return tables and types under their new names; what PostgreSQL printed stays as it is.

    Args:
        live: the schema as it is.
        operations: the differences, of which the renames count.
    """
    names = _names(operations)
    return replace(
        live,
        tables=tuple(_table(each, names) for each in live.tables),
        enums=tuple(replace(each, name=names.of(d.TypeRenamed, each.name)) for each in live.enums),
        domains=tuple(replace(each, name=names.of(d.TypeRenamed, each.name)) for each in live.domains),
    )


def _names(operations: Iterable[d.Difference]) -> _Names:
    schemas: dict[str, str] = {}
    things: dict[tuple[type[Any], Name], Name] = {}
    parts: dict[tuple[type[Any], Name, str], str] = {}
    for it in operations:
        match it:
            case d.SchemaRenamed():
                schemas[it.before] = it.after
            case d.TableRenamed():
                things[type(it), it.before] = it.after
            case d.TypeRenamed() | d.SequenceRenamed():
                things[type(it), it.before] = it.name
            case d.ColumnRenamed() | d.ConstraintRenamed() | d.IndexRenamed():
                parts[type(it), it.table, it.before] = it.after
    return _Names(schemas, things, parts)


def _table(table: Table, names: _Names) -> Table:
    name = names.of(d.TableRenamed, table.name)
    return replace(
        table,
        name=name,
        columns=tuple(_column(each, name, names) for each in table.columns),
        constraints=tuple(_constraint(each, name, names) for each in table.constraints),
        indexes=tuple(_index(each, name, names) for each in table.indexes),
        parents=tuple(names.of(d.TableRenamed, each) for each in table.parents),
    )


def _column(column: Column, table: Name, names: _Names) -> Column:
    return replace(
        column,
        name=names.within(d.ColumnRenamed, table, column.name),
        type_name=names.of(d.TypeRenamed, column.type_name) if column.type_name else None,
        sequence=names.of(d.SequenceRenamed, column.sequence) if column.sequence else None,
    )


def _constraint(constraint: Constraint, table: Name, names: _Names) -> Constraint:
    target = names.of(d.TableRenamed, constraint.target) if constraint.target else None
    there = () if target is None else constraint.target_columns
    return replace(
        constraint,
        name=names.within(d.ConstraintRenamed, table, constraint.name),
        columns=tuple(names.within(d.ColumnRenamed, table, each) for each in constraint.columns),
        target=target,
        target_columns=tuple(names.within(d.ColumnRenamed, target, each) for each in there if target),
    )


def _index(index: Index, table: Name, names: _Names) -> Index:
    def column(name: str) -> str:
        return names.within(d.ColumnRenamed, table, name)

    return replace(
        index,
        name=names.within(d.IndexRenamed, table, index.name),
        keys=tuple(replace(key, column=column(key.column)) if key.column else key for key in index.keys),
        include=tuple(map(column, index.include)),
    )
