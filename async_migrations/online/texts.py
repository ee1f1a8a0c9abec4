"""Names, types, expressions and defaults of SQLAlchemy's, as SQL text that belongs to no object of the author's."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Computed, Dialect, MetaData, Table, TextClause
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import coercions, quoted_name, roles
from sqlalchemy.types import TypeEngine, to_instance

from async_migrations.sql import quote_identifier

Expression: TypeAlias = ColumnElement[Any] | TextClause | InstrumentedAttribute[Any]
AnyType: TypeAlias = TypeEngine[Any] | type[TypeEngine[Any]]


def exact(name: str) -> quoted_name:
    """Return a name that SQLAlchemy writes exactly so.

    Raises:
        ValueError: PostgreSQL cannot keep it.
    """
    quote_identifier(name)
    return quoted_name(name, quote=True)


def exact_or_none(name: str | None) -> quoted_name | None:
    """Return the same for a name that may be left out."""
    return None if name is None else exact(name)


def expression_text(expression: str | Expression, dialect: Dialect) -> str:
    """Write an expression as SQL that depends on no table object; a text is SQL already."""
    if isinstance(expression, str):
        return expression
    element = coercions.expect(roles.DDLExpressionRole, expression)
    compiler = dialect.statement_compiler(dialect, None)
    return str(compiler.process(element.self_group(), include_table=False, literal_binds=True))


def type_text(type_: AnyType, dialect: Dialect) -> str:
    """Write a type as CREATE TABLE does, with its COLLATE."""
    return str(dialect.type_compiler_instance.process(to_instance(type_)))


def default_text(default: str | Expression, dialect: Dialect) -> str:
    """Write a default as `Column(server_default=...)` does: a text is a literal, everything else is SQL."""
    clause = default if isinstance(default, str) else coercions.expect(roles.DDLExpressionRole, default)
    column = Column[Any]("c", server_default=clause)
    return str(_compiler(dialect).get_column_default_string(column))


def computed_text(computed: Computed, dialect: Dialect) -> str:
    """Write the expression of a generated column, without its parentheses."""
    return str(_compiler(dialect).sql_compiler.process(computed.sqltext, include_table=False, literal_binds=True))


def stand_in(schema: str | None, name: str, *columns: str, metadata: MetaData | None = None) -> Table:
    """Return a table object of this exact name, with columns of no type, for a statement to be written on."""
    metadata = metadata if metadata is not None else MetaData()
    named = [Column[Any](exact(column)) for column in dict.fromkeys(columns)]
    return Table(exact(name), metadata, *named, schema=exact_or_none(schema))


def _compiler(dialect: Dialect) -> Any:
    return dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # as the dialect itself calls it
