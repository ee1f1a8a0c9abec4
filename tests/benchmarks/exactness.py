"""How exact a comparison is, on the corpora of the tests: counted, ours and Alembic's."""

from collections.abc import Awaitable, Callable
from importlib.util import find_spec

from pytest import skip  # noqa: PT013 - only its exception is used
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from async_migrations.schema import bench
from tests.benchmarks.comparing import use_alembic
from tests.benchmarks.place import Place, engine_on, say
from tests.benchmarks.table import Row
from tests.schema_cases import Case
from tests.schema_cases.changed import CASES as CHANGED
from tests.schema_cases.unchanged import CASES as UNCHANGED
from tests.support.schemas import create

Look = Callable[[AsyncEngine, MetaData, Case], Awaitable[bool]]
HINTED = "rename"


async def rows(place: Place) -> list[Row]:
    """Count the cases that are seen for what they are."""
    every = max(1, 1000 // place.scale.tables)
    unchanged = UNCHANGED[::every]
    changed = [case for case in CHANGED[::every] if HINTED not in case.tags]
    found = []
    for what, cases, right in (
        ("schemas that have not changed, spelled awkwardly: silence", unchanged, False),
        ("schemas with one change: something is found", changed, True),
    ):
        say(f"exactness: {what}")
        counted = {look: await _count(place, cases, look, right=right) for look in (_ours, _alembic)}
        mine, others = (counted[each] for each in (_ours, _alembic))
        theirs = _shown(others) if find_spec("alembic") else "Alembic is not installed"
        right_here, all_here, _ = mine
        found.append(Row(f"{all_here} {what}", _shown(mine), theirs, "", "all", right_here == all_here))
    return found


def _shown(counted: tuple[int, int, int]) -> str:
    right, of, crashed = counted
    return f"{right}" + (f" ({crashed} of the other {of - right} crash)" if crashed else "")


async def _count(place: Place, cases: list[Case], look: Look, *, right: bool) -> tuple[int, int, int]:
    good = crashed = made = 0
    for case in cases:
        async with place.database() as name, engine_on(place.server.url(name)) as engine:
            try:
                await create(case, engine)
            except skip.Exception:
                continue
            made += 1
            try:
                good += await look(engine, case.metadata(case.after), case) is right
            except Exception:
                crashed += 1
    return good, made, crashed


async def _ours(engine: AsyncEngine, metadata: MetaData, case: Case) -> bool:
    bench.forget()
    return bool(await compare_schema(engine, metadata, renames=case.renames))


async def _alembic(engine: AsyncEngine, metadata: MetaData, _: Case) -> bool:
    return bool(await use_alembic(engine, metadata)) if find_spec("alembic") else False
