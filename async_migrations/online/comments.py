"""Comments on whatever has a name."""

from __future__ import annotations

from typing import Literal

from async_migrations.online.bench import Bench

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
        raise NotImplementedError

    async def drop_table_comment(self, table: str, *, schema: str | None = None) -> None:
        """Take a table's comment away.

        Args:
            table: the table's name, exactly.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

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
        raise NotImplementedError
