"""A table, or a column to add, as its author wants it, and the statements that make it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Column, Constraint, Dialect, ForeignKey, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import ColumnCollectionConstraint, CreateTable, SchemaItem, SetConstraintComment
from sqlalchemy.types import NullType

from async_migrations import ddl
from async_migrations.errors import AuthorError
from async_migrations.online.chosen_names import chosen_name
from async_migrations.online.texts import exact, exact_or_none
from async_migrations.online.twins import twin_of
from async_migrations.sql import qualified, quote_identifier, quote_literal


def table_of(
    name: str, elements: Sequence[SchemaItem], schema: str | None, comment: str | None, options: Mapping[str, Any]
) -> Table:
    """Make the table object; what belongs to a table of the author's already is copied.

    Raises:
        ValueError: a name that PostgreSQL cannot keep.
        AuthorError: a column has no type.
    """
    own = [_free(each) for each in elements]
    table = Table(exact(name), MetaData(), *own, schema=exact_or_none(schema), comment=comment, **options)
    for column in table.columns:
        quote_identifier(column.name)
    add_referents(table)
    for column in table.columns:
        if isinstance(column.type, NullType):
            raise AuthorError(
                f"The column {name}.{column.name} has no type. Give it one, Column({column.name!r}, Integer, …): an "
                "operation knows no other table's columns, from which a foreign key could take it."
            )
    return table


def column_table(name: str, column: Column[Any], schema: str | None) -> tuple[Table, Column[Any]]:
    """Make a table object that has only the column to add, and return both."""
    own = cast("Column[Any]", _free(column))
    table = table_of(name, [own], schema, None, {})
    return table, own


def table_statements(table: Table, dialect: Dialect) -> list[str]:
    """Write CREATE TABLE and what follows it: circular keys, indexes, comments."""
    closing = [each for each in table.foreign_key_constraints if each.use_alter]
    constructs = [
        CreateTable(table),
        *(ddl.add_constraint(each) for each in closing),
        *(ddl.CreateIndexHere(index) for index in sorted_indexes(table)),
        *constraint_comments(table.constraints),
    ]
    return [*(written(each, dialect) for each in constructs), *comments(table)]


def twin_statement(table: Table, dialect: Dialect) -> str:
    """Write the table's twin, without foreign keys; it uses up the table object."""
    for key in table.foreign_key_constraints:
        table.constraints.discard(key)
    table._prefixes = []  # noqa: SLF001 - UNLOGGED, and SQLAlchemy has no public way to take it away
    name = dialect.identifier_preparer.format_table(table)
    return written(CreateTable(table), dialect).replace(name, twin_of(table.name), 1)


def column_statements(column: Column[Any], dialect: Dialect) -> list[str]:
    """Write ADD COLUMN with the checks of the column's own, and its comment."""
    return [written(ddl.AddColumn(column), dialect), *comments(column.table)]


def column_constraints(table: Table, dialect: Dialect) -> list[Constraint]:
    """Return the constraints that an added column brings to its table, in the order to add them."""
    primary = [table.primary_key] if len(table.primary_key.columns) else []
    others = [each for each in table.constraints if each is not table.primary_key and ddl.applies(dialect, each)]
    return [*primary, *sorted(others, key=lambda each: not isinstance(each, UniqueConstraint))]


def sorted_indexes(table: Table) -> list[Index]:
    """Return a table's indexes by name."""
    return sorted(table.indexes, key=lambda index: str(index.name))


def constraint_comments(constraints: Any) -> Iterator[SetConstraintComment]:
    """Return what sets the comments of constraints that have a name and one."""
    return (SetConstraintComment(each) for each in constraints if each.comment is not None and each.name)


def comments(table: Table) -> Iterator[str]:
    """Write the comments of a table and its columns."""
    name = qualified(table.schema, table.name)
    if table.comment is not None:
        yield f"COMMENT ON TABLE {name} IS {quote_literal(table.comment)}"
    for column in table.columns:
        if column.comment is not None:
            yield f"COMMENT ON COLUMN {name}.{quote_identifier(column.name)} IS {quote_literal(column.comment)}"


def written(construct: Any, dialect: Dialect) -> str:
    """Write a DDL construct of SQLAlchemy's."""
    return str(construct.compile(dialect=dialect)).strip()


SUFFIXES = {
    "foreign_key_constraint": "fkey",
    "unique_constraint": "key",
    "primary_key_constraint": "pkey",
    "exclude_constraint": "excl",
}


def column_names(constraint: Constraint) -> list[str]:
    """Return the names of a constraint's columns, in its order."""
    return [column.name for column in constraint.columns] if isinstance(constraint, ColumnCollectionConstraint) else []


def name_for(table: str, columns: Sequence[str], kind: str, number: int = 0) -> str:
    """Return the name that PostgreSQL chooses for a constraint, or its next choices where that is taken.

    Args:
        table: the table's name.
        columns: the names of its columns.
        kind: SQLAlchemy's name of the kind.
        number: how many choices are taken.
    """
    joined = None if kind == "primary_key_constraint" else "_".join(columns)
    return chosen_name(table, joined, f"{SUFFIXES[kind]}{number or ''}")


def add_referents(table: Table) -> None:
    """Make table objects for what foreign keys name, since the compiler looks the names up in them."""
    for key in table.foreign_keys:
        if isinstance(key._colspec, str):  # noqa: SLF001 - Alembic has leaned on both names for years
            _add_referent(table.metadata, key)


def _add_referent(metadata: MetaData, key: ForeignKey) -> None:
    schema, name, column = key._column_tokens  # noqa: SLF001 - as above
    wanted = column or key.parent.name
    found = metadata.tables.get(f"{schema}.{name}" if schema else name)
    if found is None:
        Table(name, metadata, Column(wanted, NullType), schema=schema)
    elif wanted not in found.columns:
        found.append_column(Column(wanted, NullType))


def _free(element: SchemaItem) -> SchemaItem:
    """Return the element itself, or a copy if it belongs to a table."""
    owner = getattr(element, "table", None) if isinstance(element, Column | Index) else getattr(element, "parent", None)
    return element if owner is None else element._copy()  # type: ignore[attr-defined]  # noqa: SLF001 - as Alembic copies
