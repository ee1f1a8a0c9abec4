"""Missing columns, and what fills a NOT NULL one in the rows that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, DefaultClause, Table, Text, cast, exists, func, literal, literal_column, select
from sqlalchemy import Sequence as DatabaseSequence
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import SetColumnComment
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.schema import ColumnElementColumnDefault, ScalarElementColumnDefault
from sqlalchemy.types import String, TypeDecorator

from async_migrations import ddl
from async_migrations.auto_schema.advice import NOTHING_FILLS, unfillable_text
from async_migrations.auto_schema.snapshot import LiveTable, Snapshot, read_family
from async_migrations.auto_schema.target import Name, Target
from async_migrations.errors import AutoSchemaError
from async_migrations.retry import describe, sqlstate
from async_migrations.sql import qualified, quote_identifier

NOT_NULL_VIOLATION = "23502"
NO_DEFAULT = frozenset({"0A000", "42803", "42P20"})
"""A subquery or another column, an aggregate, a window function: good in an INSERT and not after DEFAULT."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A column to add; `filling` is what existing rows get, where it does not come by itself."""

    column: Column[Any]
    filling: ClauseElement | None = None

    def __str__(self) -> str:
        return shown(self.column)


def shown(column: Column[Any]) -> str:
    """Return how a column is called in the log: table.column."""
    return f"{column.table.fullname}.{column.name}"


def add(target: Target, snapshot: Snapshot, tables: Sequence[Table]) -> dict[Table, list[Column[Any]]]:
    """Add the columns that `tables` lack, with everything that stands in a column's own definition.

    Returns:
        The added columns by table; their constraints are still to come.

    Raises:
        AutoSchemaError: a NOT NULL column has nothing to fill the rows with. Nothing was added.
    """
    lacking = missing(target, snapshot, tables)
    additions, reasons = _fill(target, lacking)
    live = {table: snapshot.tables[target.name_of(table)] for table in tables}
    if reasons:
        raise AutoSchemaError(unfillable_text(target.dialect, reasons, live, lacking))
    for each in additions.values():
        for addition in each:
            try:
                _add(target, addition)
            except DBAPIError as error:
                if (reason := _reason(addition, error)) is None:
                    raise
                text = unfillable_text(target.dialect, {addition.column: reason}, live, lacking)
                raise AutoSchemaError(text) from error
    return {table: [addition.column for addition in each] for table, each in additions.items() if each}


def missing(target: Target, snapshot: Snapshot, tables: Sequence[Table]) -> dict[Table, list[Column[Any]]]:
    """Return what each table lacks, parents before their partitions and heirs, which get theirs from them."""
    result: dict[Table, list[Column[Any]]] = {}
    inherited: dict[Name, set[str]] = {}
    for table in sorted(tables, key=lambda each: _depth(snapshot, target.name_of(each))):
        name = target.name_of(table)
        given = {column for parent in snapshot.relations[name].parents for column in inherited.get(parent, ())}
        lacking = missing_in(table, snapshot.tables[name])
        inherited[name] = {column.name for column in lacking} | given
        result[table] = [column for column in lacking if column.name not in given]
    return result


def missing_in(table: Table, live: LiveTable) -> list[Column[Any]]:
    """Return the columns of the models that a table lacks, computed ones after those that they compute from."""
    found = [column for column in table.columns if not column.system and column.name not in live.columns]
    return sorted(found, key=lambda column: column.computed is not None)


def needs_filling(target: Target, column: Column[Any]) -> bool:
    """Whether PostgreSQL would refuse `column` on a table with rows: NOT NULL, and nothing that fills it."""
    domain = ddl.domain_of(column.type.dialect_impl(target.dialect))
    required = not column.nullable or (domain is not None and domain.not_null)
    comes_by_itself = (
        isinstance(column.server_default, DefaultClause)
        or column.identity is not None
        or column.computed is not None
        or ddl.is_serial(column)
        or (domain is not None and domain.default is not None)
    )
    return required and not comes_by_itself


def _depth(snapshot: Snapshot, name: Name) -> int:
    relation = snapshot.relations.get(name)
    parents = relation.parents if relation else ()
    return 1 + max((_depth(snapshot, parent) for parent in parents), default=0)


def _fill(
    target: Target, columns: dict[Table, list[Column[Any]]]
) -> tuple[dict[Table, list[Addition]], dict[Column[Any], str]]:
    """Return what to add, and the columns that cannot be filled, with the reason."""
    additions: dict[Table, list[Addition]] = {}
    reasons: dict[Column[Any], str] = {}
    for table, lacking in columns.items():
        needy = [column for column in lacking if needs_filling(target, column)]
        seen, hidden = _rows(target, table) if needy else (False, False)
        fillings = {column: _filling(target, column) for column in needy} if seen or hidden else {}
        reasons |= {column: NOTHING_FILLS for column, filling in fillings.items() if seen and filling is None}
        additions[table] = [Addition(column, fillings.get(column)) for column in lacking]
    return additions, reasons


def _rows(target: Target, table: Table) -> tuple[bool, bool]:
    """Return whether rows are seen, and whether row level security may hide some."""
    rows = exists(literal_column("1")).select_from(table)
    hides = func.row_security_active(qualified(*target.name_of(table)))
    seen, hidden = target.connection.execute(select(rows, hides)).one()
    return seen, hidden


def _reason(addition: Addition, error: DBAPIError) -> str | None:
    """Say why the rows cannot be filled; None if the error is another one."""
    code = sqlstate(error)
    if addition.filling is None and code == NOT_NULL_VIOLATION:
        return (
            f"nothing fills them: {describe(error)}. Where row level security hides them from this role, another one "
            "has to run this"
        )
    if addition.filling is not None and code in {*NO_DEFAULT, NOT_NULL_VIOLATION}:
        return f"its default cannot fill them: {describe(error)}"
    return None


def _filling(target: Target, column: Column[Any]) -> ClauseElement | None:
    """Return what fills existing rows of `column`; None if each row may need another value."""
    default = column.default
    if isinstance(default, ScalarElementColumnDefault):
        return _literal(target, column, default.arg)
    if isinstance(default, DatabaseSequence):
        return default.next_value()
    if isinstance(default, ColumnElementColumnDefault):
        return default.arg
    return None


def _literal(target: Target, column: Column[Any], value: object) -> ClauseElement:
    """Let the column's type bind `value`, and PostgreSQL write it as a literal.

    DDL takes no parameters, and few types can render a literal of their own.
    """
    bound = literal(value, column.type)
    implementation = column.type.dialect_impl(target.dialect)
    if isinstance(implementation, TypeDecorator):
        implementation = implementation.impl_instance
    # A cast to varchar(3) would cut 'abcdef' in silence; the ALTER TABLE shall refuse it.
    typed = bound if isinstance(implementation, String) else cast(bound, column.type)
    # Not from the cache of statements: in its keys all enums with labels of one length are the same type.
    question = select(func.quote_nullable(cast(typed, Text)))
    return literal_column(str(target.connection.scalar(question, execution_options={"compiled_cache": None})))


def _add(target: Target, addition: Addition) -> None:
    with target.step(f"Adding missing column: {addition}", f"Added column: {addition}"):
        # A DEFAULT for the moment fills a table of any size at once; an UPDATE would write each row anew and
        # fire its triggers.
        target.connection.execute(ddl.AddColumn(addition.column, addition.filling))
        if addition.filling is not None:
            _drop_default(target, addition.column)
        if addition.column.comment is not None:
            target.connection.execute(SetColumnComment(addition.column))


def _drop_default(target: Target, column: Column[Any]) -> None:
    family = read_family(target.connection, target.name_of(column.table), column.name)
    if all(given for _, given in family):
        target.connection.execute(ddl.DropDefault(column))
        return
    # An heir that had the column before keeps the default that it has of its own.
    for name in (name for name, given in family if given):
        target.connection.exec_driver_sql(
            f"ALTER TABLE ONLY {qualified(*name)} ALTER COLUMN {quote_identifier(column.name)} DROP DEFAULT"
        )
