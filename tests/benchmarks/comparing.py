"""Comparing schemas of many tables: against the bare catalog queries, and against Alembic."""

import statistics
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anyio
from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, MetaData, Numeric, String, Table, Text, func
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from async_migrations.schema import bench, fingerprint, queries
from async_migrations.schema.answers import ask
from async_migrations.schema.catalog import BEGIN
from tests.benchmarks.place import Place, compare, engine_on, say, seconds
from tests.benchmarks.table import MILLISECOND, Row, skipped, timed

LONGEST_STALL = 50 * MILLISECOND
TICK = 1 * MILLISECOND


def models(tables: int) -> MetaData:
    """Return tables of ten columns, two indexes and a foreign key each."""
    metadata = MetaData()
    for number in range(tables):
        Table(
            f"t{number:04}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("before", ForeignKey(f"t{max(number - 1, 0):04}.id")),
            Column("name", String(50), nullable=False, server_default="x"),
            Column("price", Numeric(10, 2)),
            Column("made", DateTime(timezone=True), server_default=func.now()),
            Column("note", Text),
            *(Column(f"n{each}", Integer) for each in range(4)),
            Index(f"ix_{number}_name", "name"),
            Index(f"ix_{number}_price", "price", "note"),
        )
    return metadata


async def rows(place: Place) -> list[Row]:
    """Compare a schema in which nothing has changed."""
    metadata = models(place.scale.tables)
    async with place.database() as name, engine_on(place.server.url(name)) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        # The scratch database is made once in the life of a server.
        await compare_schema(engine, metadata)
        found = await _against_queries(place, engine, metadata)
        found += await _against_alembic(place, engine, metadata)
        return [*found, await _stall(place, engine, metadata)]


async def _against_queries(place: Place, engine: AsyncEngine, metadata: MetaData) -> list[Row]:
    say("comparing: remembered, against the catalog queries")
    what = f"{place.scale.tables:,} tables unchanged, compared again: against the bare catalog queries"
    medians, ratio = await compare(
        place.scale.pairs(),
        lambda: seconds(lambda: compare_schema(engine, metadata)),
        lambda: seconds(lambda: _ask(engine)),
    )
    return [timed(what, medians, ratio, 2.5)]


async def _against_alembic(place: Place, engine: AsyncEngine, metadata: MetaData) -> list[Row]:
    tables = f"{place.scale.tables:,} tables unchanged"
    if find_spec("alembic") is None:
        return [skipped(f"{tables}: against Alembic", "Alembic is not installed")]
    await use_alembic(engine, metadata)
    found = []
    for what, work, bound in (
        ("compared again", compare_schema, 0.25),
        ("compared for the first time, the shadow made anew", _cold, 1.0),
    ):
        say(f"comparing: {what}, against Alembic")
        medians, ratio = await compare(
            place.scale.pairs(),
            lambda work=work: seconds(lambda: work(engine, metadata)),  # type: ignore[misc]  # of this turn of the loop
            lambda: seconds(lambda: use_alembic(engine, metadata)),
        )
        found.append(timed(f"{tables}, {what}: against Alembic's `compare_metadata`", medians, ratio, bound))
    return found


async def _stall(place: Place, engine: AsyncEngine, metadata: MetaData) -> Row:
    say("comparing: how long the event loop stands still")
    ours = [await longest_stall(lambda: _cold(engine, metadata)) for _ in range(place.scale.pairs())]
    bare, other = "Alembic is not installed", 0.0
    if find_spec("alembic") is not None:
        other = await longest_stall(lambda: use_alembic(engine, metadata))
        bare = f"{other / MILLISECOND:,.0f} ms"
    longest = statistics.median(ours)
    what = f"the same for the first time: the longest time that the event loop stands still ({bare} with Alembic)"
    bound = f"≤ {LONGEST_STALL / MILLISECOND:.0f} ms"
    shown = f"{longest / MILLISECOND:,.0f} ms"
    return Row(what, shown, bare, f"{longest / other:.2f}" if other else "", bound, longest <= LONGEST_STALL)


async def longest_stall(work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time, in seconds, in which nothing else could run during `work`."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await anyio.sleep(TICK)
            longest = max(longest, time.perf_counter() - before - TICK)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await anyio.sleep(TICK)
        await work()
        group.cancel_scope.cancel()
    return longest


async def _cold(engine: AsyncEngine, metadata: MetaData) -> None:
    bench.forget()
    fingerprint.forget()
    await compare_schema(engine, metadata)


async def _ask(engine: AsyncEngine) -> None:
    """Send the catalog queries, and look at nothing that they answer."""
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute(f"{BEGIN}; {queries.SET_PRINTED}")
        for name in ("SCHEMAS", "RELATIONS", "COLUMNS", "CONSTRAINTS", "INDEXES", "TYPES", "SEQUENCES"):
            query = getattr(queries, f"SELECT_{name}")
            await ask(driver, query % {"nulls_not_distinct": "false"} if name == "INDEXES" else query)
        await driver.execute("ROLLBACK")


async def use_alembic(engine: AsyncEngine, metadata: MetaData) -> Any:
    """Compare as Alembic does, with all that it can be asked to look at."""

    def compared(connection: Any) -> Any:
        options = {"compare_type": True, "compare_server_default": True}
        context = import_module("alembic.migration").MigrationContext.configure(connection, opts=options)
        return import_module("alembic.autogenerate").compare_metadata(context, metadata)

    async with engine.connect() as connection:
        return await connection.run_sync(compared)
