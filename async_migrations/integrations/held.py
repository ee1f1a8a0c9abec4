"""A request that is held: what its client says meanwhile, and whether it is still there."""

from __future__ import annotations

from collections import deque

import anyio

from async_migrations.integrations.protocol import Message, Receive

GONE = ("http.disconnect", "websocket.disconnect")


class Held:
    """Listens to a client in the application's place, and passes on what it has heard.

    Args:
        receive: the request's own.

    Attributes:
        is_gone: whether the client has gone, so that nobody waits for an answer.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._heard: deque[Message] = deque()
        self.is_gone = False

    async def until(self, decided: anyio.Event) -> None:
        """Wait for a decision, or until the client has gone."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, group.cancel_scope)
            await decided.wait()
            group.cancel_scope.cancel()

    async def receive(self) -> Message:
        """Receive as the application would have, had it not been held."""
        return self._heard.popleft() if self._heard else await self._receive()

    async def _listen(self, scope: anyio.CancelScope) -> None:
        # The rest of a large body is left to the server, which lets its client wait, and not kept in memory here.
        while not (self._heard and self._heard[-1].get("more_body")):
            message = await self._receive()
            if message["type"] in GONE:
                self.is_gone = True
                scope.cancel()
                return
            self._heard.append(message)
