"""The advisory lock: one replica leads, the others wait for the ledger.

Rules that every line here follows: who holds the lock does the work on the same session; a waiter never blocks
inside a statement, since its snapshot would hold up the leader's concurrent index build; who finds the ledger
current leaves without ever taking the lock.
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from async_migrations.errors import LedgerError, LockWaitError, masked
from async_migrations.events import Emit, LockAwaited
from async_migrations.ledger.holders import look_at_holder
from async_migrations.retry import sqlstate
from async_migrations.session import BEGIN, KEEP_OPEN, Session
from async_migrations.sql import quote_identifier, quote_literal

POLL = (0.15, 0.45)
"""Seconds between two looks at the ledger, drawn anew each time so that fifty waiters do not march in step."""

FIRST_WORD = 0.5
"""Seconds of waiting before a waiter says whom it waits for; most waits are over by then."""

REPEAT_WORD = 10.0
"""Seconds after which it says so again."""

UNSAID: tuple[float, str | None] = (-REPEAT_WORD, None)
"""What a waiter has said before its first word: when, and of which migration."""

READ_ONLY, NO_RIGHT = "25006", "42501"

APPLICATION = "async_migrations"
"""What the holder's application_name begins with; the migration it is at follows."""

LONGEST_APPLICATION = 63
"""Bytes of an application_name that PostgreSQL keeps."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?"
AT_WORK = re.compile(rf"{APPLICATION}: (?P<migration>.*?)(?: \((?P<done>{_NUMBER})(?:/(?P<total>{_NUMBER}))?\))?")
"""The application_name of a session that is at a migration."""

RUNNING = ", running: "
"""What stands in a holder's sentence before the statement that it runs."""

Progress = tuple[float, float | None]


def application(migration: str, progress: Progress | None = None) -> str:
    """Return the application_name of a session that is at `migration`, and how far; a long name is cut."""
    so_far = ""
    if progress is not None:
        done, total = progress
        so_far = f" ({done:.9g})" if total is None else f" ({done:.9g}/{total:.9g})"
    return _cut(f"{APPLICATION}: {migration}", LONGEST_APPLICATION - len(so_far)) + so_far


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class LockKey:
    """The 64-bit key of one ledger, so that two services in one database do not meet.

    Args:
        database: its name.
        schema: the ledger's schema.
        table: the ledger's table.
    """

    database: str
    schema: str
    table: str

    @property
    def number(self) -> int:
        """The key that the advisory lock functions take."""
        digest = hashlib.sha256(f"{self.database}\0{self.schema}\0{self.table}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def channel(self) -> str:
        """The channel on which the leader tells the waiters that it is done."""
        return f"async_migrations_{self.number & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    @property
    def waiting(self) -> str:
        """What a waiter's application_name begins with; the name of its host follows."""
        return f"{APPLICATION} waiting {self.number & 0xFFFF_FFFF:08x}"

    @property
    def notify(self) -> str:
        """The statement that wakes the waiters when its transaction commits."""
        return f"NOTIFY {quote_identifier(self.channel)}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock, as far as this role may see."""

    pid: int
    application_name: str | None = None
    client: str | None = None
    state: str | None = None
    query: str | None = None
    seconds: float | None = None
    role: str | None = None

    @property
    def migration(self) -> str | None:
        """The migration it is at, read from its application_name."""
        found = AT_WORK.fullmatch(self.application_name or "")
        return found["migration"] if found else None

    @property
    def progress(self) -> Progress | None:
        """How much of that migration is done and of how much, if it says so."""
        found = AT_WORK.fullmatch(self.application_name or "")
        if found is None or found["done"] is None:
            return None
        return float(found["done"]), float(found["total"]) if found["total"] else None

    def __str__(self) -> str:
        # To a role that may not see a session's state its address is hidden too.
        client = self.client or ("a local socket" if self.state else "an address that this role may not see")
        what = f"at migration {self.migration}" if self.migration else (self.state or "state unknown")
        since = f" for {self.seconds:.0f} s" if self.seconds is not None else ""
        shown = self.query and self.state == "active" and not self.query.startswith(BEGIN)  # which is the engine's own
        query = f"{RUNNING}{' '.join((self.query or '').split())[:120]}" if shown else ""
        return (
            f"The lock is held by pid {self.pid} ({self.application_name or 'no application_name'}) "
            f"from {client}, {what}{since}{query}."
        )


def without_statement(holder: str) -> str:
    """Return a holder's sentence without the statement that it runs, which may hold what nobody should read."""
    said, found, _ = holder.partition(RUNNING)
    return f"{said}." if found else holder


@dataclass(slots=True)
class Lock:
    """The lock of one ledger, wanted by one session.

    Args:
        session: the working session; on a direct connection it holds the lock itself.
        key: which lock.
        guard: behind a pooler, a second session that holds it in an open transaction, since a session lock
            would stay behind on a pooled backend.
        impatient: whether the server ends idle sessions of this role, which a waiter's session had to switch off.
        application_name: the session's own, which it gets back when it has waited.
    """

    session: Session
    key: LockKey
    guard: Session | None = None
    impatient: bool = False
    application_name: str = ""

    async def try_take(self) -> bool:
        """Take the lock if it is free; never wait."""
        if self.guard is None:
            return await self.session.send(f"SELECT 1 WHERE pg_try_advisory_lock({self.key.number})") == "SELECT 1"
        took = await self.guard.send(
            f"{BEGIN}; {KEEP_OPEN}; SELECT 1 WHERE pg_try_advisory_xact_lock({self.key.number})"
        )
        if took != "SELECT 1":
            await self.guard.send("ROLLBACK")
        return took == "SELECT 1"

    async def prove(self, migration: str) -> None:
        """Have a guard say which migration the leader is at; raise if it is gone, and the lock with it."""
        if self.guard is not None:
            await self.guard.send(f"SET LOCAL application_name = {quote_literal(application(migration))}")

    async def release(self) -> None:
        """Give the lock back, shielded; if the server does not confirm it, cut the connection instead."""
        holder = self.guard or self.session
        unlock = "ROLLBACK" if self.guard else f"SELECT 1 WHERE pg_advisory_unlock({self.key.number})"
        confirmed = False
        with anyio.move_on_after(2.0, shield=True), suppress(Exception):
            if not holder.is_closed:
                confirmed = await holder.send(unlock) in {"SELECT 1", "ROLLBACK"}
        if not confirmed:
            holder.cut()


async def elect(
    lock: Lock,
    is_current: Callable[[], Awaitable[bool]],
    emit: Emit,
    *,
    deadline: float,
    clock: Callable[[], float] = anyio.current_time,
) -> bool:
    """Become the leader, or wait until there is nothing left to lead for.

    Args:
        lock: the lock.
        is_current: reads the ledger and tells whether nothing is pending any more.
        emit: is told who holds the lock.
        deadline: seconds to wait at most.
        clock: the clock.

    Returns:
        True if the lock is held now; False if the ledger became current.

    Raises:
        LockWaitError: neither happened by the deadline; names the holder.
    """
    if await lock.try_take():
        return True
    started, word = clock(), UNSAID
    bell = await listen(lock.session, lock.key, deaf=lock.guard is not None)
    while True:
        rung = bell.arm()
        if await is_current():
            await leave(lock)
            return False
        if await lock.try_take():
            return True
        waited = clock() - started
        if waited >= deadline:
            raise await _give_up(lock, waited)
        if waited >= FIRST_WORD:
            word = await speak(lock, emit, waited, *word)
        await doze(rung, deadline - waited)


async def speak(lock: Lock, emit: Emit, waited: float, spoke: float, told: str | None) -> tuple[float, str | None]:
    """Say who holds the lock, when that or its migration is news, and every ten seconds.

    Args:
        lock: the lock.
        emit: is told.
        waited: seconds so far.
        spoke: when it was said last, by the same clock.
        told: at which migration the holder was then.

    Returns:
        The last two, for the next time.
    """
    if waited - spoke < 1.0:
        return spoke, told
    holder = await holder_of(lock.session, lock.key)
    if holder is None or (holder.migration == told and waited - spoke < REPEAT_WORD):
        return spoke, told
    emit(LockAwaited(str(holder), holder.migration, waited))
    return waited, holder.migration


async def doze(rung: anyio.Event, left: float) -> None:
    """Wait for the bell, but no longer than a jittered poll, nor than `left` seconds."""
    with anyio.move_on_after(min(random.uniform(*POLL), max(left, 0))):  # noqa: S311 - jitter, no secret
        await rung.wait()


async def holder_of(session: Session, key: LockKey) -> Holder | None:
    """Return who holds the lock, or None if it is free; no password is in its statement."""
    number = key.number & 0xFFFF_FFFF_FFFF_FFFF
    rows = await session.read(
        "SELECT l.pid, a.application_name, host(a.client_addr) AS client, a.state, a.query, a.usename AS role, "
        "extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::float AS seconds "
        "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
        f"AND l.classid::bigint = {number >> 32} AND l.objid::bigint = {number & 0xFFFF_FFFF} AND l.objsubid = 1 "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
    )
    return Holder(**{**rows[0], "query": masked(rows[0]["query"] or "") or None}) if rows else None


def row_awaited(ledger: str, migration: str, waited: float) -> LockWaitError:
    """Return the error of a wait for a row that another session has written and not committed.

    Args:
        ledger: its quoted name.
        migration: whose row.
        waited: seconds.
    """
    holder = f"Another session holds the row of {migration} in {ledger}; a runner that is at it has the "
    holder += f"application_name {application(migration)!r}."
    return LockWaitError(waited, holder, "Wait longer (wait_deadline), or end that session.")


async def ledger_awaited(session: Session, ledger: str, waited: float) -> LockWaitError:
    """Return the error of a wait for rows of the ledger, or for all of it, that another session has locked.

    Args:
        session: one outside a transaction.
        ledger: its quoted name.
        waited: seconds.
    """
    busy = await look_at_holder(session, ledger)
    holder = f"Another session has locked rows of {ledger}, or the whole table. {busy}"
    return LockWaitError(waited, holder, f"Wait longer (wait_deadline), or {busy.ending}.")


async def end(session: Session, holder: Holder) -> None:
    """End the session of whoever holds the lock.

    Raises:
        LedgerError: this role may not.
    """
    try:
        await session.send(f"SELECT pg_terminate_backend({holder.pid})")
    except Exception as error:
        if sqlstate(error) != NO_RIGHT:
            raise
        owner = quote_identifier(holder.role or "")
        raise LedgerError(
            f"{holder} Its session was not ended: it belongs to the role {owner}, and this role may not end it. Use "
            "that role, or one to which pg_signal_backend was granted; a superuser's session only a superuser ends."
        ) from error


class Bell:
    """An event that rings when the leader has committed its last migration."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def arm(self) -> anyio.Event:
        """Return the event to wait for; take it before looking at the ledger, so that no ring is missed."""
        if self._event.is_set():
            self._event = anyio.Event()
        return self._event

    def ring(self, *_: Any) -> None:
        """Wake who waits."""
        self._event.set()


async def listen(session: Session, key: LockKey, *, deaf: bool) -> Bell:
    """Listen for the leader's last commit, for as long as the session lives or until `leave`.

    Meanwhile the session's application_name says that it waits, for whoever looks at `pg_stat_activity`. Through a
    pooler it would say so of whoever gets the server's session next, so there it does not.

    Args:
        session: an idle session.
        key: whose channel.
        deaf: whether a pooler stands between, through which LISTEN hears nothing: there the poll does all the work.
    """
    bell = Bell()
    if not deaf:
        name = _cut(f"{key.waiting} {socket.gethostname()}", LONGEST_APPLICATION)
        try:
            await session.hear(key.channel, bell.ring, f"SET application_name = {quote_literal(name)}")
        except Exception as error:
            if sqlstate(error) != READ_ONLY:
                raise
            # A standby has no LISTEN: there, too, the poll does all the work.
    return bell


async def leave(lock: Lock) -> None:
    """Leave the session as it was, so that it may go back to its pool: a service that starts has use for it."""
    if lock.guard is None:
        own = f"SET application_name = {quote_literal(lock.application_name)}"
        await lock.session.hush(lock.key.channel, own)
    if not lock.impatient:
        lock.session.unhold()


async def _give_up(lock: Lock, waited: float) -> LockWaitError:
    holder = await holder_of(lock.session, lock.key)
    if holder is None:
        return LockWaitError(waited, "Nobody holds it at this moment.", "Start again, or raise wait_deadline.")
    advice = (
        "If it is at work, wait longer (wait_deadline). If it is stuck, end it with "
        f"`async-migrations unlock --yes` or SELECT pg_terminate_backend({holder.pid});"
    )
    return LockWaitError(waited, str(holder), advice)
