"""Operations: the `self.op` of a migration."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import getmembers, iscoroutinefunction
from typing import Any

from sqlalchemy import CursorResult, Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem

from async_migrations.events import Say
from async_migrations.online import build
from async_migrations.online.calls import Calls
from async_migrations.online.columns import ColumnOperations
from async_migrations.online.comments import CommentOperations
from async_migrations.online.constraints import ConstraintOperations
from async_migrations.online.data import DataOperations
from async_migrations.online.domains import DomainOperations
from async_migrations.online.enums import EnumOperations
from async_migrations.online.indexes import IndexOperations
from async_migrations.online.keys import KeyOperations
from async_migrations.online.schemas import SchemaOperations
from async_migrations.online.sequences import SequenceOperations
from async_migrations.online.storage import StorageOperations
from async_migrations.online.table_definition import table_of
from async_migrations.online.tables import TableOperations
from async_migrations.online.wire import Wire
from async_migrations.online.written import WrittenDrop, WrittenIndex, read_concurrent
from async_migrations.retry import sqlstate
from async_migrations.sql import lock_timeout_unless_set

LOCKING = re.compile(
    r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:ALTER|CREATE|DROP|TRUNCATE|COMMENT|GRANT|REVOKE|REFRESH|SECURITY|IMPORT|REASSIGN)\s"
)

ACTIVE_TRANSACTION = "25001"
"""What CREATE DATABASE and its like fail with beside another statement."""


class Operations(
    TableOperations,
    StorageOperations,
    ColumnOperations,
    ConstraintOperations,
    KeyOperations,
    IndexOperations,
    EnumOperations,
    DomainOperations,
    SequenceOperations,
    SchemaOperations,
    CommentOperations,
    DataOperations,
):
    """What `self.op` offers a migration; made by the engine.

    In a transactional migration each operation is part of its transaction. In one with `transactional = False` it
    keeps the table open as far as PostgreSQL can, and may be called again after a failure: what is done already counts
    as done, and something else of the same name is an error.

    Args:
        connection: the migration's connection, in AUTOCOMMIT.
        transactional: whether the engine holds a transaction open on it.
        say: logs (level, message) with the migration's name.
        lock_timeout: seconds that a statement outside a transaction waits for a table's lock before it steps back
            and tries again; None for ever.
        calls: notes the calls, and knows those that an earlier try has finished.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        transactional: bool,
        say: Say,
        lock_timeout: float | None = 5.0,
        calls: Calls | None = None,
    ) -> None:
        super().__init__(connection, transactional=transactional, say=say, lock_timeout=lock_timeout)
        self._calls = calls or Calls()
        if self._calls.memory:
            self._wire = Wire(connection, self._calls.memory.before)
        self._at_work = False

    @property
    def _again(self) -> bool:
        memory = self._calls.memory
        return super()._again and (memory is None or memory.again)

    async def _call(self, name: str, method: Callable[..., Coroutine[Any, Any, Any]], args: Any, options: Any) -> Any:
        """Call an operation, unless an earlier try of the migration has finished this very call.

        What is there already does not say that: a column may have been dropped since, and another renamed to it.
        """
        memory = self._calls.memory
        if memory is None or self._at_work or name in UNREMEMBERED:
            return await self._work(method, args, options)
        work = self._calls.name(name, args, options)
        if memory.knows(work):
            self._say(logging.INFO, f"✓ {name}: done by an earlier try")
            return AS_BEFORE[name](*args, **options) if name in AS_BEFORE else None
        result = await self._work(method, args, options)
        if not await self._wire.in_transaction():  # whose end nobody knows yet
            await memory.record(work)
        return result

    async def _work(self, method: Callable[..., Coroutine[Any, Any, Any]], args: Any, options: Any) -> Any:
        """Call an operation; others that it calls are parts of it."""
        within, self._at_work = self._at_work, True
        try:
            return await method(self, *args, **options)
        finally:
            self._at_work = within

    async def run(self, statement: str) -> None:
        """Run one statement of a SQL file that is not transactional.

        A concurrent build or drop of one index is treated as `create_index` and `drop_index` treat theirs, so
        that a second try finds its way. Everything else is run as it stands.

        Args:
            statement: one SQL statement.

        Raises:
            IndexConflictError: an index to build has the name of something else.
        """
        concurrent = read_concurrent(statement)
        if isinstance(concurrent, WrittenIndex):
            await build.build_written(self._wire, concurrent, self._say)
        elif isinstance(concurrent, WrittenDrop):
            await self.drop_index(concurrent.name, schema=concurrent.schema)
        elif locks_tables(statement) and not await self._wire.in_transaction():
            await self._run_alone(statement)
        else:
            await self._wire.run(statement)

    async def _run_one(self, statement: str) -> CursorResult[Any]:
        # With IF NOT EXISTS an index that a dead build left INVALID would count as there.
        if self._transactional or not (
            read_concurrent(statement) or (locks_tables(statement) and not await self._wire.in_transaction())
        ):
            if self._wire.before:
                await self._wire.before(statement)
            return await super()._run_one(statement)
        await self.run(statement)
        return await super()._run_one("SELECT WHERE false")

    async def _run_alone(self, statement: str) -> None:
        """Run one statement of an author's as operations run theirs: nobody queues for long behind a lock it wants."""
        try:
            # An author's own SET lock_timeout holds; what he has not set would let everybody wait behind him.
            await self._persist(f"{lock_timeout_unless_set(self._lock_timeout)};\n{statement}")
        except Exception as error:
            error.statement = statement  # type: ignore[attr-defined]  # without what we put around it
            if sqlstate(error) != ACTIVE_TRANSACTION:
                raise
            await self._wire.run(statement)  # which PostgreSQL runs only as the one statement of a message


def locks_tables(statement: str) -> bool:
    """Tell whether a statement may want a lock that everybody's queries queue behind, and waits for nothing else."""
    return LOCKING.match(statement) is not None and "concurrently" not in statement.lower()


def _called(name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(method)
    def call(self: Operations, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return self._calls.note(name, self._call(name, method, args, options))

    return call


def _table(name: str, *elements: SchemaItem, **options: Any) -> Table:
    schema, comment = options.pop("schema", None), options.pop("comment", None)
    options.pop("if_not_exists", None)
    return table_of(name, elements, schema, comment, options)


UNREMEMBERED = frozenset({"execute", "run"})
"""Free SQL, which may be meant to run again; and the statements of SQL files, which are counted elsewhere."""

AS_BEFORE: dict[str, Callable[..., object]] = {
    "bulk_insert": lambda _table, rows: len(rows),
    "create_index": lambda *_, **__: 0,
    "create_table": _table,
    "drop_index": lambda *_, **__: 0,
}
"""What a call returns that an earlier try has finished, if it returns something."""

for _name, _method in getmembers(Operations, iscoroutinefunction):
    if not _name.startswith("_"):
        setattr(Operations, _name, _called(_name, _method))
