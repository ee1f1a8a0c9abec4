"""Server-sent events: how things stand, sent whenever that changes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio

from async_migrations.integrations.page.view import View
from async_migrations.integrations.protocol import Receive, Send
from async_migrations.integrations.signals import is_stopping

HEARTBEAT = 10.0
"""Seconds after which something is sent even if nothing changed, so that no proxy thinks the connection dead."""

LIFE = 20.0
"""Seconds after which a stream ends and the browser opens the next one.

A server that stops waits for open answers, each in its own way and some for ever; this is what it waits at most, and
less than the 30 s after which Kubernetes kills.
"""

RETRY = "retry: 1000\n\n"
"""Milliseconds after which a browser opens the next stream."""

SHORTEST_PAUSE = 0.2
"""Seconds between two events: a migration may report a thousand times a second."""

EXIT_POLL = 0.25
"""Seconds between two looks whether the server stops."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One viewer's stream.

    Args:
        state: says how things stand now; small.
        table: lists all migrations; large, and sent only when its revision is another.
        change: returns when there may be something new.
        revision: of the table that the viewer has already.
    """

    state: Callable[[], Awaitable[View]]
    table: Callable[[], Awaitable[View]]
    change: Callable[[], Awaitable[None]]
    revision: str = ""

    async def serve(self, receive: Receive, send: Send) -> None:
        """Send until the viewer goes, the server stops or the stream has lived long enough."""
        await send({"type": "http.response.body", "body": RETRY.encode(), "more_body": True})
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            group.start_soon(_until_stopped, group.cancel_scope)
            with anyio.move_on_after(LIFE):
                await self._send_all(send)
            group.cancel_scope.cancel()
        with suppress(OSError):  # the viewer is gone, and its server says so
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        shown, revision, sent_at = None, self.revision, anyio.current_time()
        while True:
            state = await self.state()
            text = ""
            if state["revision"] != revision:
                table = await self.table()
                revision = table["revision"]
                text += event("table", table, revision)
            facts = {key: value for key, value in state.items() if key not in {"now", "read"}}
            if facts != shown or anyio.current_time() - sent_at >= HEARTBEAT:
                text += event("state", state)
            if text:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                shown, sent_at = facts, anyio.current_time()
            await anyio.sleep(SHORTEST_PAUSE)
            await self.change()


def event(kind: str, view: View, number: str | None = None) -> str:
    """Write one event; JSON has no line breaks of its own."""
    identity = f"id: {number}\n" if number else ""
    return f"event: {kind}\n{identity}data: {json.dumps(view, separators=(',', ':'))}\n\n"


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _until_stopped(scope: anyio.CancelScope) -> None:
    while not is_stopping():  # noqa: ASYNC110 - nobody tells, so it has to be asked
        await anyio.sleep(EXIT_POLL)
    scope.cancel()
