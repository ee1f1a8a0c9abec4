"""Where nothing has changed, a comparison is silent, however awkwardly it is spelled."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from async_migrations.testing.server import Server
from tests.schema_cases import Case
from tests.schema_cases.unchanged import CASES
from tests.support.dumps import dump, load
from tests.support.generated import EMPTY
from tests.support.schemas import create, leave_out_what_cannot_be, run_sql


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_unchanged_schema_has_no_differences_and_its_restored_dump_has_none(
    case: Case, shared: AsyncEngine, postgres_version: int, server: Server
) -> None:
    leave_out_what_cannot_be(case, postgres_version)
    await run_sql(shared, EMPTY)
    await create(case, shared)
    difference = await compare_schema(shared, case.metadata(case.after))
    assert str(difference) == "The database has the schema of the metadata."
    assert not difference.operations

    name = shared.url.database or ""
    script = await asyncio.to_thread(dump, server, postgres_version, name)
    await run_sql(shared, EMPTY)
    await asyncio.to_thread(load, postgres_version, server.url(name), script)
    restored = await compare_schema(shared, case.metadata(case.after))
    assert [str(each) for each in restored.operations] == []
