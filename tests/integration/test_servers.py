"""Real servers migrate in the lifespan and behind the gate: once, visibly, and with a clean end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conformance.aftermath import LOCKS
from tests.support.http import plain_client
from tests.support.servers import (
    GREEN,
    GREEN_ONE,
    HYPER,
    HYPER_ALONE,
    ONE,
    SERVERS,
    TWO,
    Serving,
    Way,
    serving,
)
from tests.support.waiting import eventually

HOLD = 42
WAITING = f"{LOCKS} AND objid = {HOLD} AND NOT granted"
LEDGER = "SELECT array_agg(migration_name ORDER BY migration_name) FROM schema_migrations"
HISTORY = {
    "001_audit.sql": "CREATE TABLE audit (migration text NOT NULL); INSERT INTO audit VALUES ('001');",
    "002_slow.py": '''
        """Stops where the test holds it."""
        from async_migrations import BaseMigration


        class Migration(BaseMigration):
            """Reports its progress, then waits."""

            async def upgrade(self) -> None:
                self.progress(40, 100)
                await self.execute("SELECT pg_advisory_xact_lock(42); INSERT INTO audit VALUES ('002')")
        ''',
    "003_last.sql": "INSERT INTO audit VALUES ('003');",
}
NAMES = ["001_audit", "002_slow", "003_last"]
SENTENCE = 'The upgrade of 002_bad failed: relation "nothing" does not exist (SQLSTATE 42P01). Nothing of it stays.'


def by_name(way: Way) -> str:
    return way.name.replace(" ", "-")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Return three migrations; the second waits for a lock."""
    for name, content in HISTORY.items():
        (tmp_path / name).write_text("\n".join(line.removeprefix(" " * 8) for line in content.splitlines()))
    return tmp_path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return two migrations; the second fails."""
    (tmp_path / "001_audit.sql").write_text(HISTORY["001_audit.sql"])
    (tmp_path / "002_bad.sql").write_text("ALTER TABLE nothing ADD COLUMN password text DEFAULT 'hunter2';")
    return tmp_path


@asynccontextmanager
async def client(serving: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(base_url=await serving.url()) as client:
        yield client


async def hold(witness: asyncpg.Connection) -> None:
    await witness.execute("SELECT pg_advisory_lock($1)", HOLD)


async def let_go(witness: asyncpg.Connection) -> None:
    await witness.execute("SELECT pg_advisory_unlock($1)", HOLD)


async def a_migration_waits(witness: asyncpg.Connection) -> None:
    await eventually(lambda: witness.fetchval(WAITING), deadline=60)


async def each_ran_once(witness: asyncpg.Connection) -> None:
    assert await witness.fetchval(LEDGER) == NAMES
    assert [row[0] for row in await witness.fetch("SELECT migration FROM audit ORDER BY 1")] == ["001", "002", "003"]


async def nothing_is_left(witness: asyncpg.Connection) -> None:
    """Assert that the migration was taken back, and nobody holds the lock nor waits for anything."""
    await eventually(lambda: is_free(witness), deadline=5)
    assert await witness.fetchval(LEDGER) == ["001_audit"]


async def is_free(witness: asyncpg.Connection) -> bool:
    # The one that is left is the test's own.
    return await witness.fetchval(LOCKS) == 1 and not await witness.fetchval(WAITING)


async def ready(client: httpx.AsyncClient) -> Any:
    """Wait until /readyz says so; return its document."""

    async def answer() -> Any:
        found = await client.get("/readyz")
        return found.json() if found.status_code == 200 else None

    return await eventually(answer, deadline=60)


@pytest.mark.any_server
@pytest.mark.parametrize("way", SERVERS, ids=by_name)
async def test_all_workers_come_up_by_the_lifespan_and_each_migration_runs_once(
    way: Way, slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    async with serving(way, "living", database_url, slow) as running:
        await running.said("application up", way.workers)
        async with client(running) as requests:
            assert (await requests.get("/")).json()["word"] == "hello"
        await running.stop()
        await running.said("application down", way.workers)
    await each_ran_once(witness)


@pytest.mark.any_server
@pytest.mark.parametrize("way", SERVERS, ids=by_name)
async def test_a_gate_answers_while_a_migration_runs_and_opens_afterwards(
    way: Way, slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    await hold(witness)
    async with serving(way, "gated", database_url, slow) as running, client(running) as requests:
        await a_migration_waits(witness)
        assert (await requests.get("/livez")).status_code == 200
        says = await requests.get("/readyz")
        assert (says.status_code, says.headers["retry-after"]) == (503, "5")
        assert says.json()["ready"] is False
        early = await requests.get("/")
        assert (early.status_code, early.headers["retry-after"]) == (503, "5")
        assert "application up" not in running.text()
        await let_go(witness)
        await running.said("application up", way.workers)
        assert (await ready(requests))["phase"] == "current"
        assert (await requests.get("/")).json()["word"] == "hello"
        await running.stop()
        await running.said("application down", way.workers)
    await each_ran_once(witness)


@pytest.mark.any_server
@pytest.mark.parametrize("way", [ONE, TWO, GREEN_ONE, HYPER, HYPER_ALONE], ids=by_name)
async def test_a_failed_migration_stops_the_lifespan_with_the_engines_sentence(
    way: Way, bad: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    async with serving(way, "living", database_url, bad) as running:
        code = await running.child.wait(deadline=60)
    # Without workers hypercorn's error is the interpreter's.
    assert code in ({1} if way is HYPER_ALONE else way.boot_failure)
    assert f"async_migrations.errors.NotStartedError: {SENTENCE}" in running.text()
    if way.command[0] != "hypercorn":  # which prints its own frames around it
        assert running.text().count("  File ") <= 2 * way.workers
    assert await witness.fetchval(LEDGER) == ["001_audit"]


@pytest.mark.any_server
@pytest.mark.parametrize("way", [ONE, TWO, GREEN_ONE, HYPER, HYPER_ALONE], ids=by_name)
async def test_a_failed_migration_behind_the_gate_ends_the_server_with_one_sentence(
    way: Way, bad: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    async with serving(way, "gated", database_url, bad) as running:
        assert await running.child.wait(deadline=60) in way.boot_failure
    assert f"The service does not start. {SENTENCE}" in running.text()
    assert "Traceback" not in running.text()
    assert await witness.fetchval(LEDGER) == ["001_audit"]


@pytest.mark.any_server
async def test_an_application_that_fails_behind_the_gate_ends_the_server_too(
    slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    async with serving(ONE, "gated", database_url, slow, BROKEN="1") as running:
        assert await running.child.wait(deadline=60) in ONE.boot_failure
    assert "there is no cache" in running.text()
    await each_ran_once(witness)


@pytest.mark.any_server
@pytest.mark.parametrize("way", [ONE, HYPER], ids=by_name)
async def test_a_gate_that_stays_says_why_until_it_is_told_to_end(way: Way, bad: Path, database_url: str) -> None:
    async with serving(way, "gated", database_url, bad, ON_FAILURE="stay") as running, client(running) as requests:
        await running.said("The service does not start", 1)
        says = (await requests.get("/readyz")).json()
        assert (says["phase"], says["reason"]) == ("failed", SENTENCE)
        assert "hunter2" not in str(says)
        assert (await requests.get("/livez")).status_code == 200
        assert (await requests.get("/")).status_code == 503
        assert await running.stop() in {0, -signal.SIGTERM}


@pytest.mark.parametrize("way", [ONE, TWO, GREEN, HYPER_ALONE], ids=by_name)
async def test_sigterm_during_a_migration_in_the_lifespan_takes_it_back(
    way: Way, slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    await hold(witness)
    async with serving(way, "living", database_url, slow) as running:
        # uvicorn notes a signal that comes before that, and lets the lifespan begin all the same.
        await running.said("application migrates", way.workers)
        await a_migration_waits(witness)
        assert await running.stop() is not None
        await nothing_is_left(witness)
    assert "Stopped by SIGTERM. 002_slow was cancelled. Applied before it: 001_audit (stays so)." in running.text()
    assert "application up" not in running.text()


@pytest.mark.parametrize("way", SERVERS, ids=by_name)
async def test_sigterm_during_a_migration_behind_the_gate_takes_it_back(
    way: Way, slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    await hold(witness)
    async with serving(way, "gated", database_url, slow) as running:
        await running.url()
        await a_migration_waits(witness)
        assert await running.stop() in {0, -signal.SIGTERM}
        await nothing_is_left(witness)
    assert "002_slow was cancelled. Applied before it: 001_audit (stays so)." in running.text()
    assert "application up" not in running.text()


async def test_sigterm_refuses_the_requests_that_are_held(
    slow: Path, database_url: str, witness: asyncpg.Connection
) -> None:
    await hold(witness)
    async with serving(ONE, "gated", database_url, slow, HOLD="600") as running, client(running) as requests:
        await a_migration_waits(witness)
        early = asyncio.create_task(requests.get("/"))
        # What came before it on the same server has been read when this is answered.
        await requests.get("/livez")
        assert await running.stop() == -signal.SIGTERM
        assert (await early).status_code == 503
        await nothing_is_left(witness)


@pytest.mark.any_server
async def test_a_server_whose_lifespan_is_off_says_so(slow: Path, database_url: str) -> None:
    way = Way("uvicorn --lifespan off", (*ONE.command, "--lifespan", "off"))
    async with serving(way, "gated", database_url, slow) as running, client(running) as requests:
        says = await requests.get("/readyz")
        assert (says.status_code, says.json()["application"]) == (503, "absent")
        assert "--lifespan on" in says.json()["reason"]
        await running.said("The server has not begun the lifespan", 1)
        assert await running.stop() == -signal.SIGTERM
