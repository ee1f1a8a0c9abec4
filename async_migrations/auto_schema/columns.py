"""Missing columns, and what fills a NOT NULL one in the rows that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, DefaultClause, Dialect, Table, Text, cast, exists, func, literal, literal_column, select
from sqlalchemy import Sequence as DatabaseSequence
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.schema import SetColumnComment
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.schema import ColumnElementColumnDefault, ScalarElementColumnDefault
from sqlalchemy.types import String, TypeDecorator, TypeEngine

from async_migrations import ddl
from async_migrations.auto_schema import constraints
from async_migrations.auto_schema.snapshot import LiveTable, Snapshot, read_family
from async_migrations.auto_schema.target import Name, Target
from async_migrations.errors import AutoSchemaError
from async_migrations.sql import qualified, quote_identifier


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
    additions = _fill(target, missing(target, snapshot, tables))
    for each in additions.values():
        for addition in each:
            _add(target, addition)
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
    domain = _domain(column.type.dialect_impl(target.dialect))
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


def _domain(type_: TypeEngine[Any]) -> DOMAIN | None:
    if isinstance(type_, TypeDecorator):
        return _domain(type_.impl_instance)
    return type_ if isinstance(type_, DOMAIN) else None


def _fill(target: Target, columns: dict[Table, list[Column[Any]]]) -> dict[Table, list[Addition]]:
    additions: dict[Table, list[Addition]] = {}
    unfillable: list[Column[Any]] = []
    for table, lacking in columns.items():
        needy = [column for column in lacking if needs_filling(target, column)]
        fillings = {column: _filling(target, column) for column in needy} if needy and _has_rows(target, table) else {}
        unfillable += [column for column, filling in fillings.items() if filling is None]
        additions[table] = [Addition(column, fillings.get(column)) for column in lacking]
    if unfillable:
        raise AutoSchemaError(unfillable_text(target.dialect, unfillable))
    return additions


def _has_rows(target: Target, table: Table) -> bool:
    rows = exists(literal_column("1")).select_from(table)
    return bool(target.connection.scalar(select(rows)))


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


def unfillable_text(dialect: Dialect, columns: Sequence[Column[Any]]) -> str:
    """Say which columns cannot be filled, and write out what fills them."""
    which = "\n".join(
        f"The column {shown(column)} is NOT NULL, {column.table.fullname} has rows, and nothing says what they get: "
        "the column has no server default and no plain Python default (a function is for new rows)."
        for column in columns
    )
    statements = [statement for column in columns for statement in ddl.two_steps(dialect, column)]
    for column in columns:
        own = [*column.constraints, *constraints.concerning(dialect, column.table, [column])]
        statements += [ddl.add_constraint_text(dialect, column.table, constraint) for constraint in own]
    lines = [
        "auto = AutoSchemaMigration(self.engine, self.base)",
        "await auto.create_missing_tables()",
        *(f"await self.execute({statement!r})" for statement in dict.fromkeys(statements)),
        "return await auto.run()",
    ]
    code = "\n".join(f"    {line}" for line in lines)
    return (
        f"{which}\nNothing was added. Give the column a server_default=, or add it in two steps: put this into "
        f"upgrade() in place of run():\n{code}\nwith the value of each row in place of the dots."
    )
