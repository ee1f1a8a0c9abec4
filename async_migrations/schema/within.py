"""Comparing inside a transaction at work: what may take long is done before it changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio import to_thread
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from async_migrations.connector import EngineConnector
from async_migrations.errors import SchemaError
from async_migrations.schema.answer import SchemaDifference
from async_migrations.schema.bench import Bench, Shadow
from async_migrations.schema.catalog import read_inside
from async_migrations.schema.comparison import settled
from async_migrations.schema.copies import read_by_hand
from async_migrations.schema.fingerprint import marks_of
from async_migrations.schema.kept import is_kept, scratch_name
from async_migrations.schema.live import LiveTransaction, looking
from async_migrations.schema.renaming import Renaming
from async_migrations.schema.scope import Include, Scope
from async_migrations.schema.shadow import Wish


@dataclass(frozen=True, slots=True)
class Preparation:
    """A shadow that was made in advance, and the transaction whose schema will be held against it.

    Attributes:
        wish: what is wanted.
        scope: what is compared.
        shadow: what the wish gives.
    """

    wish: Wish
    scope: Scope
    shadow: Shadow
    _connection: AsyncConnection
    _live: LiveTransaction

    async def compare(self) -> SchemaDifference:
        """Compare the schema as the transaction sees it now, and leave its settings as they are.

        Raises:
            SchemaError: the schema cannot be read, or something new is in doubt and the scratch place too slow.
            DatabaseUnavailableError: something new is in doubt, and the scratch place cannot be reached.
        """
        driver = await _driver(self._connection)
        patience = self._live.deadline
        async with looking(driver):
            _, snapshot = await read_inside(driver, patience=patience)
            live = replace(self._live, snapshot=snapshot)
            # What was in doubt before is settled: as a rule this opens nothing.
            with _patient(patience):
                async with _bench(live, self.wish) as bench:
                    result = await settled(bench, self.shadow, snapshot, self.scope, Renaming())
        notes = (*([self.shadow.note] if self.shadow.note else []), *result.notes)
        return SchemaDifference(result.differences, self.wish.metadata, snapshot, self.shadow.snapshot, notes)


async def prepare(
    connection: AsyncConnection,
    metadata: MetaData,
    *,
    include: Callable[[Wish], Include],
    deadline: float,
    say: Callable[[str], None],
) -> Preparation:
    """Make ready for a comparison: create the shadow elsewhere, and settle what is in doubt already.

    The transaction is only looked at, on its own connection; what is created is created over another one, outside
    of the engine's pool. So do it before the transaction takes locks that others wait for.

    Args:
        connection: in a transaction at work.
        metadata: what is wanted.
        include: returns what says which things are compared.
        deadline: seconds that all of it may take.
        say: is told of a scratch database that was made.

    Raises:
        MetadataRefusedError: PostgreSQL refuses something of the metadata.
        SchemaError: a schema cannot be read, or there is no scratch place, or it is too slow.
        DatabaseUnavailableError: the scratch place cannot be reached.
        ConfigurationError: the connection is not one of asyncpg's.
    """
    engine = EngineConnector(connection.engine).engine
    driver = await _driver(connection)
    translate = dict(_options(connection).get("schema_translate_map") or {})
    async with looking(driver):
        place, snapshot = await read_inside(driver, patience=deadline)
        there = await is_kept(driver, scratch_name(place))
        live = LiveTransaction(engine, snapshot, await read_by_hand(driver), there, deadline, say)
        marks = await to_thread.run_sync(marks_of, metadata)
        wish = Wish(metadata, place, engine.dialect, snapshot.extensions, marks, translate)
        scope = Scope(wish.schemas, include=include(wish))
        with _patient(deadline):
            async with _bench(live, wish) as bench:
                shadow = await bench.shadow()
                await settled(bench, shadow, snapshot, scope, Renaming())
    return Preparation(wish, scope, shadow, connection, live)


def _bench(live: LiveTransaction, wish: Wish) -> Bench:
    return Bench(live.engine, live, wish, scratch_url=None, deadline=live.deadline)


@contextmanager
def _patient(deadline: float) -> Iterator[None]:
    try:
        with anyio.fail_after(deadline):
            yield
    except TimeoutError as error:
        raise SchemaError(f"The scratch place was not ready within {deadline:g} s.") from error


def _options(connection: AsyncConnection) -> Mapping[str, Any]:
    return connection.sync_connection.get_execution_options() if connection.sync_connection else {}


async def _driver(connection: AsyncConnection) -> Any:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():
        # SQLAlchemy sends BEGIN no sooner than the first statement.
        await connection.exec_driver_sql("SELECT 1")
    return driver
