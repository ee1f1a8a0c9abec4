"""A rolling update, as a cluster does it: pods with probes behind a balancer, steady requests, there and back."""

import asyncio
import json
import signal
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import pytest

from tests.conformance.aftermath import LOCKS, gone
from tests.support.balancer import Balancer, Traffic, balancing
from tests.support.kubelet import Deployment, Image, Pod, deploying
from tests.support.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

DOOR = 4_712
AT_THE_DOOR = f"{LOCKS} AND objid = {DOOR} AND NOT granted"
LEDGER = "SELECT array_agg(migration_name ORDER BY migration_name) FROM schema_migrations"
ORDER = b"POST /orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
OLD = {
    "001_orders.sql": "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, image text NOT NULL);",
    "002_taken_at.sql": "ALTER TABLE orders ADD COLUMN taken_at timestamptz DEFAULT now();",
    "003_customers.sql": "CREATE TABLE customers (id bigint PRIMARY KEY, email text);",
    "004_customer_email.sql": "CREATE UNIQUE INDEX customers_email ON customers (email);",
    "005_note.sql": "ALTER TABLE orders ADD COLUMN note text;",
}
NEW = {
    **OLD,
    "006_customer.sql": "ALTER TABLE orders ADD COLUMN customer_id bigint;",
    "007_long.py": f'''
        from async_migrations import BaseMigration


        class Migration(BaseMigration):
            """Works for longer than any probe has patience."""

            async def upgrade(self) -> None:
                self.progress(1, 3)
                await self.execute("SET LOCAL lock_timeout = 0")
                await self.execute("SELECT pg_advisory_xact_lock({DOOR})")
                await self.execute("CREATE TABLE totals (day date PRIMARY KEY, total numeric)")
        ''',
    "008_order_images.sql": "-- transactional: false\nCREATE INDEX CONCURRENTLY orders_image ON orders (image);",
}
DEAF = """
    import os
    import time

    from async_migrations import BaseMigration


    class Migration(BaseMigration):
        \"\"\"Keeps the event loop for itself, and swallows what would end that.\"\"\"

        async def upgrade(self) -> None:
            await self.execute("CREATE TABLE deaf (id int)")
            open(os.environ["STUCK"] + ".now", "w").close()
            while os.path.exists(os.environ["STUCK"]):
                try:
                    time.sleep(0.02)
                except BaseException:
                    pass
    """
PATIENCE = 8
"""So often is a probe asked while a migration runs, more than any failureThreshold but that of the start-up."""


def names(files: dict[str, str]) -> list[str]:
    return [name.partition(".")[0] for name in files]


def image(tmp_path: Path, url: str, name: str, files: dict[str, str], **environment: str) -> Image:
    folder = tmp_path / name
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_text(textwrap.dedent(content))
    return Image(name, {"DATABASE_URL": url, "MIGRATIONS": str(folder), **environment})


def served_by(body: bytes) -> str:
    return str(json.loads(body)["image"])


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    async with balancing() as balancer:
        yield balancer


@pytest.fixture
def traffic(balancer: Balancer) -> Traffic:
    return Traffic(balancer.port, ORDER, served_by)


@pytest.fixture
def five(tmp_path: Path, database_url: str) -> Image:
    return image(tmp_path, database_url, "five", OLD)


@pytest.fixture
def eight(tmp_path: Path, database_url: str) -> Image:
    return image(tmp_path, database_url, "eight", NEW)


async def shut(witness: asyncpg.Connection) -> None:
    await witness.execute(f"SELECT pg_advisory_lock({DOOR})")


async def reached(witness: asyncpg.Connection) -> None:
    await eventually(lambda: witness.fetchval(AT_THE_DOOR), deadline=60)


async def open_(witness: asyncpg.Connection) -> None:
    await witness.execute(f"SELECT pg_advisory_unlock({DOOR})")


async def outlasts_its_probes(pod: Pod) -> None:
    """Wait until the probes have been at a migrating pod more often than they tolerate failures."""

    async def enough() -> bool:
        return pod.probed["liveness", "ok"] >= PATIENCE and pod.probed["readiness", "failed"] >= PATIENCE

    await eventually(enough, deadline=60)


async def nothing_went_wrong(deployment: Deployment, traffic: Traffic, witness: asyncpg.Connection) -> None:
    assert traffic.lost == []
    assert [pod.killed_by for pod in deployment.ever if pod.killed_by] == []
    counted = await witness.fetch("SELECT image, count(*) FROM orders GROUP BY image")
    assert {row[0]: row[1] for row in counted} == dict(traffic.served)
    # uvicorn ends as SIGTERM ends a process, after it has cleaned up.
    assert {code for pod in deployment.ever for code in pod.exits} == {-signal.SIGTERM}


async def test_there_and_back_without_losing_a_request(
    balancer: Balancer, traffic: Traffic, witness: asyncpg.Connection, five: Image, eight: Image
) -> None:
    async with deploying(balancer) as deployment:
        await deployment.roll_out(five)
        await shut(witness)
        async with traffic.flowing():
            await traffic.more(10, "five")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(deployment.roll_out(eight))
                await reached(witness)
                (migrating,) = [pod for pod in deployment.pods if pod.image is eight]
                await outlasts_its_probes(migrating)
                await traffic.more(10, "five")
                await open_(witness)
            assert await witness.fetchval(LEDGER) == names(NEW)
            await traffic.more(10, "eight")
            await deployment.roll_out(five)
            await traffic.more(10, "five")
    await nothing_went_wrong(deployment, traffic, witness)
    assert await witness.fetchval(LEDGER) == names(NEW)
    await gone(witness)


async def test_a_drained_node_takes_the_migrating_pod_away(
    balancer: Balancer, traffic: Traffic, witness: asyncpg.Connection, five: Image, eight: Image
) -> None:
    async with deploying(balancer, replicas=2, max_surge=2) as deployment:
        await deployment.roll_out(five)
        await shut(witness)
        async with traffic.flowing():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(deployment.roll_out(eight))
                await reached(witness)
                leader = await leader_of(witness, deployment)
                await deployment.delete(leader)
                assert "007_long was cancelled" in (leader.child.transcript() if leader.child else "")
                await reached(witness)
                await open_(witness)
            await traffic.more(10, "eight")
    await nothing_went_wrong(deployment, traffic, witness)
    assert await witness.fetchval(LEDGER) == names(NEW)


async def test_a_drained_pod_finishes_its_migration_within_its_grace_and_begins_no_other(
    balancer: Balancer, witness: asyncpg.Connection, tmp_path: Path, database_url: str
) -> None:
    patient = image(tmp_path, database_url, "patient", NEW, GRACE="300")
    await shut(witness)
    async with deploying(balancer, replicas=1, grace=60) as deployment:
        leader = deployment.start(patient)
        await reached(witness)
        assert leader.child
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deployment.delete(leader))
            await leader.child.line_matching("Told to stop: 007_long may finish within 300 s, no other begins")
            await open_(witness)
        assert await witness.fetchval(LEDGER) == names(NEW)[:7]
        assert "Applied before it: 001_orders" in leader.child.transcript()
        await deployment.roll_out(patient)
    assert await witness.fetchval(LEDGER) == names(NEW)
    assert leader.exits == [-signal.SIGTERM]


async def test_a_pod_that_hears_nothing_is_killed_after_its_grace_and_the_next_one_finishes(
    balancer: Balancer, witness: asyncpg.Connection, tmp_path: Path, database_url: str
) -> None:
    stuck = tmp_path / "stuck"
    stuck.touch()
    deaf = image(tmp_path, database_url, "deaf", {**OLD, "006_deaf.py": DEAF}, STUCK=str(stuck))
    async with deploying(balancer, replicas=1, grace=1.0) as deployment:
        first = deployment.start(deaf)
        # Not when the server has answered: a signal would still meet the pod as it awaits the answer.
        await eventually(anyio.Path(f"{stuck}.now").exists, deadline=60)
        await deployment.delete(first)
        stuck.unlink()
        await deployment.roll_out(deaf)
    assert first.exits == [-signal.SIGKILL]
    assert await witness.fetchval(LEDGER) == [*names(OLD), "006_deaf"]


async def test_an_old_image_that_refuses_a_newer_ledger_takes_nothing_down(
    balancer: Balancer, traffic: Traffic, tmp_path: Path, database_url: str, eight: Image
) -> None:
    strict = image(tmp_path, database_url, "strict", OLD, UNKNOWN="error")
    async with deploying(balancer, replicas=1) as deployment:
        await deployment.roll_out(eight)
        async with traffic.flowing():
            rolling = asyncio.create_task(deployment.roll_out(strict))

            async def has_ended_twice() -> bool:
                return any(len(pod.exits) > 1 for pod in deployment.pods)

            await eventually(has_ended_twice, deadline=60)
            await traffic.more(10, "eight")
            rolling.cancel()
        (refusing,) = [pod for pod in deployment.ever if pod.image is strict]
        assert not refusing.is_ready
    assert traffic.lost == []
    assert traffic.served.keys() == {"eight"}
    assert refusing.exits[:2] == [3, 3]
    assert refusing.killed_by == []


async def leader_of(witness: asyncpg.Connection, deployment: Deployment) -> Pod:
    """Find the pod that applied the migration before the door: the ledger has its process."""
    who = await witness.fetchval("SELECT applied_by FROM schema_migrations WHERE migration_name = '006_customer'")
    (leader,) = [pod for pod in deployment.pods if pod.child and who.endswith(f":{pod.child.pid}")]
    return leader
