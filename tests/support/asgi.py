"""A server in this process: it speaks the lifespan with an application, and sends it requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from async_migrations.integrations.protocol import ASGIApp, Message, Receive, Scope, Send

DEADLINE = 30.0


@dataclass
class Served:
    """An application that is served.

    Attributes:
        client: Sends it requests.
        said: The lifespan messages that it sent.
        state: What it put into the lifespan's state.
        over: Its lifespan; done when the application has left it.
    """

    client: httpx.AsyncClient
    said: list[Message]
    state: dict[str, Any]
    over: "asyncio.Task[None]"
    _mail: "asyncio.Queue[Message]" = field(default_factory=asyncio.Queue)

    async def stop(self) -> None:
        """Send lifespan.shutdown and wait until the application has left."""
        self._mail.put_nowait({"type": "lifespan.shutdown"})
        async with asyncio.timeout(DEADLINE):
            await self.over

    @property
    def kinds(self) -> list[str]:
        return [message["type"].removeprefix("lifespan.") for message in self.said]


@asynccontextmanager
async def served(
    app: ASGIApp, *, root_path: str = "", said: list[Message] | None = None, state: dict[str, Any] | None = None
) -> AsyncIterator[Served]:
    """Start an application as a server does, and stop it at the end of the block unless it has left.

    Args:
        app: The application.
        root_path: Where it is mounted.
        said: Where its lifespan messages go, for who wants them although it does not start.
        state: What the lifespan's state has already, as a server or an outer application may put it there.

    Raises:
        Exception: What the application raised instead of starting.
    """
    mail: asyncio.Queue[Message] = asyncio.Queue()
    said = [] if said is None else said
    started = asyncio.Event()
    state = {} if state is None else state

    async def hear(message: Message) -> None:
        said.append(message)
        started.set()

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    over = asyncio.ensure_future(app(scope, mail.get, hear))
    over.add_done_callback(lambda _: started.set())
    mail.put_nowait({"type": "lifespan.startup"})
    async with asyncio.timeout(DEADLINE):
        await started.wait()
    if said and said[-1]["type"] == "lifespan.startup.failed":
        await over
    transport = httpx.ASGITransport(with_state, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        server = Served(client, said, state, over, mail)
        try:
            yield server
        finally:
            if not over.done():
                await server.stop()
