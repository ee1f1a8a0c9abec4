"""Comments on whatever has a name."""

from __future__ import annotations

from typing import Literal

from async_migrations.errors import AuthorError
from async_migrations.online.bench import Bench
from async_migrations.sql import qualified, quote_identifier, quote_literal

Commented = Literal[
    "table",
    "column",
    "constraint",
    "domain constraint",
    "index",
    "sequence",
    "schema",
    "type",
    "domain",
    "view",
    "materialized view",
    "foreign table",
    "extension",
    "trigger",
    "policy",
]


class CommentOperations(Bench):
    """Comments."""

    async def create_table_comment(self, table: str, comment: str | None, *, schema: str | None = None) -> None:
        """Set a table's comment.

        Args:
            table: the table's name, exactly.
            comment: the text; None takes it away.
            schema: its schema; None looks along `search_path`.
        """
        await self.set_comment("table", table, comment, schema=schema)

    async def drop_table_comment(self, table: str, *, schema: str | None = None) -> None:
        """Take a table's comment away.

        Args:
            table: the table's name, exactly.
            schema: its schema; None looks along `search_path`.
        """
        await self.set_comment("table", table, None, schema=schema)

    async def set_comment(
        self, kind: Commented, name: str, comment: str | None, *, table: str | None = None, schema: str | None = None
    ) -> None:
        """Set the comment of anything.

        Args:
            kind: what it is; an enum is a "type".
            name: its name, exactly.
            comment: the text; None takes it away.
            table: what a column, constraint, trigger or policy belongs to: a table, or the domain of a "domain
                constraint".
            schema: the schema of that, or of the thing itself; None looks along `search_path`.

        Raises:
            AuthorError: `table` is missing, or has no place here.
        """
        statement = f"COMMENT ON {_subject(kind, name, table, schema)} IS {quote_literal(comment)}"
        await self._do(f"Set comment of {kind} {name}", statement)


PARTS = frozenset({"column", "constraint", "domain constraint", "trigger", "policy"})
"""What belongs to a table, or to a domain."""

GLOBAL = frozenset({"schema", "extension"})
"""What is in no schema."""


def _subject(kind: Commented, name: str, table: str | None, schema: str | None) -> str:
    """Write what stands between COMMENT ON and IS."""
    if (table is not None) != (kind in PARTS):
        needs = "needs table=, which it belongs to" if kind in PARTS else "takes no table="
        raise AuthorError(f"set_comment({kind!r}, {name!r}): a {kind} {needs}.")
    if table is None:
        return f"{kind.upper()} {quote_identifier(name) if kind in GLOBAL else qualified(schema, name)}"
    if kind == "column":
        return f"COLUMN {qualified(schema, table)}.{quote_identifier(name)}"
    kind_of_owner = "DOMAIN " if kind == "domain constraint" else ""
    word = "CONSTRAINT" if kind == "domain constraint" else kind.upper()
    return f"{word} {quote_identifier(name)} ON {kind_of_owner}{qualified(schema, table)}"
