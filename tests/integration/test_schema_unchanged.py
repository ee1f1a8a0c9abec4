"""Where nothing has changed, a comparison is silent, however awkwardly it is spelled."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import SchemaDifference, compare_schema
from async_migrations.testing.server import Server
from tests.schema_cases import Build, Case
from tests.schema_cases.corpora import UNCHANGED
from tests.support.dumps import dump, load
from tests.support.generated import EMPTY
from tests.support.grouped import Group, create_together, parametrize, see_together
from tests.support.schemas import create, leave_out_what_cannot_be, run_sql


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, UNCHANGED)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_unchanged_schema_has_no_differences_and_its_restored_dump_has_none(
    case: Case | Group, shared: AsyncEngine, postgres_version: int, server: Server
) -> None:
    if isinstance(case, Group):
        await see_together(case, lambda group: _see_them_together(group, shared, postgres_version, server))
    else:
        await _see_it_alone(case, shared, postgres_version, server)


async def _see_it_alone(case: Case, shared: AsyncEngine, version: int, server: Server) -> None:
    leave_out_what_cannot_be(case, version)
    await run_sql(shared, EMPTY)
    await create(case, shared)
    _see_no_difference(await compare_schema(shared, case.metadata(case.after)))
    await _restore(shared, version, server)
    _see_no_difference(await compare_schema(shared, case.metadata(case.after)))


async def _see_them_together(group: Group, shared: AsyncEngine, version: int, server: Server) -> None:
    await create_together(group, shared)
    _see_no_difference(await compare_schema(shared, group.metadata(_wanted), schemas=group.cases))
    await _restore(shared, version, server)
    _see_no_difference(await compare_schema(shared, group.metadata(_wanted), schemas=group.cases))


def _wanted(case: Case) -> Build:
    return case.after


def _see_no_difference(difference: SchemaDifference) -> None:
    assert str(difference) == "The database has the schema of the metadata."
    assert not difference.operations


async def _restore(shared: AsyncEngine, version: int, server: Server) -> None:
    """Put what the database's dump says in the database's place."""
    name = shared.url.database or ""
    script = await asyncio.to_thread(dump, server, version, name)
    await run_sql(shared, EMPTY)
    await asyncio.to_thread(load, version, server.url(name), script)
