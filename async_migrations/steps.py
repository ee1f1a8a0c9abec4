"""The books of a non-transactional migration: that it began, which steps it finished, and who is at it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from async_migrations.errors import AuthorError, LockWaitError
from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import Claim
from async_migrations.lock import POLL, row_awaited
from async_migrations.retry import is_lock_timeout
from async_migrations.session import BEGIN, KEEP_OPEN, UNCONFIRMED, Session, SessionLostError, TakenOverError
from async_migrations.sql import Statement, canonical, quote_literal, timeout
from async_migrations.standoff import ANEW, Standoff

TAKEN = "another runner took the migration over"

Promise = Callable[[str], None]
"""Is told which transaction takes a row away, before it commits: no row will be left to say whose it was."""


@dataclass(slots=True)
class Steps:
    """Keeps the books on a session of their own, while the working session stays outside any transaction.

    The row that says "began" is committed, so that a death leaves it behind; between two steps the books hold a
    lock on it, so that only one runner is at the migration whatever the advisory lock says. Such a lock keeps no
    snapshot, and a concurrent index build does not wait for it. Only the last COMMIT waits for a standby.

    Args:
        books: the session.
        reopen: opens another in its place: an administrator, or a job that ends idle transactions, may have ended it
            while the migration was at a long statement.
        worker: the working session.
        ledger: the ledger.
        claim: what the row says.
        wait_deadline: seconds to wait for another runner that is at it.
        pooled: whether a pooler stands between.
        verb: upgrade or downgrade; each counts its own steps only.
    """

    books: Session
    reopen: Callable[[], Awaitable[Session]]
    worker: Session
    ledger: Ledger
    claim: Claim
    wait_deadline: float
    pooled: bool = False
    verb: str = "upgrade"
    finished: tuple[str, ...] = ()
    standoff: Standoff = field(init=False)
    begun: bool = False
    """Whether the row says so: for the error of a migration that fails."""
    again: bool = True
    """Whether an earlier try has begun it."""
    _recorded: tuple[str, ...] = ()
    _unrecorded: list[str] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.standoff = Standoff(self.books, self.worker, self.ledger, self.pooled)

    async def take(self) -> bool:
        """Record the beginning and lock the row; False if another runner finished the work.

        Raises:
            LockWaitError: another runner is at it, until the deadline.
        """
        started = anyio.current_time()
        try:
            return await self._take(started)
        except Exception as error:
            if is_lock_timeout(error):
                raise row_awaited(self.ledger.sql, self.claim.name, anyio.current_time() - started) from None
            raise

    async def _take(self, started: float) -> bool:
        if self.verb == "upgrade":
            await self._begin()
        while not await self._lock():
            row = await self._row()
            if row is None and self.verb == "upgrade":
                raise self.ledger.refused("it has none")
            if row is None or (not row.dirty and self.verb == "upgrade"):
                return False
            waited = anyio.current_time() - started
            if waited > self.wait_deadline:
                holder = f"Another runner is at {self.claim.name} ({row.applied_by})."
                raise LockWaitError(waited, holder, "Wait longer (wait_deadline), or end that process.")
            await anyio.sleep(random.uniform(*POLL))  # noqa: S311 - jitter
        self.begun = True
        row = await self._row()
        steps = row.steps if row else ()
        if steps and not steps[-1].startswith(self._prefix):
            # The other direction was at it: its steps are no steps of ours, and undid some of them.
            return await self._send_locking([self.ledger.soil(self.claim.name), UNCONFIRMED, "COMMIT"])
        self.finished = self._recorded = steps
        return True

    async def _begin(self) -> None:
        begin = f"{self._limit}; {UNCONFIRMED}; {self.ledger.begin_steps(self.claim)}"
        try:
            self.begun = await self.books.send(begin) == "INSERT 0 1"
        except Exception as error:
            if is_lock_timeout(error):
                raise
            raise self.ledger.unwritten(error) from error
        self.again = not self.begun

    async def run(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Await `work()` unless an earlier try finished the step `name`.

        Raises:
            AuthorError: the step left a transaction open, so that it is not finished; or the name was another step's.
        """
        if name in self._named:
            raise AuthorError(
                f"Two steps are called {name!r}, and the ledger knows a step by its name: a second try would leave "
                "both out. Give each a name of its own."
            )
        self._named.add(name)
        if self._key(name) in self.finished:
            return
        await work()
        if self.worker.in_transaction:
            raise AuthorError(f"The step {name!r} left a transaction open. Commit inside the step.")
        await self.record(name)

    def knows(self, work: str) -> bool:
        """Tell whether an earlier try has finished an operation."""
        return self._key(work) in self.finished

    def is_done(self, number: int, statement: Statement, path: Path) -> bool:
        """Tell whether an earlier try finished this statement of a SQL file.

        Raises:
            AuthorError: an earlier try ran another statement in its place.
        """
        if number >= len(self.finished):
            return False
        if self.finished[number] == self._key(statement.text):
            return True
        raise AuthorError(
            f"{path.name}, line {statement.line}: this statement was another when an earlier try ran it. Restore the "
            "file's first statements, or finish the migration by hand and record it: `async-migrations repair "
            f"{self.claim.name}`."
        )

    async def record(self, step: str) -> None:
        """Commit that a step is finished, and keep the row locked.

        A step inside a transaction of the author's own waits for its COMMIT: a crash would take both back.
        """
        self._unrecorded.append(self._key(step))
        if self.worker.in_transaction:
            return
        async with self.standoff.turn:
            try:
                await self._add()
            except SessionLostError:
                row = await self._recover()
                steps = row.steps if row else ()
                if steps == self._recorded:
                    await self._add()
                elif steps != (*self._recorded, *self._unrecorded):  # the loss has not crossed our COMMIT
                    raise TakenOverError(TAKEN) from None
        self._recorded += tuple(self._unrecorded)
        self._unrecorded = []

    async def _add(self) -> None:
        added = self.ledger.add_steps(self.claim.name, self._unrecorded)
        if not await self._send_locking([*self._opening, added, UNCONFIRMED, "COMMIT"]):
            raise TakenOverError(TAKEN)

    async def before(self, message: str) -> None:
        """Note what is about to be sent, and end what a dead runner has left of it.

        Raises:
            LockWaitError: it does not end, until the deadline.
        """
        self.standoff.at = message
        if self.pooled and self.again:
            await self._see_off(message)

    async def _see_off(self, message: str) -> None:
        """End what a dead runner has left running on the server, if it is this message.

        A server ends a statement whose client has died, but behind a pooler its client is the pooler. The text is all
        that tells whose it is: to a role that reads the same, it does the same.
        """
        started = anyio.current_time()
        while True:
            async with self.standoff.turn:
                await self.books.send(ANEW)
                left = await self.books.send(f"SELECT pg_cancel_backend(pid) {_running(message)}")
            if left == "SELECT 0":
                return
            waited = anyio.current_time() - started
            if waited > self.wait_deadline:
                holder = f"A statement of {self.claim.name} that a dead runner has left does not end."
                raise LockWaitError(waited, holder, "See pg_stat_activity, and end its session.")
            await anyio.sleep(random.uniform(*POLL))  # noqa: S311 - jitter

    async def finish(self, duration_ms: int, statistics: Mapping[str, Any], also: Sequence[str]) -> None:
        """Commit that the migration is applied, and `also` in the same transaction."""
        complete = self.ledger.complete_steps(self.claim, duration_ms, statistics)
        try:
            await self.books.commit(*self._opening, complete, *also)
        except SessionLostError:
            if await self._recover() is not None:
                await self.books.commit(*self._opening, complete, *also)

    async def _recover(self) -> Any:
        """Open the books anew, if they alone are lost, and lock the row again.

        Returns:
            The row; None if the loss has crossed the COMMIT that it is applied.

        Raises:
            SessionLostError: the working session is lost as well, and with it the lock.
            TakenOverError: the row says something else now.
        """
        if self.worker.is_closed or not self.books.is_closed:
            raise SessionLostError("the connection that keeps the migration's row was lost")
        self.books = self.standoff.books = await self.reopen()
        held = await self._send_locking([])
        row = await self._row()
        if held and row is not None:
            return row
        await self.books.rollback()
        if row is not None and not row.dirty and row.run_id == self.claim.run_id:
            return None
        raise TakenOverError(TAKEN)

    async def forget(self, promise: Promise) -> None:
        """Commit that the migration is taken back; `promise` is told by which transaction."""
        try:
            await self._forget(promise)
        except SessionLostError:
            await self._recover()  # without the row the run asks what became of the promise
            await self._forget(promise)

    async def _forget(self, promise: Promise) -> None:
        if opening := self._opening:
            await self.books.begin(*opening[1:])
        promise(await self.books.transaction_id())
        await self.books.commit(self.ledger.release(self.claim.name))

    @property
    def _opening(self) -> list[str]:
        """What begins the books' transaction, if the row had to be let go meanwhile."""
        return [] if self.books.in_transaction else [BEGIN, KEEP_OPEN, self._limit]

    @property
    def _limit(self) -> str:
        """What ends a wait for the table, or for a row that another session has not committed."""
        return f"SET LOCAL lock_timeout = {timeout(self.wait_deadline)}"

    async def _lock(self) -> bool:
        soil = [BEGIN, self._limit, self.ledger.soil_clean(self.claim.name), UNCONFIRMED, "COMMIT"]
        if await self._send_locking([] if self.verb == "upgrade" else soil):
            return True
        await self.books.rollback()
        return False

    async def _send_locking(self, before: Sequence[str]) -> bool:
        fence = self.ledger.fence(self.claim.name)
        return await self.books.send("; ".join([*before, BEGIN, KEEP_OPEN, self._limit, fence])) == "SELECT 1"

    async def _row(self) -> Any:
        if self.books.in_transaction:
            return await self._read()
        await self.books.begin(self._limit)
        try:
            return await self._read()
        finally:
            await self.books.rollback()

    async def _read(self) -> Any:
        rows = await self.ledger.read(self.books)
        return next((row for row in rows if row.name == self.claim.name), None)

    @property
    def _prefix(self) -> str:
        return f"{self.verb}:"

    def _key(self, step: str) -> str:
        return self._prefix + hashlib.sha256(canonical(step).encode()).hexdigest()[:16]


def _running(message: str) -> str:
    """Return the FROM and WHERE of other sessions that are at a message, of which PostgreSQL shows the beginning."""
    text = quote_literal(message)
    whole = f"least(octet_length({text}), pg_size_bytes(current_setting('track_activity_query_size')) - 5)"
    return (
        "FROM pg_stat_activity WHERE state = 'active' AND datname = current_database() AND usename = current_user "
        f"AND pid <> pg_backend_pid() AND octet_length(query) >= {whole} AND starts_with({text}, query)"
    )
