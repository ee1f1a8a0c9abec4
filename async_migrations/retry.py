"""Which failures are tried again, and until when."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import anyio

from async_migrations.errors import masked, shorten

T = TypeVar("T")

LOCK_NOT_AVAILABLE, CANCELED = "55P03", "57014"

RETRYABLE = frozenset({LOCK_NOT_AVAILABLE, "40P01", "40001"})
"""lock_not_available, deadlock_detected, serialization_failure: the whole transaction may be tried again."""

UNAVAILABLE = frozenset({"57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08004", "08006"})
"""Shutting down, crashed, starting up, too many connections, connection failures: worth waiting for."""

POOLER_IS_WAITING = (
    "query_wait_timeout",
    "server_login_retry",
    "no more connections allowed",
    "cannot connect to server",
    "server conn crashed",
    "shutting down",
)
"""What PgBouncer says, as a protocol violation, of a server that is not there yet or a pool that is full."""

POOL_LIMIT = "3o7r"
"""What SQLAlchemy calls a pool whose connections are all in use."""

REFUSED = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in",
    "3D000": "there is no such database",
    "42501": "this user may not connect to it",
}
"""SQLSTATEs of a connection that waiting will not mend."""


NO_TLS = "rejected SSL upgrade"
"""What asyncpg says of a server that has no TLS, as a ConnectionError like any other."""

LET_READ = (
    "Waiting would not help: let this process read it, set HOME to its own home, where the driver looks for "
    "certificates, or say sslmode=disable in the database URL."
)
SWITCH_ON = (
    "Waiting would not help: switch it on there (ssl = on), or say sslmode=prefer or disable in the database URL."
)


class PoolExhaustedError(Exception):
    """The engine's own pool had no connection left in time."""

    code = POOL_LIMIT


def causes(error: BaseException, *, in_groups: bool = True) -> Iterator[BaseException]:
    """Yield `error`, what it wraps (SQLAlchemy's `orig`, a group's members) and what caused it, outermost first."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [getattr(each, "orig", None), each.__cause__, *(_members(each) if in_groups else ())]


def leaves(error: BaseException) -> list[BaseException]:
    """Return what the group of errors is made of that `error` is or comes from; without one, `error` itself."""
    for each in causes(error):
        if _members(each):
            return list(_leaves(each))
        if hasattr(each, "sqlstate"):
            break  # picked out of a group by an author, who then decides
    return [error]


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's error code of `error`, wherever in its chain it is."""
    for each in causes(error):
        code = getattr(each, "sqlstate", None)
        if isinstance(code, str):
            return code
    return None


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether a lock was not granted in time."""
    return sqlstate(error) == LOCK_NOT_AVAILABLE


def is_cut_short(error: BaseException) -> bool:
    """Tell whether a limit on statements or on locks ended a statement: one of the role's, say."""
    return sqlstate(error) in {LOCK_NOT_AVAILABLE, CANCELED}


def is_retryable(error: BaseException) -> bool:
    """Tell whether the whole transaction may be tried again; of a group of errors, whether each of them says so."""
    return all(sqlstate(leaf) in RETRYABLE for leaf in leaves(error))


def is_unavailable(error: BaseException) -> bool:
    """Tell whether the database is not there yet, or no more, rather than refusing us."""
    code = sqlstate(error)
    if code == "08P01":
        return any(phrase in str(error) for phrase in POOLER_IS_WAITING)
    if code is not None:
        return code in UNAVAILABLE
    if hopeless(error) or any(isinstance(each, ssl.SSLCertVerificationError) for each in causes(error)):
        return False
    return any(isinstance(each, OSError | TimeoutError | EOFError) or _is_lost(each) for each in causes(error))


def is_exhausted(error: BaseException) -> bool:
    """Tell whether not the database but the engine's own pool has no connection left."""
    return any(getattr(each, "code", None) == POOL_LIMIT for each in causes(error))


def hopeless(error: BaseException) -> tuple[str, str] | None:
    """Say what is wrong on our side, or with what we ask of the server, and what mends it; None if nothing is."""
    for each in causes(error):
        if isinstance(each, OSError) and each.filename:
            return f"{each.filename} cannot be read ({each.strerror})", LET_READ
        if isinstance(each, ConnectionError) and NO_TLS in str(each):
            return "the server has no TLS, and the database URL demands it", SWITCH_ON
    return None


def describe(error: BaseException) -> str:
    """Say in a few words what `error` is, of a group each of its errors; no URL and no credential is in it."""
    if is_exhausted(error):
        return "the engine's own pool has no connection left"
    return shorten("; ".join(dict.fromkeys(_describe(leaf) for leaf in leaves(error))))


def _describe(error: BaseException) -> str:
    chain = [each for each in causes(error, in_groups=False) if not _members(each)]
    for each in chain:
        if isinstance(each, socket.gaierror):
            return "the host name is not known (DNS)"
        if isinstance(each, TimeoutError):
            return "no answer in time"
        if isinstance(each, ConnectionRefusedError):
            return "connection refused"
    return shorten(masked(str(chain[-1])) or type(chain[-1]).__name__)


async def persist(
    work: Callable[[], Awaitable[T]],
    *,
    retry_on: Callable[[Exception], bool],
    on_retry: Callable[[Exception, int], None],
    deadline: float,
    pause: float,
    longest_pause: float,
) -> T:
    """Await `work()` until it succeeds, `retry_on` says no, or the deadline has passed.

    Args:
        work: what to do; awaited anew each time.
        retry_on: which errors are tried again.
        on_retry: is told of each error that is, and which attempt it was.
        deadline: seconds from now, over all attempts.
        pause: seconds before the third attempt; doubles, with jitter.
        longest_pause: seconds that a pause has at most.

    Raises:
        Exception: what the last attempt raised.
    """
    attempt, started = 1, anyio.current_time()

    async def once() -> T:
        nonlocal attempt
        try:
            return await work()
        except Exception as error:
            if retry_on(error):
                on_retry(error, attempt)
                attempt += 1
            raise

    try:
        return await once()
    except Exception as error:
        left = deadline - (anyio.current_time() - started)
        if not retry_on(error) or left <= 0:
            raise

    import stamina  # it costs as much as the first query; most starts never retry

    async for each in stamina.retry_context(
        on=retry_on,
        attempts=None,
        timeout=left,
        wait_initial=pause,
        wait_max=longest_pause,
        wait_jitter=pause,
    ):
        with each:
            return await once()
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


def is_confused(error: BaseException) -> bool:
    """Tell whether the driver lost count of its protocol: the server's farewell came between two operations."""
    return any(type(each).__name__ == "InternalClientError" for each in causes(error))


def _members(error: BaseException) -> Sequence[BaseException]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    members = _members(error)
    if not members:
        yield error
    for each in members:
        yield from _leaves(each)


def _is_lost(error: BaseException) -> bool:
    closed = type(error).__name__ == "InterfaceError" and "closed" in str(error)
    return closed or bool(getattr(error, "connection_invalidated", False))
