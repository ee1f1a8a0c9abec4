"""What ASGI applications say to each other, as types, and what the gate asks of a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from async_migrations.standing import Watch

# As loose as Starlette's own, so that its applications fit.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Page(Protocol):
    """An ASGI application that shows how the run stands, before the service is ready and after.

    Attributes:
        path: where it is, such as "/migrations"; all below it is the page's too.
    """

    path: str

    def attach(self, watch: Watch) -> None:
        """Take the watch of the gate's run; called once, before any request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Answer one request."""
