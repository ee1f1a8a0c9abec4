"""Who is at a ledger, as anybody sees it from the side."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations.errors import LedgerError
from async_migrations.fleet import Fleet, look
from async_migrations.ledger import Ledger
from async_migrations.lock import LockKey
from async_migrations.session import connect
from tests.conformance.aftermath import watching
from tests.support.history import History
from tests.support.waiting import eventually

GATE = 20_031
LIMIT = 30.0
PASS = f"await self.execute('SELECT pg_advisory_xact_lock({GATE})')"

Look = Callable[[], Awaitable[Fleet]]


@pytest.fixture
async def gatekeeper(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that holds the lock at which migrations of these tests stop."""
    async with watching(database_url) as keeper:
        await keeper.execute(f"SELECT pg_advisory_lock({GATE})")
        yield keeper


@pytest.fixture
async def see(engine: AsyncEngine) -> AsyncIterator[Look]:
    """Return a function that looks at the fleet."""
    async with connect(engine, print, deadline=LIMIT) as session:
        facts = await session.facts()
        ledger = await Ledger("schema_migrations").resolve(session, facts)
        key = LockKey(facts.database, ledger.schema or "", ledger.table)
        yield lambda: look(session, ledger, key)


@asynccontextmanager
async def service(url: str, **options: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args={"server_settings": options})
    yield engine
    await engine.dispose()


async def application_name(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.exec_driver_sql("SHOW application_name")).scalar())


async def open_gate(keeper: asyncpg.Connection) -> None:
    await keeper.execute(f"SELECT pg_advisory_unlock({GATE})")


async def test_an_empty_database_has_nobody_and_no_ledger(see: Look) -> None:
    assert await see() == Fleet(None)


async def test_every_change_of_the_ledger_shows(see: Look, history: History) -> None:
    history.sql("001_a", "SELECT 1")
    await history.runner().run_migrations()
    first = (await see()).ledger
    assert first == (await see()).ledger
    await history.do("UPDATE schema_migrations SET description = 'x'")
    second = (await see()).ledger
    await history.do("DELETE FROM schema_migrations")
    third = (await see()).ledger
    assert len({first, second, third, None}) == 4


@pytest.mark.parametrize("own", ["shop", "", "the name's \\ \" own"])
async def test_a_waiter_shows_for_as_long_as_it_waits_and_gets_its_own_name_back(
    own: str, see: Look, history: History, database_url: str, gatekeeper: asyncpg.Connection
) -> None:
    history.python("001_gated", PASS)
    async with (
        service(database_url) as first,
        service(database_url, application_name=own) as second,
        anyio.create_task_group() as group,
    ):
        leader, waiter = History(history.directory, first), History(history.directory, second)
        group.start_soon(leader.runner().run_migrations)
        await eventually(lambda: at_work(see), deadline=LIMIT)
        group.start_soon(waiter.runner().run_migrations)
        await eventually(lambda: with_waiters(see), deadline=LIMIT)
        fleet = await see()
        assert fleet.holder is not None
        assert fleet.holder.migration == "001_gated"
        assert fleet.since is not None
        assert len(fleet.waiters) == 1
        await open_gate(gatekeeper)
        await eventually(lambda: nobody(see), deadline=LIMIT)
        # A pool of one: it is the connection that waited.
        assert await application_name(second) == own


async def test_a_name_that_was_set_on_the_connection_comes_back_too(
    see: Look, history: History, database_url: str, gatekeeper: asyncpg.Connection
) -> None:
    history.python("001_gated", PASS)
    async with (
        service(database_url) as first,
        service(database_url) as second,
        anyio.create_task_group() as group,
    ):

        @event.listens_for(second.sync_engine, "connect")
        def set_name(connection: Any, _: object) -> None:
            connection.run_async(lambda driver: driver.execute("SET application_name = 'set later'"))

        leader, waiter = History(history.directory, first), History(history.directory, second)
        group.start_soon(leader.runner().run_migrations)
        await eventually(lambda: at_work(see), deadline=LIMIT)
        group.start_soon(waiter.runner().run_migrations)
        await eventually(lambda: with_waiters(see), deadline=LIMIT)
        await open_gate(gatekeeper)
        await eventually(lambda: nobody(see), deadline=LIMIT)
        assert await application_name(second) == "set later"


async def test_a_waiter_that_takes_over_waits_no_more_in_its_name(
    see: Look, history: History, database_url: str, gatekeeper: asyncpg.Connection
) -> None:
    history.python("001_gated", PASS)
    history.python("002_named", "await self.execute(\"CREATE TABLE n AS SELECT current_setting('application_name')\")")
    history.python("003_between", 'await self.execute("SELECT 1")')
    async with service(database_url) as first, service(database_url) as second, anyio.create_task_group() as group:
        leader, waiter = History(history.directory, first), History(history.directory, second)
        scope = anyio.CancelScope()

        async def lead() -> None:
            with scope:
                await leader.runner().run_migrations()

        group.start_soon(lead)
        await eventually(lambda: at_work(see), deadline=LIMIT)
        group.start_soon(waiter.runner().run_migrations)
        await eventually(lambda: with_waiters(see), deadline=LIMIT)
        scope.cancel()

        async def has_taken_over() -> bool:
            fleet = await see()
            return not fleet.waiters and fleet.holder is not None and fleet.holder.migration == "001_gated"

        await eventually(has_taken_over, deadline=LIMIT)
        await open_gate(gatekeeper)
    assert await history.value("SELECT * FROM n") == "async_migrations: 002_named"


async def test_who_waits_without_ever_migrating_shows_as_well(see: Look, history: History) -> None:
    history.sql("001_a", "SELECT 1")
    async with anyio.create_task_group() as group:
        group.start_soon(history.runner().wait_until_current, LIMIT)
        await eventually(lambda: with_waiters(see), deadline=LIMIT)
        fleet = await see()
        assert (len(fleet.waiters), fleet.holder) == (1, None)
        await history.runner().stamp(1)
    assert (await see()).waiters == ()


@pytest.mark.parametrize("attributes", ["", "transactional = False"], ids=["in a transaction", "outside of one"])
async def test_progress_goes_before_the_next_statement(
    attributes: str, see: Look, history: History, gatekeeper: asyncpg.Connection
) -> None:
    history.python("001_long", f"self.progress(1, 4)\n{PASS}\nself.progress(4, 4)", attributes=attributes)
    history.python("002_next", "await self.execute(\"CREATE TABLE n AS SELECT current_setting('application_name')\")")
    async with anyio.create_task_group() as group:
        group.start_soon(history.runner().run_migrations)

        async def says_how_far() -> bool:
            holder = (await see()).holder
            return holder is not None and holder.progress == (1, 4)

        await eventually(says_how_far, deadline=LIMIT)
        await open_gate(gatekeeper)
    assert await history.value("SELECT * FROM n") == "async_migrations: 002_next"


async def test_a_role_without_rights_sees_who_but_not_from_where(
    see: Look, history: History, database_url: str, gatekeeper: asyncpg.Connection
) -> None:
    history.python("001_gated", f"self.progress(1, 2)\n{PASS}")
    await history.do("CREATE ROLE onlooker LOGIN")
    try:
        async with service(database_url.replace("postgres@", "onlooker@")) as poor, anyio.create_task_group() as group:
            group.start_soon(history.runner().run_migrations)
            await eventually(lambda: at_work(see), deadline=LIMIT)
            async with connect(poor, print, deadline=LIMIT) as session:
                facts = await session.facts()
                key = LockKey(facts.database, "public", "schema_migrations")
                ledger = Ledger("schema_migrations", "public")
                with pytest.raises(LedgerError, match="GRANT SELECT ON"):
                    await look(session, ledger, key)
                await history.do("GRANT SELECT ON schema_migrations TO onlooker")
                fleet = await look(session, ledger, key)
            assert fleet.holder is not None
            assert (fleet.holder.migration, fleet.holder.progress) == ("001_gated", (1, 2))
            assert (fleet.holder.client, fleet.connected, fleet.since) == (None, None, None)
            await open_gate(gatekeeper)
    finally:
        await history.do("DROP OWNED BY onlooker; DROP ROLE onlooker")


async def test_progress_costs_nothing_when_the_transaction_has_failed_already(history: History) -> None:
    body = """
    try:
        async with self.connection.begin_nested():
            try:
                await self.execute("SELECT 1/0")
            finally:
                self.progress(1, 2)
                await self.execute("SELECT 1")
    except Exception as error:
        self.log_info(str(error))
    self.progress(2, 2)
    await self.execute("CREATE TABLE after_all (x integer)")
    """
    history.python("001_a", body)
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.exists("after_all")


async def test_an_index_that_is_built_shows_its_phase(see: Look, history: History, database_url: str) -> None:
    history.sql("001_t", "CREATE TABLE t (x integer); INSERT INTO t VALUES (1)")
    await history.runner().run_migrations()
    history.python("002_index", "await self.op.create_index('ix', 't', ['x'])", attributes="transactional = False")
    async with watching(database_url) as blocker, anyio.create_task_group() as group:
        await blocker.execute("BEGIN; UPDATE t SET x = 2")
        group.start_soon(history.runner().run_migrations)

        async def waits_for_us() -> bool:
            build = (await see()).build
            return build is not None and build.waits_for == blocker.get_server_pid()

        await eventually(waits_for_us, deadline=LIMIT)
        build = (await see()).build
        assert build is not None
        assert (build.table, build.phase) == ("t", "waiting for writers before build")
        assert build.progress == (0, 1)
        await blocker.execute("ROLLBACK")
    assert (await see()).build is None


async def at_work(see: Look) -> bool:
    holder = (await see()).holder
    return holder is not None and holder.migration is not None


async def with_waiters(see: Look) -> bool:
    return bool((await see()).waiters)


async def nobody(see: Look) -> bool:
    fleet = await see()
    return fleet.holder is None and not fleet.waiters
