"""Viewers of the page do not hold up a server's stop, whichever server it is."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import anyio
import httpx
import pytest

from async_migrations.integrations.page.stream import LIFE
from tests.integration.test_page import first, get, streaming
from tests.support.history import History
from tests.support.page_server import SETTINGS, PageServer
from tests.support.processes import module_process
from tests.support.servers import SERVERS, Serving, Way, _kill
from tests.support.waiting import eventually

VIEWERS = 4
SLACK = 10.0


async def answers(page: PageServer) -> bool:
    """Tell whether a worker listens: their parent announces a port at which nobody does yet."""
    try:
        return (await get(page.url)).status_code == 200
    except httpx.TransportError:
        return False


def patience(way: Way) -> float:
    """Return the seconds that a stop may take: fewer than a stream lives, unless the server waits for its end."""
    # https://github.com/pgjones/hypercorn/issues/308
    waits = way.command[0] == "hypercorn" and sys.version_info >= (3, 12, 1)
    return LIFE + SLACK if waits else LIFE * 0.75


@pytest.mark.parametrize("way", SERVERS, ids=str)
async def test_viewers_do_not_hold_up_the_stop(way: Way, history: History, database_url: str) -> None:
    history.sql("001_a", "SELECT 1")
    settings = {"url": database_url, "directory": str(history.directory), "how": "bare", "options": {}}
    module, *arguments = way.command
    served = "tests.support.page_served:app"
    async with module_process(module, served, *arguments, environment={SETTINGS: json.dumps(settings)}) as child:
        server = Serving(child)
        try:
            # Each worker of gunicorn's is deaf to a signal until it loads the application.
            await server.said("application loaded", way.workers)
            page = PageServer(child, f"{await server.url()}/migrations")
            await eventually(lambda: answers(page), deadline=60)
            async with AsyncExitStack() as stack:
                for _ in range(VIEWERS):
                    events = await stack.enter_async_context(streaming(page))
                    await first(events, "state", title="1 migration pending")
                with anyio.fail_after(patience(way)):
                    await server.stop()
        finally:
            await asyncio.to_thread(_kill, child.pid)
