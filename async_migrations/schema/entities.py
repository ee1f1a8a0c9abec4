"""What a picture of a schema shows: which tables, which keys between them, in which words and colours; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from async_migrations.schema.names import Name, shown
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Table, TableKind

LONGEST_TYPE = 28
HEAD, KEY, PLAIN, LINE, FAINT = "#2d4a6b", "#eef3f8", "#ffffff", "#8a97a6", "#5b6875"


def drawn(snapshot: Snapshot, wanted: Callable[[str, Name], bool]) -> list[Table]:
    """Return the tables that are drawn, sorted: no partitions, which look like their table, no extension's."""
    return sorted(
        (
            each
            for each in snapshot.tables
            if each.extension is None and each.kind is not TableKind.PARTITION and wanted("table", each.name)
        ),
        key=lambda each: each.name,
    )


def keys(tables: Sequence[Table]) -> Iterator[tuple[Table, Constraint]]:
    """Yield the foreign keys between tables that are drawn, each with its table."""
    names = {each.name for each in tables}
    for table in tables:
        for each in table.constraints:
            if each.kind is ConstraintKind.FOREIGN_KEY and each.target in names:
                yield table, each


def may_be_nothing(table: Table, key: Constraint) -> bool:
    """Whether a row may refer to none."""
    return any(each.nullable for each in table.columns if each.name in key.columns)


def is_single(table: Table, key: Constraint) -> bool:
    """Whether a row is referred to by one row at most: its columns are a key here too."""
    unique = {ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE}
    keys = [set(each.columns) for each in table.constraints if each.kind in unique]
    keys += [{part.column or "" for part in each.keys} for each in table.indexes if each.unique and not each.where]
    return any(each and each <= set(key.columns) for each in keys)


def of_kind(table: Table, kind: ConstraintKind) -> set[str]:
    """Return the columns of a table that are in constraints of a kind."""
    return {column for each in table.constraints if each.kind is kind for column in each.columns}


def label(name: Name, snapshot: Snapshot) -> str:
    """Return a table's name; the schema is said where it is not the one that names without a schema are in."""
    return shown(name.name) if name.schema == snapshot.default_schema else str(name)


def told_type(column: Column) -> str:
    """Return a column's type, cut where it is long, with a `?` where it may be NULL."""
    told = column.type if len(column.type) <= LONGEST_TYPE else f"{column.type[: LONGEST_TYPE - 1]}…"
    return f"{told}?" if column.nullable else told
