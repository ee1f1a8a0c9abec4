"""Live schemas for tests, made from cases."""

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.schema_cases import Case

ALCHEMY = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2])


async def run_sql(engine: AsyncEngine, script: str) -> None:
    """Run a script of any number of statements."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute(script)


def leave_out_what_cannot_be(case: Case, version: int) -> None:
    """Skip a case whose words the server, or SQLAlchemy, does not know yet."""
    if version < case.since:
        pytest.skip(f"needs PostgreSQL {case.since}")
    if case.alchemy > ALCHEMY:
        pytest.skip(f"needs SQLAlchemy {case.alchemy[0]}.{case.alchemy[1]}")


def can_be(case: Case, version: int) -> bool:
    """Whether the server, and SQLAlchemy, know the words of a case."""
    return version >= case.since and case.alchemy <= ALCHEMY


async def create(case: Case, engine: AsyncEngine) -> None:
    """Make the live schema of a case, with its rows."""
    for extension in case.extensions:
        name = extension.split()[0]
        async with engine.connect() as connection:
            available = text("SELECT name FROM pg_available_extensions WHERE name = :name")
            if not (await connection.execute(available, {"name": name})).first():
                pytest.skip(f"needs the extension {name}")
    if case.setup:
        await run_sql(engine, case.setup)
    for extension in case.extensions:
        await run_sql(engine, f"CREATE EXTENSION {extension}")
    build = case.before or (None if case.sql else case.after)
    if build is not None:
        await create_all(case.metadata(build), engine)
    for script in (case.sql, case.rows):
        if script:
            await run_sql(engine, script)


async def create_all(metadata: MetaData, engine: AsyncEngine) -> None:
    """Create what a metadata has, in one transaction."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["concurrently"] = False
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
