"""What the three services share: the engine, the migrations, one query."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import MigrationRunner

engine = create_async_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"))
runner = MigrationRunner(engine, directory=Path(__file__).parent / "migrations")


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[Mapping[str, AsyncEngine]]:
    # What an application warms up at its start may use the schema: it is there.
    await notes()
    yield {"engine": engine}
    await engine.dispose()


async def notes() -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(text("SELECT text FROM notes ORDER BY number")))
