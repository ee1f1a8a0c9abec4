"""A comparison is silent about the models of well-known packages, however they came into the database."""

from pathlib import Path

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.real_models.packages import HEAVY, LIGHT, Package, procrastinate_schema
from tests.real_models.walk import walk
from tests.support.schemas import run_sql


@pytest.mark.filterwarnings("ignore")  # what others use is theirs to renew
@pytest.mark.parametrize("package", [*LIGHT, *(each for each in HEAVY if each.is_here)], ids=str)
async def test_models_of_others_are_no_difference(
    package: Package, engine: AsyncEngine, server: Server, make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with engine.connect() as connection:
        there = (await connection.execute(text("SELECT name FROM pg_available_extensions"))).scalars().all()
    if missing := set(package.extensions) - set(there):
        pytest.skip(f"needs the extension {', '.join(missing)}")
    for number, metadata in enumerate(package.load()):
        done = await walk(metadata, server, make_database, tmp_path / str(number), extensions=package.extensions)
        assert done.tables
        assert (done.created, done.restored, done.migrated) == ((), (), ())


async def test_a_schema_that_is_kept_as_sql_is_no_difference(engine: AsyncEngine) -> None:
    await run_sql(engine, procrastinate_schema())
    m = MetaData()
    async with engine.connect() as connection:
        await connection.run_sync(m.reflect)
    assert len(m.tables) == 4
    difference = await compare_schema(engine, m)
    assert [str(each) for each in difference.operations] == []
    await run_sql(engine, "ALTER TABLE procrastinate_jobs ALTER COLUMN priority DROP DEFAULT")
    (changed,) = (await compare_schema(engine, m)).operations
    assert "priority" in str(changed)
    # Functions, triggers and composite types are its own business.
    assert not any("function" in str(each) for each in (await compare_schema(engine, MetaData())).operations)
