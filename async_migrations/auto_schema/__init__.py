"""AutoSchemaMigration: add to the database what the models have and it lacks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, ForeignKeyConstraint, MetaData, inspect
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from async_migrations import ddl
from async_migrations.auto_schema import (
    columns,
    constraints,
    foundations,
    indexes,
    names,
    tables,
)
from async_migrations.auto_schema.snapshot import Snapshot, read, read_columns, read_schemas, read_table_names
from async_migrations.auto_schema.target import LEDGER, Name, Target
from async_migrations.errors import AutoSchemaError
from async_migrations.events import Say
from async_migrations.retry import causes, describe, sqlstate

__all__ = ["AutoSchemaMigration"]

UNIQUE_VIOLATION = "23505"
DUPLICATES = frozenset({"42P07", "42701", "42710", "42P06"})
"""A table or index, a column, a type or another object, a schema of this name exists."""

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[Target, Snapshot], T]
Noted = Callable[Concatenate["AutoSchemaMigration", P], Coroutine[Any, Any, T]]


def _noted(method: Noted[P, T]) -> Noted[P, T]:
    """Let the migration know of a call: one without `await` in front of it fails the migration."""

    @wraps(method)
    def call(self: AutoSchemaMigration, /, *args: P.args, **options: P.kwargs) -> Coroutine[Any, Any, T]:
        work = method(self, *args, **options)
        return self._note(method.__name__, work) if self._note else work

    return call


class AutoSchemaMigration:
    """Adds to the database what the models have and it lacks; changes and drops nothing.

    What it sees but must not do (a type that changed, a column that the models no longer have) is a warning in the
    log, as `compare_schema` finds it. Every other failure is an error, and of one call everything or nothing stays.

    Args:
        engine: `self.engine` of a migration, an AsyncEngine, or an AsyncConnection (whose transaction the caller
            ends).
        base: the declarative base of the models, or their MetaData.

    Raises:
        AutoSchemaError: there are no models, or `engine` is synchronous.
    """

    def __init__(self, engine: AsyncEngine | AsyncConnection, base: Any) -> None:
        self._engine = _checked_engine(engine)
        self._metadata = _metadata(base)
        self._say: Say = getattr(engine, "say", None) or _log
        self._note: Callable[[str, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]] | None
        self._note = getattr(engine, "note", None)
        self._ledger: tuple[str, str] | None = getattr(engine, "ledger", None)
        self._told: set[str] = set()
        self._with_tables: list[str] = []
        self._waiting: list[ForeignKeyConstraint] = []

    @_noted
    async def run(self) -> dict[str, int]:
        """Create missing tables, add missing columns, create missing indexes; warn of all other differences.

        Returns:
            How many: `tables_created`, `columns_added` and `indexes_created`.

        Raises:
            AutoSchemaError: something cannot be added without guessing; the message says what to do.
        """
        return await self._as_it_stands(self._run)

    async def _run(self) -> dict[str, int]:
        # Loaded here: whoever only names this class needs no comparison.
        from async_migrations.auto_schema.observations import Observer

        async with self._transaction() as connection:
            observer = Observer(connection, self._metadata, self._tell, self._ledger)
            await observer.prepare()
            created, added, indexed, target = await connection.run_sync(lambda sync: self._prepared(sync, _run))
            await observer.report(target.refused, target.elsewhere)
        return {
            "tables_created": len(created),
            "columns_added": len(added),
            "indexes_created": len(indexed),
        }

    @_noted
    async def create_missing_tables(self) -> list[str]:
        """Create missing tables and their indexes, in the order of their foreign keys.

        A foreign key to a column or index that is missing comes with the call that adds that.

        Returns:
            The names of the tables. Those of the indexes come with the next `create_missing_indexes()`.

        Raises:
            AutoSchemaError: something else has the name of a table, a table would hide another one that `search_path`
                finds, or a schema may not be created.
        """
        created, indexed = await self._work(_create_tables)
        self._with_tables += indexed
        return created

    @_noted
    async def add_missing_columns(self) -> list[str]:
        """Add missing columns, with the foreign keys and constraints that concern them.

        A foreign key to a table or index that is missing comes with the call that creates that.

        Returns:
            The columns, as "table.column".

        Raises:
            AutoSchemaError: a NOT NULL column has nothing to fill the rows with; the message shows the two steps.
        """
        return await self._work(_add_columns)

    @_noted
    async def create_missing_indexes(self) -> list[str]:
        """Create the indexes that existing tables lack, by name.

        Returns:
            The names of the indexes created since the last call, those of new tables included.
        """
        created = await self._work(_create_indexes)
        created, self._with_tables = self._with_tables + created, []
        return created

    async def get_existing_tables(self) -> set[str]:
        """Return the names of all tables and partitions of the database.

        Returns:
            "table" in the schema where unqualified names are created, "schema.table" in all others (and in that one
            too if the models write its name).
        """
        return await self._read(_existing_tables)

    async def get_existing_columns(self, table: str) -> set[str]:
        """Return the names of a table's columns; an empty set if there is no such table.

        Args:
            table: "table" or "schema.table".
        """
        return await self._read(lambda target: _existing_columns(target, table))

    async def get_existing_indexes(self, table: str) -> set[str]:
        """Return the names of a table's indexes, the primary key's aside; an empty set if there is no such table.

        Args:
            table: "table" or "schema.table".
        """
        return await self._read(lambda target: _existing_indexes(target, table))

    async def _work(self, work: Work[T]) -> T:
        async def once() -> T:
            async with self._transaction() as connection:
                return await connection.run_sync(lambda sync: self._prepared(sync, work))

        return await self._as_it_stands(once)

    async def _as_it_stands(self, work: Callable[[], Awaitable[T]]) -> T:
        """Look once more when another session has made the same thing between the look and the creation."""
        try:
            return await work()
        except DBAPIError as error:
            if not _is_there_by_now(error):
                raise
            self._say(logging.INFO, f"Another session was quicker ({describe(error)}): looking once more")
        return await work()

    def _prepared(self, connection: Connection, work: Work[T]) -> T:
        target, schemas = self._target(connection)
        names.check(target)
        snapshot = read(target, schemas)
        tables.check(target, snapshot)
        foundations.create(target, snapshot)
        constraints.forget_undone(target, snapshot)
        result = work(target, snapshot)
        if target.waiting:
            constraints.add_waiting(target, read(target, schemas))
        self._waiting = target.waiting
        return result

    async def _read(self, look: Callable[[Target], T]) -> T:
        if isinstance(self._engine, AsyncConnection):
            return await self._engine.run_sync(lambda sync: look(self._target(sync)[0]))
        async with self._engine.connect() as connection:
            return await connection.run_sync(lambda sync: look(self._target(sync)[0]))

    def _target(self, connection: Connection) -> tuple[Target, frozenset[str]]:
        default, schemas = read_schemas(connection)
        ledger = Name(*self._ledger) if self._ledger else Name(default or "", LEDGER)
        waiting = list(self._waiting)
        return Target(connection, self._metadata, self._tell, default, ledger, waiting=waiting), schemas

    def _tell(self, level: int, sentence: str) -> None:
        # Called one by one, the steps see the same things; a warning is worth saying once.
        if level == logging.WARNING:
            if sentence in self._told:
                return
            self._told.add(sentence)
        self._say(level, sentence)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        if isinstance(self._engine, AsyncConnection):
            async with self._engine.begin_nested():
                yield self._engine
        else:
            async with self._engine.begin() as connection:
                yield connection


def _is_there_by_now(error: DBAPIError) -> bool:
    if sqlstate(error) != UNIQUE_VIOLATION:
        return sqlstate(error) in DUPLICATES
    # Two that create the same name at once meet in a unique index of the catalog.
    return any(getattr(each, "schema_name", None) == "pg_catalog" for each in causes(error))


def _run(target: Target, snapshot: Snapshot) -> tuple[list[str], list[str], list[str], Target]:
    # Columns first: a new table may refer to a new column, and needs its unique index. Foreign keys of new
    # columns last: they may refer to a new table.
    existing = tables.existing(target, snapshot)
    added = columns.add(target, snapshot, existing)
    constraints.add_own(target, snapshot, added)
    indexed = indexes.create(target, snapshot, existing)
    created, indexed_there = tables.create(target, snapshot)
    constraints.add_foreign_keys(target, snapshot, [*target.waiting, *constraints.foreign_keys(target, added)])
    target.waiting.clear()
    return created, _names(added), indexed + indexed_there, target


def _create_tables(target: Target, snapshot: Snapshot) -> tuple[list[str], list[str]]:
    lacking = tables.missing(target, snapshot)
    keys = [key for table in lacking for key in table.foreign_key_constraints if ddl.applies(target.dialect, key)]
    waiting = [key for key in keys if constraints.waits(target, snapshot, key, lacking)]
    target.waiting.extend(waiting)
    return tables.create(target, snapshot, waiting)


def _add_columns(target: Target, snapshot: Snapshot) -> list[str]:
    added = columns.add(target, snapshot, tables.existing(target, snapshot))
    constraints.add_own(target, snapshot, added)
    target.waiting.extend(constraints.foreign_keys(target, added))
    return _names(added)


def _create_indexes(target: Target, snapshot: Snapshot) -> list[str]:
    return indexes.create(target, snapshot, tables.existing(target, snapshot))


def _names(added: constraints.Added) -> list[str]:
    return [columns.shown(column) for each in added.values() for column in each]


def _existing_tables(target: Target) -> set[str]:
    written_out = {target.declared_schema(table) for table in target.tables}
    found = set()
    for schema, name in read_table_names(target.connection):
        if schema == target.default_schema:
            found.add(name)
        if schema != target.default_schema or schema in written_out:
            found.add(f"{schema}.{name}")
    return found


def _existing_columns(target: Target, table: str) -> set[str]:
    for name in _readings(target, table):
        if found := read_columns(target.connection, *name):
            return found
    return set()


def _existing_indexes(target: Target, table: str) -> set[str]:
    inspector = inspect(target.connection)
    for name in _readings(target, table):
        found = inspector.get_multi_indexes(schema=name.schema, filter_names=[name.name], kind=ObjectKind.ANY)
        if indexes := found.get((name.schema, name.name)):
            return {str(index["name"]) for index in indexes}
    return set()


def _readings(target: Target, table: str) -> list[Name]:
    """Return what "a.b" may mean: a table of this name, or table b in schema a."""
    readings = [Name(target.default_schema, table)] if target.default_schema is not None else []
    schema, dot, name = table.partition(".")
    return [*readings, Name(schema, name)] if dot else readings


def _metadata(base: Any) -> MetaData:
    metadata = base if isinstance(base, MetaData) else getattr(base, "metadata", None)
    if isinstance(metadata, MetaData):
        return metadata
    if base is None:
        raise AutoSchemaError(
            "Auto schema has no models to follow: base is None. Give them to the runner, "
            "MigrationRunner(engine, base=Base), which hands them to each migration as self.base."
        )
    raise AutoSchemaError(
        f"Auto schema cannot find models in {type(base).__name__}: base must be a declarative base or a MetaData."
    )


def _checked_engine(engine: AsyncEngine | AsyncConnection) -> AsyncEngine | AsyncConnection:
    if isinstance(engine, AsyncEngine | AsyncConnection):
        return engine
    raise AutoSchemaError(
        f"Auto schema works through an AsyncEngine or AsyncConnection, not through {type(engine).__name__}. In a "
        "migration pass self.engine."
    )


def _log(level: int, sentence: str) -> None:
    logging.getLogger("async_migrations").log(level, sentence)
