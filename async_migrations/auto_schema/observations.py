"""What auto schema sees and must not do: whatever a comparison still finds after all was added."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import TypeVar

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from async_migrations.auto_schema.target import LEDGER
from async_migrations.auto_schema.target import Name as Place
from async_migrations.errors import MigrationsError
from async_migrations.events import Say
from async_migrations.retry import describe
from async_migrations.schema import difference as d
from async_migrations.schema.scope import Include
from async_migrations.schema.shadow import Wish
from async_migrations.schema.table import Name
from async_migrations.schema.within import Preparation, prepare

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds that the comparison may take before anything is added, and after it: it must not delay a service for long."""

Elsewhere = Mapping[Place, Place]

_FREE = d.EnumRemoved | d.DomainRemoved | d.SequenceRemoved


class Observer:
    """Compares before and after auto schema has worked, and tells what is left.

    Args:
        connection: in the transaction of the work.
        metadata: the models.
        say: takes a logging level and a sentence.
        ledger: schema and name of the engine's own table; None outside a migration.
    """

    def __init__(
        self, connection: AsyncConnection, metadata: MetaData, say: Say, ledger: tuple[str, str] | None = None
    ) -> None:
        self._connection, self._metadata, self._say, self._ledger = connection, metadata, say, ledger
        self._preparation: Preparation | None = None

    async def prepare(self) -> None:
        """Make ready while the transaction holds no locks yet; say so if that cannot be done."""
        self._preparation = await self._tried(
            lambda: prepare(
                self._connection,
                self._metadata,
                include=self._of_models,
                deadline=DEADLINE,
                say=lambda sentence: self._say(logging.INFO, sentence),
            )
        )
        if self._preparation is not None and self._preparation.shadow.note is not None:
            self._say(logging.INFO, self._preparation.shadow.note)

    async def report(self, refused: Collection[tuple[str, str]], elsewhere: Elsewhere) -> None:
        """Warn of everything that the database has otherwise than the models.

        Args:
            refused: schema and name of what was told already.
            elsewhere: types that the models leave to `search_path`, and where it finds them.
        """
        if self._preparation is not None and (found := await self._tried(self._preparation.compare)) is not None:
            for sentence in sentences(found.operations, refused, elsewhere):
                self._say(logging.WARNING, sentence)

    def _of_models(self, wish: Wish) -> Include:
        """Compare the tables of the models alone, and whatever types and sequences there are."""
        tables = {Name(wish.schema(each.schema), each.name) for each in wish.metadata.tables.values()}
        tables.discard(Name(*(self._ledger or (wish.schema(None), LEDGER))))
        return lambda kind, name: kind != "table" or name in tables

    async def _tried(self, work: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await work()
        except Exception as error:  # a look at the schema is not worth a migration
            if self._connection.invalidated or not await self._is_alive():
                raise
            reason = str(error) if isinstance(error, MigrationsError) else describe(error)
            self._say(
                logging.WARNING,
                f"Whether the database differs from the models otherwise was not looked at: {reason.rstrip('.')}. "
                "`async-migrations diff` tells, where there is a scratch place for it.",
            )
            return None

    async def _is_alive(self) -> bool:
        driver = (await self._connection.get_raw_connection()).driver_connection
        return driver is not None and not driver.is_closed()


def sentences(
    differences: Collection[d.Difference],
    refused: Collection[tuple[str, str]] = (),
    elsewhere: Elsewhere | None = None,
) -> Iterator[str]:
    """Say what a migration would have to change.

    Left out is what stands alone and may belong to other models, and what only has another name or place.

    Args:
        differences: what is left after all was added.
        refused: schema and name of what was told already.
        elsewhere: types that the models leave to `search_path`, and where it finds them.
    """
    moved = elsewhere or {}
    for each in differences:
        if isinstance(each, _FREE) or each.verb is d.Verb.RENAME or _name(each) in {*refused, *moved}:
            continue
        if any(_is_place(each, Name(*wanted), Name(*found)) for wanted, found in moved.items()):
            continue
        yield (
            f"The database differs from the models: {each}. Left as it is; `async-migrations new NAME --auto` writes "
            "the migration for it."
        )


def _is_place(difference: d.Difference, wanted: Name, found: Name) -> bool:
    """Whether all that differs is the schema of a type."""
    if isinstance(difference, d.ColumnTypeChanged):
        before, after = difference.before.type, difference.after.type
    elif isinstance(difference, d.DefaultChanged):
        before, after = difference.before or "", difference.after or ""
    else:
        return False
    return before.replace(str(found), str(wanted)) == after


def _name(difference: d.Difference) -> tuple[str, str] | None:
    if isinstance(difference, d.IndexAdded):
        return difference.table.schema, difference.index.name
    return (difference.name.schema, difference.name.name) if isinstance(difference, d.Named) else None
