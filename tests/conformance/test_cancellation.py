"""A pod is told to go, SIGTERM, and its replica cancels what it does."""

import signal

import anyio
import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner
from tests.conformance.aftermath import LOCKS, check, names
from tests.conformance.gate import DIRECTORY, INDEXES, STOPS, Stop, ended, shut
from tests.support.replicas import Launcher

pytestmark = pytest.mark.conformance

SOON = 1.0
"""Seconds within which nothing may be left on the server."""

each_stop = pytest.mark.parametrize("stop", STOPS, ids=[stop.migration for stop in STOPS])


@each_stop
async def test_a_leader_leaves_nothing_and_the_next_replica_finishes(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        pid = await gate.reached()
        leader.send_signal(signal.SIGTERM)
        await ended(witness, pid, deadline=SOON)
        assert await witness.fetchval(LOCKS) == 0
        assert (await leader.outcome(deadline=SOON)).kind == "cancelled"
        await gate.open()
        heir = await launcher.start(database_url, DIRECTORY)
        assert (await heir.outcome()).applied == tuple(names(DIRECTORY)[stop.number - 1 :])
    await check(witness, DIRECTORY, INDEXES)


@each_stop
async def test_a_waiter_leaves_and_the_leader_goes_on(
    stop: Stop, launcher: Launcher, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    async with shut(stop, database_url, witness, engine) as gate:
        leader = await launcher.start(database_url, DIRECTORY)
        pid = await gate.reached()
        waiter = await launcher.start(database_url, DIRECTORY)
        await waiter.event("LockAwaited")
        waiter.send_signal(signal.SIGTERM)
        assert (await waiter.outcome(deadline=SOON)).kind == "cancelled"
        if not stop.is_build:
            await witness.execute("SELECT pg_cancel_backend($1)", pid)
            assert "57014" in (await leader.outcome()).error
        await gate.open()
        if not stop.is_build:
            leader = await launcher.start(database_url, DIRECTORY)
        assert (await leader.outcome()).applied == tuple(names(DIRECTORY)[stop.number - 1 :])
    await check(witness, DIRECTORY, INDEXES)


@each_stop
async def test_a_scope_that_is_cancelled_leaves_the_engine_as_it_was(
    stop: Stop, database_url: str, witness: asyncpg.Connection, engine: AsyncEngine
) -> None:
    runner = MigrationRunner(engine, directory=DIRECTORY, observers=[])
    async with shut(stop, database_url, witness, engine) as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run_migrations)
            pid = await gate.reached()
            tasks.cancel_scope.cancel()
        await ended(witness, pid, deadline=SOON)
        assert await witness.fetchval(LOCKS) == 0
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT pg_current_xact_id_if_assigned() IS NULL"))
        await gate.open()
        await runner.run_migrations()
    await check(witness, DIRECTORY, INDEXES)
