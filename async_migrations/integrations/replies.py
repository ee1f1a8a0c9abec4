"""Answers over ASGI, without a framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from async_migrations.integrations.protocol import Message, Receive, Scope, Send

TRY_AGAIN_LATER = 1013
"""See https://www.iana.org/assignments/websocket/websocket.xml#close-code-number."""


async def reply(scope: Scope, send: Send, status: int, body: Mapping[str, Any], *, retry_after: int = 0) -> None:
    """Send one JSON document as an HTTP answer; HEAD gets everything but the document.

    Args:
        scope: of the request.
        send: of the request.
        status: the status code.
        body: the document.
        retry_after: seconds; 0 for no such header.
    """
    written = json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": _headers(written, retry_after)})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else written})


async def turn_away(scope: Scope, receive: Receive, send: Send, body: Mapping[str, Any], *, retry_after: int) -> None:
    """Refuse a WebSocket before it is open: 503 where the server can say so, else close code 1013.

    See https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response.
    """
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "not ready"})
        return
    written = json.dumps(body).encode()
    headers = _headers(written, retry_after)
    answer: Message = {"type": "websocket.http.response.start", "status": 503, "headers": headers}
    await send(answer)
    await send({"type": "websocket.http.response.body", "body": written})


def path_of(scope: Scope) -> str:
    """Return the path of a request below the root path at which the application is served.

    Servers hand over the whole path; some older ones only what follows the root path.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :]
    return path


def _headers(body: bytes, retry_after: int) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return [*headers, (b"retry-after", str(retry_after).encode())] if retry_after else headers
