"""An index as a SQL file writes it: the same care for `CREATE INDEX CONCURRENTLY` that `create_index` takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from async_migrations.online.definition import IndexDefinition
from async_migrations.sql import qualified

CONCURRENT = re.compile(r"\b(CREATE|DROP)\b.*\bINDEX\s+CONCURRENTLY\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class WrittenIndex:
    """A CREATE INDEX CONCURRENTLY of a SQL file.

    Attributes:
        text: the statement as it stands.
        name: the index's name; empty if PostgreSQL is to choose one.
        table: the table's name.
        schema: the table's schema, if the statement names one.
        lenient: whether it says IF NOT EXISTS: any valid index of the name will do.
    """

    text: str
    name: str
    table: str
    schema: str | None
    lenient: bool

    @property
    def qualified_table(self) -> str:
        """The table as SQL names it."""
        return qualified(self.schema, self.table)

    def within(self, schema: str) -> WrittenIndex:
        """Return the same index on a table of the same name in another schema, in the default tablespace."""
        import postgast

        tree = postgast.parse(self.text)
        statement = tree.stmts[0].stmt.index_stmt
        statement.relation.schemaname = schema
        statement.concurrent = statement.if_not_exists = False
        statement.table_space = ""
        return replace(self, schema=schema, text=postgast.deparse(tree))

    def called(self, name: str) -> WrittenIndex:
        """Return the same index with this name."""
        import postgast

        tree = postgast.parse(self.text)
        tree.stmts[0].stmt.index_stmt.idxname = name
        return replace(self, name=name, text=postgast.deparse(tree))

    def statement(self, dialect: Any, *, concurrently: bool = False) -> str:  # noqa: ARG002 - it is written already
        """Return the statement as it stands."""
        return self.text


Wanted: TypeAlias = IndexDefinition | WrittenIndex


@dataclass(frozen=True, slots=True)
class WrittenDrop:
    """A DROP INDEX CONCURRENTLY of a SQL file."""

    name: str
    schema: str | None


def read_concurrent(text: str) -> WrittenIndex | WrittenDrop | None:
    """Read a statement; None if it is no concurrent work on one index, or newer than our parser."""
    if not CONCURRENT.search(text):
        return None
    import postgast

    try:
        (statement,) = postgast.parse(text).stmts
    except (postgast.PgQueryError, ValueError):
        return None
    kind = statement.stmt.WhichOneof("node")
    if kind == "index_stmt":
        return _created(text, statement.stmt.index_stmt)
    return _dropped(statement.stmt.drop_stmt) if kind == "drop_stmt" else None


def _created(text: str, statement: Any) -> WrittenIndex | None:
    if not statement.concurrent:
        return None
    table = statement.relation
    return WrittenIndex(text, statement.idxname, table.relname, table.schemaname or None, statement.if_not_exists)


def _dropped(statement: Any) -> WrittenDrop | None:
    if not statement.concurrent or len(statement.objects) != 1:
        return None
    *schema, name = (item.string.sval for item in statement.objects[0].list.items)
    return WrittenDrop(name, schema[-1] if schema else None)
