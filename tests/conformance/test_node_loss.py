"""A node is gone without a word: no FIN, no RST, only silence, in which TCP by itself stays for minutes or hours."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner
from async_migrations.session import HELD_SETTINGS, OWN_KEEPALIVE
from async_migrations.testing.server import Server, temporary_server
from tests.conformance.aftermath import LOCKS, watching
from tests.support.history import History
from tests.support.nodes import NETWORK, Node, node
from tests.support.processes import COMMAND, Child, child_process
from tests.support.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

BOUND = 5 + 3 * 2
"""Seconds that docs/replicas.md promises."""
SLACK = 30
"""What a busy machine may add; TCP's own answer is fifteen minutes for what was sent, two hours for silence."""
LONG = "300"
BACKEND = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND {}"
IN_A_STATEMENT = "state = 'active' AND wait_event = 'PgSleep'"
BETWEEN_STATEMENTS = "state = 'idle in transaction' AND query LIKE '%b (id%'"
CREATE = "CREATE TABLE b (id int)"
BODIES = {
    "in a statement": 'await self.execute("SELECT pg_sleep(600)")',
    "between two statements": "await asyncio.sleep(600)",
}
STATES = {"in a statement": IN_A_STATEMENT, "between two statements": BETWEEN_STATEMENTS}


def test_the_settings_are_the_promised_ones() -> None:
    idle, interval, count = (int(HELD_SETTINGS[f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count == BOUND
    assert HELD_SETTINGS["tcp_user_timeout"] == str(BOUND * 1000)
    page = (Path(__file__).parents[2] / "docs" / "replicas.md").read_text("utf-8")
    assert f"TCP keepalives notice on the server after {BOUND} s ({idle} s, then {count} probes {interval} s" in page


@pytest.fixture
def far_server(postgres_version: int) -> Iterator[Server]:
    """Run a server that nodes reach."""
    hba = (f"host all all {NETWORK} trust",)
    with temporary_server(version=postgres_version, settings={"listen_addresses": "*"}, hba=hba) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Place:
    """A database, a history whose second migration takes ten minutes, and a node of its own."""

    node: Node
    history: History
    witness: asyncpg.Connection
    url: str

    def started(self, stack: AsyncExitStack, **environment: str) -> "asyncio.Future[Child]":
        """Start an upgrade on the node."""
        variables = {
            "DATABASE_URL": self.url,
            "ASYNC_MIGRATIONS_DIRECTORY": str(self.history.directory),
            "ASYNC_MIGRATIONS_CONNECT_DEADLINE": "2",
            **environment,
        }
        child = child_process(COMMAND, "upgrade", environment=variables, within=self.node.within)
        return asyncio.ensure_future(stack.enter_async_context(child))

    async def at_work(self, state: str) -> int:
        """Wait until a leader's backend is in a state; return its pid."""
        query = BACKEND.format(state)
        pid = await eventually(lambda: self.witness.fetchval(query, "async_migrations: 002_b"), deadline=60)
        return int(pid)


@pytest.fixture
async def place(far_server: Server, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Place]]]:
    """Return a function that makes places on one server."""
    numbers = itertools.count(1)
    async with AsyncExitStack() as stack:
        with ExitStack() as nodes:

            async def make() -> Place:
                number = next(numbers)
                where = nodes.enter_context(node())
                async with watching(far_server.url()) as administrator:
                    await administrator.execute(f"CREATE DATABASE place{number}")
                url = far_server.url(f"place{number}")
                history = History(tmp_path / f"place{number}", create_async_engine(url, poolclass=NullPool))
                history.sql("001_a", "CREATE TABLE a (id int);")
                history.sql("003_c", "CREATE TABLE c (id int);")
                witness = await stack.enter_async_context(watching(url))
                far = url.replace("+asyncpg", "").replace("127.0.0.1", where.host)
                return Place(where, history, witness, far)

            yield make


async def test_whoever_is_left_notices_it_in_time(place: Callable[[], Awaitable[Place]]) -> None:
    """All at once, since each of them only waits for what TCP is told to notice."""
    chatty = 'while True:\n    await self.execute("SELECT 1")\n    await asyncio.sleep(0.01)'
    async with asyncio.TaskGroup() as tasks:
        for how, body in BODIES.items():
            tasks.create_task(lose_a_leader(await place(), body, STATES[how]))
        tasks.create_task(leave_a_leader(await place(), BODIES["in a statement"], IN_A_STATEMENT))
        tasks.create_task(leave_a_leader(await place(), chatty, "query LIKE '%SELECT 1%'"))
        tasks.create_task(leave_a_waiter(await place()))


async def lose_a_leader(place: Place, body: str, state: str) -> None:
    """The node of the lock's holder is gone: the lock is free in time, and another finishes."""
    slow(place, body)
    async with AsyncExitStack() as stack:
        await place.started(stack)
        pid = await place.at_work(state)
        place.node.vanish()

        async def is_free() -> bool:
            return not await place.witness.fetchval(LOCKS)

        await eventually(is_free, deadline=BOUND + SLACK)
        assert not await place.witness.fetchval("SELECT true FROM pg_stat_activity WHERE pid = $1", pid)
    place.history.python("002_b", f"await self.execute({CREATE!r})")
    report = await place.history.runner().run_migrations()
    assert report.applied == ("002_b", "003_c")


async def leave_a_leader(place: Place, body: str, state: str) -> None:
    """The server of a leader is gone, while it waits for an answer or says something that never arrives."""
    slow(place, body)
    async with AsyncExitStack() as stack:
        child = await place.started(stack)
        await place.at_work(state)
        place.node.vanish()
        await child.line_matching("The connection was lost", deadline=BOUND + SLACK)
        assert await child.wait(deadline=SLACK) == 1
    assert "No connection to 198." in child.transcript()
    assert "001_a: Completed" in child.transcript()


async def leave_a_waiter(place: Place) -> None:
    """The server of a replica that waits for another is gone."""
    slow(place, BODIES["in a statement"])
    engine = create_async_engine(
        place.url.replace("postgresql:", "postgresql+asyncpg:").replace(place.node.host, "127.0.0.1")
    )
    leading = asyncio.create_task(MigrationRunner(engine, directory=place.history.directory).run_migrations())
    await place.at_work(IN_A_STATEMENT)
    async with AsyncExitStack() as stack:
        upgrade = await place.started(stack)
        await upgrade.line_matching("Waiting for another replica to migrate", deadline=60)
        place.node.vanish()
        await upgrade.line_matching("The connection was lost", deadline=BOUND + SLACK)
        assert await upgrade.wait(deadline=SLACK) == 1
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    await engine.dispose()


def slow(place: Place, body: str) -> None:
    place.history.python("002_b", f"await self.execute({CREATE!r})\n{body}", top="import asyncio")


async def test_a_connection_goes_back_to_its_pool_with_the_options_that_it_had(
    database_url: str, tmp_path: Path
) -> None:
    async def options(connection: AsyncConnection) -> list[int]:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        socket_ = driver._transport.get_extra_info("socket")
        return [
            socket_.getsockopt(getattr(socket, layer), getattr(socket, option)) for layer, option, _ in OWN_KEEPALIVE
        ]

    history = History(tmp_path / "migrations", create_async_engine(database_url, pool_size=1, max_overflow=0))
    history.sql("001_a", "CREATE TABLE a (id int);")
    await history.runner().run_migrations()
    async with history.engine.connect() as connection:
        before = await options(connection)
    await history.runner().run_migrations()
    async with history.engine.connect() as connection:
        assert await options(connection) == before
    assert before != [value for _, _, value in OWN_KEEPALIVE]
    await history.engine.dispose()
