"""Rows and free SQL."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

from sqlalchemy import CursorResult, Executable, TableClause, insert, text

from async_migrations.errors import AuthorError
from async_migrations.online.bench import Bench
from async_migrations.sql import is_mute, split


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
        connection = self._wire.connection
        if not isinstance(statement, str):
            return await connection.execute(statement, params)
        if params is not None:
            return await connection.execute(text(statement), params)
        if is_mute(statement):  # and therefore one; without the parser
            return await self._run_one(statement.strip(" \t\n\r\f\v;"))
        result: CursorResult[Any] | None = None
        for each in split(statement):
            result = await self._run_one(each.text)
        if result is None:
            raise AuthorError("execute() was given no statement: the text is empty, or only a comment.")
        return result

    async def _run_one(self, statement: str) -> CursorResult[Any]:
        return await self._wire.connection.exec_driver_sql(statement)

    async def bulk_insert(self, table: TableClause, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows: all of them, or none.

        Args:
            table: what `create_table` returned, or `sqlalchemy.table("t", column("a", Integer), schema=...)`.
            rows: one mapping each, by column; they may have different keys.

        Returns:
            How many rows.
        """
        is_ours = not self._transactional and not await self._wire.in_transaction()
        async with self._wire.transaction() if is_ours else nullcontext():
            for _, alike in groupby(rows, key=lambda row: [*row]):
                await self._wire.connection.execute(insert(table), [dict(row) for row in alike])
        self._say(logging.INFO, f"✓ Inserted {len(rows)} rows into {table.name}")
        return len(rows)
