"""Rows and free SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult, Executable, TableClause

from async_migrations.online.bench import Bench


class DataOperations(Bench):
    """Rows, and whatever SQL there is no operation for."""

    async def execute(
        self,
        statement: str | Executable,
        params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run SQL on the migration's connection; the same as `self.execute`.

        Args:
            statement: SQL text, or a SQLAlchemy construct. Text without `params` is sent as it is, colons and
                percent signs included, and may hold several statements; with `params` it is one statement with
                `:name` in it.
            params: the values, or several sets of them.

        Returns:
            The result, of the last statement where there are several.

        Raises:
            AuthorError: the text is empty, or only a comment.
        """
        raise NotImplementedError

    async def bulk_insert(self, table: TableClause, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows.

        Args:
            table: what `create_table` returned, or `sqlalchemy.table("t", column("a", Integer), schema=...)`.
            rows: one mapping each, by column; they may have different keys.

        Returns:
            How many rows.
        """
        raise NotImplementedError
