"""The way of somebody's models: created, dumped and restored, migrated to from nothing; silence each time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from async_migrations import MigrationRunner, compare_schema
from async_migrations.schema.bench import forget
from async_migrations.testing.server import Server
from tests.support.dumps import restore


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of it.

    Attributes:
        tables: how many there are.
        first: seconds of a comparison that makes the shadow.
        again: seconds of one that remembers it.
        created: differences after create_all.
        restored: differences after pg_dump | psql.
        migrated: differences after the generated migrations ran on an empty database.
    """

    tables: int
    first: float
    again: float
    created: tuple[str, ...]
    restored: tuple[str, ...]
    migrated: tuple[str, ...]


async def walk(
    metadata: MetaData,
    server: Server,
    make_database: Callable[[], Awaitable[str]],
    directory: Path,
    *,
    extensions: Sequence[str] = (),
) -> Walk:
    """Compare models with databases that have them already.

    Args:
        metadata: the models.
        server: where the databases are.
        make_database: makes an empty one.
        directory: for the migrations.
        extensions: what the models lean on.
    """
    first, second, third = [await make_database() for _ in range(3)]
    async with _engine(first) as engine:
        await _furnish(engine, metadata, extensions)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        forget()
        cold, created = await _compared(engine, metadata)
        warm, _ = await _compared(engine, metadata)
        source = engine.url.database or ""
    await asyncio.to_thread(restore, server, server.version, source, second)
    async with _engine(second) as engine:
        _, restored = await _compared(engine, metadata)
    async with _engine(third) as engine:
        await _furnish(engine, metadata, extensions)
        difference = await compare_schema(engine, metadata)
        difference.write_migrations(directory, "models")
        await MigrationRunner(engine, None, directory, observers=()).run_migrations()
        _, migrated = await _compared(engine, metadata)
    return Walk(len(metadata.tables), cold, warm, created, restored, migrated)


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _furnish(engine: AsyncEngine, metadata: MetaData, extensions: Sequence[str]) -> None:
    async with engine.begin() as connection:
        for extension in extensions:
            await connection.exec_driver_sql(f'CREATE EXTENSION "{extension}"')
        for schema in sorted({table.schema for table in metadata.tables.values() if table.schema}):
            await connection.execute(CreateSchema(schema, if_not_exists=True))


async def _compared(engine: AsyncEngine, metadata: MetaData) -> tuple[float, tuple[str, ...]]:
    start = time.perf_counter()
    difference = await compare_schema(engine, metadata)
    return time.perf_counter() - start, tuple(str(each) for each in difference.operations)
