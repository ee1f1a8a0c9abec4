"""A request to an application behind a gate that is open, against the application alone."""

import time
from functools import partial

from fastapi import FastAPI

from async_migrations import MigrationRunner
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.protocol import ASGIApp, Message, Receive, Scope, Send
from tests.benchmarks import histories
from tests.benchmarks.place import Place, compare, engine_on, say
from tests.benchmarks.table import Row, timed
from tests.support.asgi import Served, served
from tests.support.waiting import eventually

PAIRS = 40
"""Pairs of short measurements for each repetition: the difference is smaller than what one of them wavers."""

SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/orders/7",
    "raw_path": b"/orders/7",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"service"), (b"accept", b"application/json"), (b"user-agent", b"benchmark")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}


def application() -> FastAPI:
    """Make a service with one endpoint."""
    app = FastAPI()

    @app.get("/orders/{number}")
    async def order(number: int) -> dict[str, int]:
        return {"number": number}

    return app


async def bare(scope: Scope, _: Receive, send: Send) -> None:
    """Answer as little as an application can; of a lifespan it knows nothing."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def receive() -> Message:
    """Return the body of a request that has none."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_: Message) -> None:
    """Be the client that reads the answer."""


async def ask(app: ASGIApp, times: int) -> float:
    """Send requests one after the other, as a server does; return the CPU time that they took, in seconds.

    Nothing is waited for, so that it is what a clock would say on a machine that does nothing else.
    """
    started = time.process_time()
    for _ in range(times):
        await app({**SCOPE, "state": {}}, receive, send)
    return time.process_time() - started


async def is_open(server: Served) -> bool:
    """Tell whether the gate lets requests pass."""
    return (await server.client.get("/readyz")).status_code == 200


async def rows(place: Place) -> list[Row]:
    """Compare a small FastAPI service, and an application that does nothing, with themselves behind a gate."""
    say("the gate")
    folder, times = place.folder(histories.sql_files, 1), _times(place)
    async with place.database() as database, engine_on(place.server.url(database)) as engine:
        runner = MigrationRunner(engine, directory=folder, observers=())
        service = await _measured(place, runner, application())
        nothing = await _measured(place, runner, bare)
    ours, alone = (f"{total / times * 1e6:.1f} µs" for total in nothing[0])
    return [
        timed(f"{times:,} requests to a FastAPI endpoint: behind the open gate", *service, bound=1.05),
        Row("a request to an application that does nothing: the same", ours, alone, f"{nothing[1]:.2f}"),
    ]


async def _measured(place: Place, runner: MigrationRunner, app: ASGIApp) -> tuple[tuple[float, float], float]:
    gate = MigrationGate(app, runner)
    async with served(gate) as server:
        await eventually(partial(is_open, server), deadline=30)
        gated, alone = (partial(ask, each, _times(place)) for each in (gate, app))
        return await compare(place.scale.pairs(PAIRS), gated, alone)


def _times(place: Place) -> int:
    return max(place.scale.migrations // 5, 1)
