"""A cursor that sends a statement without rows in one round trip, where the driver's own takes two or three."""

# ruff: noqa: SLF001 - an adapter's cursor has to speak with its connection as SQLAlchemy's own do

from __future__ import annotations

import re
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor

from async_migrations.sql import is_mute

_COUNT = re.compile(r"(?:SELECT|UPDATE|DELETE|MERGE|INSERT \d+) (\d+)")

_CHANGES = re.compile(r"(?ai)\s*(?:ALTER|CREATE|DROP|DO|CALL|SET)\s|\s*(?:--|/\*)")

_ROWCOUNT = "_rowcount" if hasattr(AsyncAdapt_asyncpg_cursor, "_rowcount") else "rowcount"
"""Where SQLAlchemy 2.1, or 2.0, keeps the number of rows that a statement touched."""


class MuteCursor(AsyncAdapt_asyncpg_cursor):
    """Speaks the simple query protocol: nothing is prepared, so nothing is to be closed, or outlives its backend."""

    __slots__ = ()

    async def _prepare_and_execute(self, operation: str, _parameters: Any) -> None:
        # SQLAlchemy leaves both without types.
        adapted: Any = self._adapt_connection
        driver: Any = self._connection
        async with adapted._execute_mutex:
            if adapted._transaction is None:
                await adapted._start_transaction()
            try:
                tag = await driver.execute(operation)
            except Exception as error:
                adapted._handle_exception(error)
            else:
                counted = _COUNT.match(tag)
                setattr(self, _ROWCOUNT, int(counted[1]) if counted else -1)


class Cursors:
    """The cursors of one session.

    Args:
        note: is called when a statement is cancelled, upon which SQLAlchemy closes the connection.
    """

    def __init__(self, note: Callable[[], None]) -> None:
        self._mute = _noting(MuteCursor, note)
        self._plain = _noting(AsyncAdapt_asyncpg_cursor, note)

    def choose(self, cursor: Any, statement: str, parameters: Any) -> None:
        """Turn a cursor that is about to run `statement` into one of these, a mute one if no rows will come back.

        Called from SQLAlchemy's `before_cursor_execute`, the one place that has a single connection's cursors in hand;
        to give the dialect another cursor would change the service's own statements too.
        """
        if type(cursor) is AsyncAdapt_asyncpg_cursor:
            cursor.__class__ = self._mute if not parameters and is_mute(statement) else self._plain


def _noting(base: type[AsyncAdapt_asyncpg_cursor], note: Callable[[], None]) -> type[AsyncAdapt_asyncpg_cursor]:
    class NotingCursor(base):  # type: ignore[valid-type, misc]  # a class made at run time
        __slots__ = ()

        async def _prepare_and_execute(self, operation: str, parameters: Any) -> None:
            try:
                await super()._prepare_and_execute(operation, parameters)
            except CancelledError:
                note()
                raise

    return NotingCursor


def forget_plans(dialect: Any) -> None:
    """Have the connections of a dialect prepare their statements anew: the schema has changed under them.

    SQLAlchemy does so for DDL constructs, and knows nothing of text, nor of what goes past it to the driver. A plan
    that is kept fails once with "cached statement plan is invalid", and in a transaction that is the end of it.
    """
    forget = getattr(dialect, "_invalidate_schema_cache", None)
    if forget is not None:
        forget()


def changes_schema(statement: str) -> bool:
    """Tell whether a statement may change what a prepared one returns; a comment may stand before one that does."""
    return _CHANGES.match(statement) is not None
