"""The server crashes in the middle of a migration and comes back."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from async_migrations.testing.server import Server
from tests.conformance.aftermath import check, names, watching
from tests.conformance.gate import DIRECTORY, INDEXES, STOPS, Stop, shut
from tests.support.pgbouncer import pgbouncer
from tests.support.replica_launcher import open_engine
from tests.support.replicas import Launcher

pytestmark = pytest.mark.conformance

REPLICAS = 4


@pytest.fixture(params=["directly", "transaction", "session"])
def way(request: pytest.FixtureRequest, own_server: Server) -> Iterator[str]:
    """Return the URL under which replicas reach the server: its own, or that of a pooler in one of its modes."""
    with ExitStack() as stack:
        if request.param == "directly":
            yield own_server.url()
        else:
            # A pooler that met a server that starts would not look again for 15 s.
            pooler = pgbouncer(own_server, request.param, server_login_retry="0")
            yield stack.enter_context(pooler).url()


@pytest.mark.parametrize("stop", STOPS, ids=[stop.migration for stop in STOPS])
async def test_replicas_reconnect_and_finish(stop: Stop, own_server: Server, way: str, launcher: Launcher) -> None:
    pooled = way != own_server.url()
    engine = open_engine(own_server.url())
    async with watching(own_server.url()) as witness, shut(stop, own_server.url(), witness, engine) as gate:
        replicas = await launcher.muster(REPLICAS, way, DIRECTORY, unnamed_statements=pooled)
        await launcher.go(replicas)
        await gate.reached()
        # A crash empties the gate's table, which is not logged, and ends the transaction that a build waits for.
        await asyncio.to_thread(own_server.restart, "immediate")
        outcomes = await asyncio.gather(*(replica.outcome() for replica in replicas))
    await engine.dispose()
    assert [each.error for each in outcomes if each.kind != "done"] == []
    assert sorted(name for each in outcomes for name in each.applied) == names(DIRECTORY)[stop.number - 1 :]
    async with watching(own_server.url()) as witness:
        await check(witness, DIRECTORY, INDEXES, pooled=pooled)
