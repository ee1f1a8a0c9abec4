"""What auto schema sees and must not do: each difference that is no addition, once, as a sentence."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.exc import DBAPIError, NoReferenceError

from async_migrations import ddl
from async_migrations.auto_schema import constraints
from async_migrations.auto_schema.columns import missing_in, shown
from async_migrations.auto_schema.snapshot import LiveColumn, LiveTable, Snapshot
from async_migrations.auto_schema.target import Target

SELECT_TYPE_OIDS = text("""
SELECT written, pg_catalog.to_regtype(written)::oid::int8 AS oid
  FROM unnest(CAST(:written AS text[])) AS types (written)
""")

# Types whose modifiers PostgreSQL always prints, so that those of both sides can be compared.
_PLAIN = re.compile(r"(?:character|bit|numeric|time|timestamp|interval)\b")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_MODIFIERS = re.compile(r"\s*\(([^)]*)\)")
_FIELDS = re.compile(r"\b(?:year|month|day|hour|minute|second)\b")


def report(target: Target, snapshot: Snapshot, tables: Sequence[Table]) -> None:
    """Warn of everything in `tables` that the database has otherwise than the models.

    Args:
        target: what was worked on.
        snapshot: read before anything was added.
        tables: those that stood before.
    """
    oids = read_type_oids(target, tables)
    for table in tables:
        live = snapshot.tables[target.name_of(table)]
        for sentence in observe(target.dialect, table, live, oids):
            target.warn(sentence)


def observe(dialect: Dialect, table: Table, live: LiveTable, oids: Mapping[str, int | None]) -> Iterator[str]:
    """Say in what a table of the database differs from the models, additions aside.

    Args:
        dialect: how SQL is written.
        table: of the models.
        live: the same table in the database.
        oids: what PostgreSQL makes of each type as the models write it.
    """
    for column in table.columns:
        if column.name in live.columns and not column.system:
            yield from _observe_column(dialect, column, live.columns[column.name], oids)
    known = {column.name for column in table.columns}
    for gone in (name for name in live.columns if name not in known):
        yield (
            f"The column {table.fullname}.{gone} is in the database and not in the models: left as it is. If it is "
            "no longer needed, drop it in a migration of its own."
        )
    yield from _observe_constraints(dialect, table, live)


def read_type_oids(target: Target, tables: Sequence[Table]) -> dict[str, int | None]:
    """Return what PostgreSQL makes of each type as the models write it; None for one that it does not know."""
    written = {ddl.column_type(target.dialect, column) for table in tables for column in table.columns}
    asked = sorted(filter(None, written))
    if not asked:
        return {}
    try:
        with target.connection.begin_nested():
            rows = target.connection.execute(SELECT_TYPE_OIDS, {"written": asked}).all()
    except DBAPIError as error:
        # Before PostgreSQL 16 a type that it cannot parse is an error; a comparison is not worth a migration.
        target.say(logging.DEBUG, f"Types were not compared: {error.orig}")
        return {}
    return {row.written: row.oid for row in rows}


def type_differs(written: str, oid: int | None, live: LiveColumn) -> bool:
    """Whether the type that the models write is surely another than the one in the database."""
    if oid is None:
        return False
    if oid != live.type_oid:
        return True
    if not _PLAIN.match(live.type):
        return False
    return _modifiers(written, live.type) != _modifiers(live.type, live.type)


def _modifiers(type_: str, printed: str) -> tuple[list[str], list[str]]:
    """Return the numbers in parentheses and the fields of an interval, as PostgreSQL prints them."""
    plain = _QUOTED.sub("", type_).lower()
    match = _MODIFIERS.search(plain)
    numbers = [number.strip() for number in match[1].split(",")] if match else []
    if printed.startswith(("character(", "bit(")) and not numbers:
        numbers = ["1"]
    if printed.startswith("numeric") and len(numbers) == 1:
        numbers.append("0")
    return numbers, _FIELDS.findall(plain) if printed.startswith("interval") else []


def _observe_column(
    dialect: Dialect, column: Column[Any], live: LiveColumn, oids: Mapping[str, int | None]
) -> Iterator[str]:
    written = ddl.column_type(dialect, column)
    table = dialect.identifier_preparer.format_table(column.table)
    alter = f"ALTER TABLE {table} ALTER COLUMN {dialect.identifier_preparer.format_column(column)}"
    if written and type_differs(written, oids.get(written), live):
        yield (
            f"The column {shown(column)} is {live.type} in the database and {written} in the models: left as it is. "
            f"Change it in a migration of its own: {alter} TYPE {written}"
        )
    if column.nullable and live.not_null:
        yield (
            f"The column {shown(column)} is NOT NULL in the database and nullable in the models: left as it is. "
            f"Change it in a migration of its own: {alter} DROP NOT NULL"
        )
    if not column.nullable and not live.not_null:
        yield (
            f"The column {shown(column)} may be NULL in the database and is NOT NULL in the models: left as it is. "
            f"Change it in a migration of its own: {alter} SET NOT NULL"
        )


def _observe_constraints(dialect: Dialect, table: Table, live: LiveTable) -> Iterator[str]:
    coming = constraints.concerning(dialect, table, missing_in(table, live))
    standing = [each for each in constraints.concerning(dialect, table, table.columns) if each not in coming]
    for column in table.columns:
        standing += column.constraints if column.name in live.columns else ()
    for constraint in standing:
        if not _has(dialect, live, constraint):
            yield (
                f"A constraint of {table.fullname} is in the models and not in the database: left out, since rows may "
                "break it. Add it in a migration of its own: "
                f"{ddl.add_constraint_text(dialect, table, constraint)}"
            )


def _has(dialect: Dialect, live: LiveTable, constraint: Constraint) -> bool:
    """Whether the database has `constraint`, or whether that cannot be told."""
    name = ddl.plain_name(dialect, constraint)
    if name in live.constraints:
        return True
    if isinstance(constraint, PrimaryKeyConstraint):
        return live.has_primary_key
    if isinstance(constraint, UniqueConstraint):
        return _has_unique(constraint, live)
    if isinstance(constraint, ForeignKeyConstraint):
        return _is_open(constraint) or any(constraints.same_key(constraint, key) for key in live.foreign_keys)
    return name is None or not isinstance(constraint, CheckConstraint | ExcludeConstraint)


def _has_unique(constraint: UniqueConstraint, live: LiveTable) -> bool:
    columns = {column.name for column in constraint.columns}
    if live.has_primary_key and columns == {column.name for column in constraint.table.primary_key}:
        return True
    return any(
        index["unique"]
        and set(index["column_names"]) == columns
        and "postgresql_where" not in index.get("dialect_options", {})
        for index in live.indexes
    )


def _is_open(constraint: ForeignKeyConstraint) -> bool:
    """Whether a foreign key refers to a table that these models do not know."""
    try:
        _ = constraint.referred_table
    except NoReferenceError:
        return True
    return False
