"""Where nothing has changed, a comparison is silent, however awkwardly it is spelled."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import compare_schema
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.schema_cases import Case
from tests.schema_cases.unchanged import CASES
from tests.support.dumps import restore
from tests.support.schemas import create, leave_out_what_cannot_be

pytestmark = pytest.mark.parametrize("case", CASES, ids=str)


async def test_an_unchanged_schema_has_no_differences(case: Case, engine: AsyncEngine, postgres_version: int) -> None:
    leave_out_what_cannot_be(case, postgres_version)
    await create(case, engine)
    difference = await compare_schema(engine, case.metadata(case.after))
    assert str(difference) == "The database has the schema of the metadata."
    assert not difference.operations


async def test_a_restored_dump_has_no_differences(
    case: Case, engine: AsyncEngine, postgres_version: int, server: Server, make_database: MakeDatabase
) -> None:
    leave_out_what_cannot_be(case, postgres_version)
    await create(case, engine)
    url = await make_database()
    await asyncio.to_thread(restore, server, postgres_version, engine.url.database or "", url)
    restored = create_async_engine(url, poolclass=NullPool)
    try:
        difference = await compare_schema(restored, case.metadata(case.after))
        assert [str(each) for each in difference.operations] == []
    finally:
        await restored.dispose()
