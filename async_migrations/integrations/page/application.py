"""MigrationPage: an ASGI application that shows how the migrations stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from urllib.parse import parse_qs

import anyio

from async_migrations.errors import ConfigurationError
from async_migrations.integrations.page import markup, view
from async_migrations.integrations.page.authorization import Authorize, decide
from async_migrations.integrations.page.lookout import Lookout
from async_migrations.integrations.page.stream import Stream
from async_migrations.integrations.protocol import Receive, Scope, Send
from async_migrations.integrations.replies import path_of
from async_migrations.runner import MigrationRunner
from async_migrations.session import where
from async_migrations.standing import Standing, Watch

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
STREAM = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
JSON = {"content-type": "application/json; charset=utf-8"}
TEXT = {"content-type": "text/plain; charset=utf-8"}


class MigrationPage:
    """Shows applied and pending migrations, the running one and who waits, of all replicas; changes nothing.

    Below its path there are the page itself, `/state` (the same as JSON) and `/events` (a stream of it). It is mounted
    into an application under any path, or given to the gate.

    Args:
        runner: whose engine, folder and ledger.
        path: where it is when nothing is mounted: in the gate, or served by itself.
        authorize: is asked before every answer, with a `Visitor`; only True lets it in. None lets everybody in who
            reaches the server.
        title: what the page calls the service; by default the database's name.
        refresh: seconds between two looks at the database while somebody watches; without viewers there are none.
        deadline: seconds for one look.

    Raises:
        ConfigurationError: the path is none, or a number of seconds is not above zero.
    """

    def __init__(
        self,
        runner: MigrationRunner,
        *,
        path: str = "/migrations",
        authorize: Authorize | None = None,
        title: str | None = None,
        refresh: float = 1.0,
        deadline: float = 5.0,
    ) -> None:
        if not path.startswith("/") or path.endswith("/"):
            raise ConfigurationError(f"path={path!r} cannot be the page's: begin it with a slash and end it without.")
        for name, seconds in (("refresh", refresh), ("deadline", deadline)):
            if not seconds > 0:
                raise ConfigurationError(f"{name}={seconds!r} is no number of seconds above zero.")
        self.path = path
        self._authorize = authorize
        self._refresh = refresh
        options = runner.options
        self._where = f"{where(options.engine)} · {options.table}"
        self._title = title or options.engine.url.database or "Migrations"
        self._lookout = Lookout(options, refresh=refresh, deadline=deadline)
        self._watch: Watch | None = None

    def attach(self, watch: Watch) -> None:
        """Take the watch of this process's own run, to show it at once and while the database does not answer."""
        self._watch = watch

    # Without a slash after them: Litestar hands them over by name.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await decide(self._authorize, scope)
        if refusal is not None:
            await _text(scope, send, refusal.status, "You may not see this page.", refusal.headers)
        elif scope["method"] not in {"GET", "HEAD"}:
            await _text(scope, send, 405, "This page can only be read.", {"allow": "GET, HEAD"})
        else:
            match self._below(scope):
                case "":
                    await self._page(scope, send)
                case "/state":
                    facts = {"state": await self._state(), "table": await self._table()}
                    await _respond(scope, send, 200, JSON, json.dumps(facts).encode())
                case "/events":
                    await self._events(scope, receive, send)
                case _:
                    await _text(scope, send, 404, "There is no such page.", {})

    def _below(self, scope: Scope) -> str:
        """Return what of the path is below the page, mounted (the rest is the root path) or not."""
        below = path_of(scope).rstrip("/")  # Litestar puts one there
        own = below == self.path or below.startswith(f"{self.path}/")
        return below.removeprefix(self.path) if own else below

    async def _page(self, scope: Scope, send: Send) -> None:
        state, table = await self._state(), await self._table()
        # As the browser asked for it, where the server says so: a mount may leave less in the path.
        asked = bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        # Relative to the page's own address, whatever a proxy in front has taken off it.
        below = "" if asked.endswith("/") else f"{asked.rpartition('/')[2]}/"
        body = markup.page(state, table, title=self._title, where=self._where, below=below)
        headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": markup.policy()}
        await _respond(scope, send, 200, headers, body.encode())

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start(200, {**HEADERS, **STREAM}))
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        seen = self._standing

        async def state() -> view.View:
            nonlocal seen
            seen = self._standing
            return await self._state()

        async with self._lookout.watching():
            await Stream(state, self._table, lambda: self._news(seen), _revision(scope)).serve(receive, send)

    async def _state(self) -> view.View:
        return view.state(await self._lookout.scene(), self._standing, datetime.now(UTC))

    async def _table(self) -> view.View:
        return view.table(await self._lookout.scene())

    @property
    def _standing(self) -> Standing | None:
        return self._watch.now if self._watch else None

    async def _news(self, seen: Standing | None) -> None:
        """Wait until this process's own run stands elsewhere, or it is time to look at the database again."""
        with anyio.move_on_after(self._refresh):
            watch = self._watch
            if watch is None:
                await anyio.sleep_forever()
                return
            async with aclosing(watch.changes()) as changes:
                async for standing in changes:
                    if standing != seen:
                        return


def _revision(scope: Scope) -> str:
    """Return which table the viewer has: from its last stream, or from the page that opened its first."""
    for name, value in scope["headers"]:
        if name.lower() == b"last-event-id":
            return bytes(value).decode("latin-1")
    query = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"))
    return query.get("revision", [""])[0]


def _start(status: int, headers: Mapping[str, str]) -> dict[str, object]:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": encoded}


async def _respond(scope: Scope, send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    await send(_start(status, {**HEADERS, **headers, "content-length": str(len(body))}))
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _text(scope: Scope, send: Send, status: int, sentence: str, headers: Mapping[str, str]) -> None:
    await _respond(scope, send, status, {**TEXT, **headers}, f"{sentence}\n".encode())


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop with a server that serves nothing but the page."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
