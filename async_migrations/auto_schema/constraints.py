"""Constraints that come with an added column."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
)
from sqlalchemy.engine.interfaces import ReflectedForeignKeyConstraint
from sqlalchemy.schema import ColumnCollectionConstraint, SetConstraintComment

from async_migrations import ddl
from async_migrations.auto_schema.snapshot import LiveTable, Snapshot
from async_migrations.auto_schema.target import Name, Target

Added = Mapping[Table, Sequence[Column[Any]]]

# Literals first, so that a word inside one is no name; nor is a type's behind :: or AS, or before a literal. A name
# before a parenthesis is a function's.
_NAME = re.compile(
    r"[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r'|(?:::|\b[aA][sS]\b)\s*(?:"(?:[^"]|"")+"|[^\W\d][\w$]*+)'
    r'|"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^\W\d][\w$]*+)(?!\s*[(\'])',
    re.DOTALL,
)


def add_own(target: Target, snapshot: Snapshot, added: Added) -> None:
    """Add the primary key, UNIQUE, CHECK and EXCLUDE constraints of added columns."""
    for table, columns in added.items():
        for constraint in concerning(target.dialect, table, columns):
            if not isinstance(constraint, ForeignKeyConstraint):
                _add(target, snapshot, table, constraint)


def add_foreign_keys(target: Target, snapshot: Snapshot, keys: Iterable[ForeignKeyConstraint]) -> None:
    """Add foreign keys; what they refer to must stand by now."""
    for key in keys:
        _add(target, snapshot, key.table, key)


def add_waiting(target: Target, snapshot: Snapshot) -> None:
    """Add the foreign keys whose turn has come, and keep the others.

    Args:
        target: its `waiting` are looked at.
        snapshot: as things stand now.
    """
    ready = [key for key in target.waiting if not waits(target, snapshot, key)]
    add_foreign_keys(target, snapshot, ready)
    target.waiting[:] = [key for key in target.waiting if key not in ready]
    for key in target.waiting:
        columns = ", ".join(_own_columns(key))
        target.info(f"The foreign key ({columns}) of {key.table.fullname} waits for {key.referred_table.fullname}")


def forget_undone(target: Target, snapshot: Snapshot) -> None:
    """Let go of waiting foreign keys whose own columns are not there: whoever called has rolled them back."""
    target.waiting[:] = [
        key
        for key in target.waiting
        if (live := snapshot.tables.get(target.name_of(key.table))) and live.columns.issuperset(_own_columns(key))
    ]


def waits(target: Target, snapshot: Snapshot, key: ForeignKeyConstraint, coming: Collection[Table] = ()) -> bool:
    """Whether what `key` refers to is still to come: a table, a column of it, or the columns' unique index.

    Args:
        target: where.
        snapshot: what is there.
        key: of the models.
        coming: tables that will stand when it is added.
    """
    table = key.referred_table
    name = target.name_of(table)
    if table in coming or table not in target.tables or (name not in snapshot.tables and name in snapshot.relations):
        return False
    columns = {element.column.name for element in key.elements}
    return (
        name not in snapshot.tables
        or not columns <= snapshot.tables[name].columns
        or any(
            index.unique
            and columns == {column.name for column in index.columns}
            and Name(name.schema, ddl.plain_name(target.dialect, index) or "") not in snapshot.relations
            for index in table.indexes
        )
    )


def foreign_keys(target: Target, added: Added) -> list[ForeignKeyConstraint]:
    """Return the foreign keys of added columns."""
    return [
        constraint
        for table, columns in added.items()
        for constraint in concerning(target.dialect, table, columns)
        if isinstance(constraint, ForeignKeyConstraint)
    ]


def concerning(dialect: Dialect, table: Table, columns: Iterable[Column[Any]]) -> list[Constraint]:
    """Return the constraints of `table` in which at least one of `columns` takes part, in a lasting order."""
    names = {column.name for column in columns}
    found = [
        constraint
        for constraint in table.constraints
        if ddl.applies(dialect, constraint) and names.intersection(column_names(dialect, constraint))
    ]
    return sorted(found, key=lambda constraint: _position(dialect, constraint))


def column_names(dialect: Dialect, constraint: Constraint) -> Iterator[str]:
    """Return the names of the columns of a constraint; of SQL text, those that it may mention."""
    if isinstance(constraint, ColumnCollectionConstraint):
        yield from (column.name for column in constraint.columns)
    for included in constraint.dialect_options["postgresql"].get("include") or ():
        yield included if isinstance(included, str) else included.name
    yield from names_in(ddl.conditions(dialect, constraint))


def same_key(constraint: ForeignKeyConstraint, live: ReflectedForeignKeyConstraint) -> bool:
    """Whether a foreign key of the database links the same columns as the one of the models."""
    wanted = {(element.parent.name, element.column.name) for element in constraint.elements}
    found = set(zip(live["constrained_columns"], live["referred_columns"], strict=True))
    return wanted == found and constraint.referred_table.name == live["referred_table"]


def names_in(expression: str) -> Iterator[str]:
    """Return what may be names of columns in an SQL expression."""
    for match in _NAME.finditer(expression):
        if quoted := match["quoted"]:
            yield quoted.replace('""', '"')
        elif plain := match["plain"]:
            yield plain.lower()


def _position(dialect: Dialect, constraint: Constraint) -> tuple[bool, str, list[str]]:
    names = sorted(column_names(dialect, constraint))
    return not isinstance(constraint, PrimaryKeyConstraint), ddl.plain_name(dialect, constraint) or "", names


def _own_columns(key: ForeignKeyConstraint) -> list[str]:
    return [element.parent.name for element in key.elements]


def is_taken(dialect: Dialect, live: LiveTable, constraint: Constraint) -> bool:
    """Whether the table has a constraint of this name, or another primary key."""
    is_primary = isinstance(constraint, PrimaryKeyConstraint)
    return ddl.plain_name(dialect, constraint) in live.constraints or (is_primary and live.has_primary_key)


def _add(target: Target, snapshot: Snapshot, table: Table, constraint: Constraint) -> None:
    # What is there without the added columns has to go first: the comparison tells it.
    if not is_taken(target.dialect, snapshot.tables[target.name_of(table)], constraint):
        target.connection.execute(ddl.add_constraint(constraint))
        if constraint.comment is not None:
            target.connection.execute(SetConstraintComment(constraint))
