"""Every change is found, and called what it is."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from tests.schema_cases import Case
from tests.schema_cases.changed import CASES
from tests.support.schemas import create, leave_out_what_cannot_be


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_change_is_found(case: Case, engine: AsyncEngine, postgres_version: int) -> None:
    leave_out_what_cannot_be(case, postgres_version)
    await create(case, engine)
    difference = await compare_schema(engine, case.metadata(case.after), renames=case.renames)
    assert sorted(type(each).__name__ for each in difference.operations) == list(case.expected), str(difference)
    assert all(str(each) for each in difference.operations)
