"""Who may see the page: the hook that is asked before every answer."""

from __future__ import annotations

import base64
import binascii
import hmac
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from async_migrations.integrations.protocol import Scope


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    Attributes:
        method: GET or HEAD.
        path: the whole path, root path included.
        headers: names in lower case; of a header that comes twice, the last.
        client: the address of the other end, where the server knows it; a proxy's, behind one.
        scope: the ASGI scope, with what middleware has put there: `scope["session"]`, `scope["user"]`.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    client: str | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no, with how to say it.

    Attributes:
        status: 401 if asking again with credentials may help, otherwise 403.
        headers: of the answer, such as WWW-Authenticate.
    """

    status: int = 403
    headers: Mapping[str, str] = field(default_factory=dict)


Verdict = bool | Refusal
Authorize = Callable[[Visitor], Verdict | Awaitable[Verdict]]


def basic(user: str, password: str, realm: str = "migrations") -> Authorize:
    """Return a hook that asks for a user and a password, as every browser can; use it over TLS only.

    Args:
        user: the only one there is.
        password: not empty.
        realm: what the browser shows.

    Raises:
        ValueError: the password is empty, as it is when its variable is not set.
    """
    if not password:
        raise ValueError("The password of the migrations page is empty. Set it, or leave the page out.")
    wanted = f"{user}:{password}".encode()
    challenge = Refusal(401, {"www-authenticate": f'Basic realm="{realm}", charset="UTF-8"'})

    def authorize(visitor: Visitor) -> Verdict:
        return hmac.compare_digest(_credentials(visitor.headers.get("authorization", "")), wanted) or challenge

    return authorize


async def decide(authorize: Authorize | None, scope: Scope) -> Refusal | None:
    """Ask the hook; return its refusal, or None if the visitor may see the page.

    An exception with a `status_code` is a refusal too, so that a hook may call what raises Starlette's HTTPException;
    any other is an error of the hook, and nobody sees anything.
    """
    if authorize is None:
        return None
    try:
        verdict = authorize(_visitor(scope))
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except Exception as error:
        status = getattr(error, "status_code", None)
        if not isinstance(status, int):
            raise
        return Refusal(status, getattr(error, "headers", None) or {})
    if isinstance(verdict, Refusal):
        return verdict
    # Nothing but True opens the page: a hook that forgot its return must not.
    return None if verdict is True else Refusal()


def _visitor(scope: Scope) -> Visitor:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client: Any = scope.get("client")
    return Visitor(scope["method"], scope["path"], headers, client[0] if client else None, scope)


def _credentials(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
