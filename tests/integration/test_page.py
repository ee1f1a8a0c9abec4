"""The page on a real server, as programs see it."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from async_migrations import MigrationRunner
from async_migrations.testing.server import Server
from tests.support.history import History
from tests.support.http import plain_client
from tests.support.page_server import APPLICATION, PageServer, serving
from tests.support.pgbouncer import pgbouncer
from tests.support.replica_launcher import open_engine
from tests.support.waiting import eventually

LIMIT = 30.0
SESSIONS = (
    "SELECT state, backend_xmin IS NULL AS free FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = $1"
)
EVERYWHERE = ["", "/state", "/events", "/nothing"]


@asynccontextmanager
async def streaming(page: PageServer, **headers: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Open the stream of events; yield them as they come."""
    url = f"{page.url.rstrip('/')}/events"
    async with (
        plain_client() as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response)


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


async def first(events: AsyncIterator[tuple[str, Any]], kind: str, **facts: object) -> Any:
    """Return the first event of a kind that says all of `facts`."""
    with anyio.fail_after(LIMIT):
        async for found, data in events:
            if found == kind and all(data[key] == value for key, value in facts.items()):
                return data
    raise AssertionError(f"the stream ended without {kind} {facts}")


async def get(url: str, method: str = "GET", **options: Any) -> httpx.Response:
    async with plain_client() as client:
        return await client.request(method, url, **options)


@pytest.fixture
def two(history: History) -> History:
    history.sql("001_a", "-- description: The first\nCREATE TABLE a (x integer)")
    history.sql("002_b", "CREATE TABLE b (x integer)")
    return history


@pytest.mark.parametrize("how", ["bare", "mounted", "router", "litestar", "gated"])
async def test_it_is_there_wherever_it_is_put(how: str, two: History, database_url: str) -> None:
    await two.runner().run_migrations(1 if how != "gated" else None)
    async with serving(database_url, two.directory, how) as page:
        root = page.url.rstrip("/")
        answer = await get(page.url)
        assert answer.status_code == 200
        assert "<b>001_a</b>" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        # What the page itself would open, relative to where it is.
        below = answer.text.partition('data-events="')[2].partition('"')[0]
        assert str(httpx.URL(page.url).join(below)) == f"{root}/events"
        state = (await get(f"{root}/state")).json()
        assert [line["name"] for line in state["table"]["applied"]][-1] == "001_a"
        assert state["table"]["applied"][-1]["description"] == "The first"
        async with streaming(page) as events:
            table = await first(events, "table")
        assert table["applied"] == state["table"]["applied"]
        assert (await get(f"{root}/nothing")).status_code == 404
        assert (await get(page.url, "POST")).status_code == 405
        head = await get(f"{root}/events", "HEAD")
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("below", EVERYWHERE)
async def test_a_refusal_is_everywhere(below: str, two: History, database_url: str) -> None:
    async with serving(database_url, two.directory, password="secret") as page:
        refused = await get(f"{page.url}{below}")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert "001_a" not in refused.text
        assert (await get(f"{page.url}{below}", "POST")).status_code == 401
        if below in {"", "/state"}:
            assert (await get(f"{page.url}{below}", auth=("ops", "secret"))).status_code == 200


async def test_a_stream_does_not_repeat_what_its_viewer_has(two: History, database_url: str) -> None:
    async with serving(database_url, two.directory) as page:
        async with streaming(page) as events:
            revision = (await first(events, "table"))["revision"]
        async with streaming(page, **{"Last-Event-ID": revision}) as events:
            kind, state = await anext(events)
            assert (kind, state["revision"]) == ("state", revision)
            await two.runner().run_migrations()
            table = await first(events, "table")
            assert [line["name"] for line in table["applied"]] == ["002_b", "001_a"]
            await first(events, "state", title="Current")


async def test_all_viewers_share_one_idle_session_that_ends_with_the_last(
    two: History, database_url: str, witness: asyncpg.Connection
) -> None:
    async def sessions() -> list[asyncpg.Record]:
        return list(await witness.fetch(SESSIONS, APPLICATION))

    async def none() -> bool:
        return not await sessions()

    async with serving(database_url, two.directory, refresh=0.05) as page:
        assert await none()
        async with streaming(page) as one, streaming(page) as two_, streaming(page) as three:
            for stream in (one, two_, three):
                await first(stream, "state")
            for _ in range(20):
                assert len(await sessions()) == 1

            async def idle_without_snapshot() -> bool:
                return [tuple(row) for row in await sessions()] == [("idle", True)]

            await eventually(idle_without_snapshot, deadline=LIMIT)
        await eventually(none, deadline=LIMIT)


async def test_a_concurrent_index_is_built_while_somebody_watches(two: History, database_url: str) -> None:
    await two.runner().run_migrations()
    two.sql("003_index", "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON a (x)")
    async with serving(database_url, two.directory, refresh=0.01) as page, streaming(page) as events:
        await first(events, "state")
        assert (await two.runner().run_migrations()).applied == ("003_index",)
        await first(events, "state", title="Current")


async def test_a_ledger_that_nobody_may_read_now_does_not_take_the_page_down(
    two: History, database_url: str, witness: asyncpg.Connection
) -> None:
    await two.runner().run_migrations()
    async with serving(database_url, two.directory, refresh=0.1, deadline=0.5) as page, streaming(page) as events:
        await first(events, "state", title="Current", lost=None)
        await witness.execute("BEGIN; LOCK TABLE schema_migrations")
        sentence = "Database not reachable: no answer in time. What is below was read before."
        lost = await first(events, "state", lost=sentence)
        assert lost["title"] == "Current"
        await witness.execute("ROLLBACK")
        await first(events, "state", title="Current", lost=None)


async def test_a_server_that_is_gone_is_said_so_and_found_again(own_server: Server, tmp_path: Path) -> None:
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    async with serving(own_server.url(), tmp_path, refresh=0.1, deadline=1.0) as page, streaming(page) as events:
        await first(events, "state", title="1 migration pending", lost=None)
        await anyio.to_thread.run_sync(own_server.stop)
        with anyio.fail_after(LIMIT):
            async for kind, state in events:
                if kind == "state" and state["lost"]:
                    break
        assert state["title"] == "1 migration pending"
        assert state["lost"].startswith("Database not reachable: ")
        fresh = await get(f"{page.url}/state")
        assert fresh.status_code == 200
        await anyio.to_thread.run_sync(own_server.start)
        async with streaming(page) as again:
            await first(again, "state", lost=None)


async def test_another_tools_ledger_is_named_and_nothing_is_read_from_it(
    two: History, database_url: str, witness: asyncpg.Connection
) -> None:
    await witness.execute("CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('1')")
    async with serving(database_url, two.directory) as page:
        state = (await get(f"{page.url}/state")).json()["state"]
        assert (state["tone"], state["title"]) == ("bad", "The ledger cannot be read")
        assert "Rails, Ecto or dbmate" in state["detail"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_open_stream_does_not_hold_up_the_servers_stop(
    number: signal.Signals, two: History, database_url: str
) -> None:
    async with serving(database_url, two.directory) as page, streaming(page) as events:
        await first(events, "state")
        page.child.send_signal(number)
        rest = [kind async for kind, _ in events]
        assert "state" not in rest or len(rest) < 100
        assert await page.child.wait(deadline=15) in {0, -number}


async def test_a_leader_behind_a_pooler_is_seen_as_well(
    two: History, server: Server, database_url: str, witness: asyncpg.Connection
) -> None:
    two.python("003_gated", "await self.execute('SELECT pg_advisory_xact_lock(77)')")
    await witness.execute("SELECT pg_advisory_lock(77)")
    with pgbouncer(server) as bouncer:
        engine = open_engine(bouncer.url(make_url(database_url).database or ""), unnamed_statements=True)
        leader = MigrationRunner(engine, directory=two.directory, observers=())
        async with (
            serving(database_url, two.directory, refresh=0.1) as page,
            streaming(page) as events,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(leader.run_migrations)
            state = await first(events, "state", title="Migrating 3 of 3")
            assert state["migration"] == "003_gated"
            await witness.execute("SELECT pg_advisory_unlock(77)")
            await first(events, "state", title="Current")
        await engine.dispose()


async def test_no_credentials_are_anywhere(two: History, database_url: str) -> None:
    with_password = database_url.replace("postgres@", "postgres:hunter2@")
    assert with_password != database_url
    async with serving(with_password, two.directory) as page:
        assert "hunter2" not in (await get(page.url)).text
        assert "hunter2" not in (await get(f"{page.url}/state")).text
