"""An index as its author wants it, and the SQL that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Column, ColumnClause, Dialect, Index, MetaData, Table
from sqlalchemy import literal_column as verbatim
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql import coercions, roles

from async_migrations.errors import AuthorError
from async_migrations.online.texts import Expression, exact, expression_text
from async_migrations.sql import qualified


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDefinition:
    """What `Operations.create_index` was asked for; its arguments are described there."""

    name: str
    table: str
    columns: Sequence[str | Expression]
    schema: str | None = None
    unique: bool = False
    where: str | Expression | None = None
    using: str | None = None
    include: Sequence[str] = ()
    with_: Mapping[str, Any] = field(default_factory=dict)
    opclasses: Mapping[str, str] = field(default_factory=dict)
    nulls_not_distinct: bool = False
    tablespace: str | None = None

    @property
    def lenient(self) -> bool:
        """Whether any valid index of the name will do: never, since the definition is at hand."""
        return False

    @property
    def qualified_table(self) -> str:
        """The table as SQL names it."""
        return qualified(self.schema, self.table)

    def within(self, schema: str) -> IndexDefinition:
        """Return the same index on a table of the same name in another schema, in the default tablespace."""
        return replace(self, schema=schema, tablespace=None)

    def statement(self, dialect: Dialect, *, concurrently: bool = False) -> str:
        """Write CREATE INDEX as SQLAlchemy's own DDL compiler does, every name quoted exactly.

        Args:
            dialect: the connection's dialect.
            concurrently: whether the table stays open to writes meanwhile.

        Raises:
            AuthorError: no columns, or an operator class for something that is none of them.
            ValueError: a name that PostgreSQL cannot keep.
        """
        expressions = self._expressions(dialect)
        names = dict.fromkeys([*(each for each in expressions if isinstance(each, str)), *self.include])
        index = Index(
            exact(self.name),
            *expressions,
            unique=self.unique,
            postgresql_concurrently=concurrently,
            postgresql_where=None if self.where is None else verbatim(expression_text(self.where, dialect)),
            postgresql_using=self.using or "",
            postgresql_include=list(self.include),
            postgresql_with=dict(self.with_),
            postgresql_ops=dict(self.opclasses),
            postgresql_nulls_not_distinct=True if self.nulls_not_distinct else None,
            postgresql_tablespace=None if self.tablespace is None else exact(self.tablespace),
        )
        columns = [Column[Any](exact(name)) for name in names]
        schema = None if self.schema is None else exact(self.schema)
        Table(exact(self.table), MetaData(), *columns, index, schema=schema)
        return str(CreateIndex(index).compile(dialect=dialect))

    def _expressions(self, dialect: Dialect) -> list[Any]:
        """Return the names of columns, and expressions that belong to no table object of the author's."""
        keys = [_key(column, dialect) for column in _listed(self.columns, self.name)]
        for name in self.opclasses:
            if name not in keys:
                known = ", ".join(keys)
                raise AuthorError(f"Index {self.name}: opclasses names {name!r}, but its columns are: {known}.")
        return [
            key if isinstance(column, str) or _is_column(column) else verbatim(key)
            for key, column in zip(keys, self.columns, strict=True)
        ]


def _listed(columns: Sequence[str | Expression], name: str) -> Sequence[str | Expression]:
    if isinstance(columns, str):
        raise AuthorError(f"Index {name}: columns is a text; pass a list: [{columns!r}].")
    if not columns:
        raise AuthorError(f"Index {name}: columns is empty; name at least one column.")
    return columns


def _is_column(expression: Any) -> bool:
    element = coercions.expect(roles.DDLExpressionRole, expression)
    return isinstance(element, ColumnClause) and not element.is_literal


def _key(column: str | Expression, dialect: Dialect) -> str:
    """Return a column's name, or an expression's SQL, by which `opclasses` names it too."""
    if isinstance(column, str):
        return column
    return (
        str(coercions.expect(roles.DDLExpressionRole, column).name)
        if _is_column(column)
        else expression_text(column, dialect)
    )
