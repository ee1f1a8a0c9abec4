"""A migration outside a transaction whose books are lost, or locked, while it is at work."""

import asyncio

import pytest

from async_migrations import MigrationFailedError
from async_migrations.errors import LockWaitError
from async_migrations.events import ConnectionLost
from tests.support.history import History
from tests.support.waiting import eventually

KILL = """
INSERT INTO log SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""
"""Ends the books' session, as a job does that looks for idle transactions; each time it is one row more."""

OUTSIDE = "transactional = False"
BODIES = {
    "a statement": f'await self.execute("""{KILL}""")\nawait self.op.create_table("a", Column("x", Integer))',
    "the last statement": f'await self.op.create_table("a", Column("x", Integer))\nawait self.execute("""{KILL}""")',
    "a step": f'async def work():\n    await self.execute("""{KILL}""")\nawait self.step("once", work)\n'
    'await self.op.create_table("a", Column("x", Integer))',
}


@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_books_that_are_lost_are_opened_anew_and_nothing_runs_twice(
    history: History, body: str, verb: str
) -> None:
    await history.do("CREATE TABLE log (x int)")
    up, down = (body, "pass") if verb == "upgrade" else ("pass", body)
    history.python("001_a", up, downgrade=down, top="from sqlalchemy import Column, Integer", attributes=OUTSIDE)
    await history.runner().run_migrations()
    if verb == "downgrade":
        await history.runner().downgrade(0)
    assert await history.ledger() == ([] if verb == "downgrade" else ["001_a"])
    assert await history.exists("a")
    assert await history.rows("SELECT x FROM log") == [(1,)]
    assert history.told(ConnectionLost) == []


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_so_are_those_of_a_sql_file(history: History, place: int) -> None:
    await history.do("CREATE TABLE log (x int)")
    statements = ["INSERT INTO log VALUES (7)", "INSERT INTO log VALUES (8)"]
    statements.insert(place, KILL)
    history.sql("001_a", "-- transactional: false\n" + ";\n".join(statements) + ";")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows("SELECT x FROM log ORDER BY x") == [(1,), (7,), (8,)]
    assert history.told(ConnectionLost) == []


async def test_a_ledger_that_is_locked_meanwhile_is_waited_for_until_the_deadline(history: History) -> None:
    history.sql("001_a", "SELECT 1;")
    await history.runner().run_migrations()
    history.sql("002_b", "SELECT pg_advisory_xact_lock_shared(7);")
    history.sql("003_c", "-- transactional: false\nCREATE TABLE c (x int);")
    async with history.engine.connect() as door, history.engine.connect() as other:
        await door.exec_driver_sql("SELECT pg_advisory_lock(7)")
        run = asyncio.create_task(history.runner(wait_deadline=0.5, lock_timeout=None).run_migrations())
        await eventually(lambda: history.value(WANTED.format(kind="advisory")), deadline=20)
        lock = asyncio.create_task(other.exec_driver_sql("LOCK TABLE schema_migrations"))
        await eventually(lambda: history.value(WANTED.format(kind="relation")), deadline=20)
        await door.exec_driver_sql("SELECT pg_advisory_unlock(7)")
        await lock
        with pytest.raises(LockWaitError, match="applied nothing after 002_b"):
            await asyncio.wait_for(run, 20)
    assert not await history.exists("c")
    assert (await history.runner().run_migrations()).applied == ("003_c",)


WANTED = """
SELECT count(*) > 0 FROM pg_locks WHERE locktype = '{kind}' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ALTER = "ALTER TABLE t ADD COLUMN y int"


@pytest.mark.parametrize("language", ["sql", "python"])
async def test_queries_do_not_queue_behind_a_statement_that_waits(history: History, language: str) -> None:
    await history.do("CREATE TABLE t (x int)")
    if language == "sql":
        history.sql("001_a", f"-- transactional: false\n-- why\n{ALTER};\nCREATE TABLE b (x int);")
    else:
        history.python("001_a", f"await self.execute('{ALTER}; CREATE TABLE b (x int)')", attributes=OUTSIDE)
    async with history.engine.connect() as report:
        await report.exec_driver_sql("SELECT * FROM t")
        run = asyncio.create_task(history.runner(lock_timeout=0.2).run_migrations())
        await eventually(lambda: history.value(WANTED.format(kind="relation")), deadline=20)
        assert await asyncio.wait_for(history.rows("SELECT * FROM t"), 20) == []
        assert not run.done()
    assert (await asyncio.wait_for(run, 30)).applied == ("001_a",)
    assert await history.exists("b")


async def test_neither_do_they_behind_a_transaction_of_the_authors_own(history: History) -> None:
    await history.do("CREATE TABLE t (x int)")
    body = f"async with self.engine.begin() as connection:\n    await connection.exec_driver_sql('{ALTER}')"
    history.python("001_a", body, attributes=OUTSIDE)
    async with history.engine.connect() as report:
        await report.exec_driver_sql("SELECT * FROM t")
        with pytest.raises(MigrationFailedError, match="55P03"):
            await asyncio.wait_for(history.runner(lock_timeout=0.2).run_migrations(), 20)
    assert (await history.runner().run_migrations()).applied == ("001_a",)


async def test_what_runs_only_alone_runs_alone(history: History) -> None:
    name = "alone_" + str(await history.value("SELECT current_database()"))
    history.sql("001_a", f'-- transactional: false\nCREATE DATABASE "{name}";\nDROP DATABASE "{name}";\nVACUUM;')
    assert (await history.runner().run_migrations()).applied == ("001_a",)
