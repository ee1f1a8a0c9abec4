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
from async_migrations.session import BEGIN, KEEP_OPEN, Session, TakenOverError
from async_migrations.sql import Statement, canonical, timeout
from async_migrations.standoff import Standoff

Promise = Callable[[str], None]
"""Is told which transaction takes a row away, before it commits: no row will be left to say whose it was."""


@dataclass(slots=True)
class Steps:
    """Keeps the books on a session of their own, while the working session stays outside any transaction.

    The row that says "began" is committed, so that a death leaves it behind; between two steps the books hold a
    lock on it, so that only one runner is at the migration whatever the advisory lock says. Such a lock keeps no
    snapshot, and a concurrent index build does not wait for it.

    Args:
        books: the session.
        worker: the working session.
        ledger: the ledger.
        claim: what the row says.
        wait_deadline: seconds to wait for another runner that is at it.
        pooled: whether a pooler stands between.
        verb: upgrade or downgrade; each counts its own steps only.
    """

    books: Session
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
    _unrecorded: list[str] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.standoff = Standoff(self.books, self.worker, self.ledger, self.pooled)

    async def take(self) -> bool:
        """Record the beginning and lock the row; False if another runner finished the work.

        Raises:
            LockWaitError: another runner is at it, until the deadline.
        """
        if self.verb == "upgrade":
            await self._begin()
        started = anyio.current_time()
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
            return await self._send_locking([self.ledger.soil(self.claim.name), "COMMIT"])
        self.finished = steps
        return True

    async def _begin(self) -> None:
        started = anyio.current_time()
        limit = f"SET LOCAL lock_timeout = {timeout(self.wait_deadline)}"  # a row that is there, but not committed
        try:
            self.begun = await self.books.send(f"{limit}; {self.ledger.begin_steps(self.claim)}") == "INSERT 0 1"
            self.again = not self.begun
        except Exception as error:
            if is_lock_timeout(error):
                raise row_awaited(self.ledger.sql, self.claim.name, anyio.current_time() - started) from None
            raise self.ledger.unwritten(error) from error

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
        added = self.ledger.add_steps(self.claim.name, self._unrecorded)
        self._unrecorded = []
        async with self.standoff.turn:
            taken = not await self._send_locking([*self._opening, added, "COMMIT"])
        if taken:
            raise TakenOverError("another runner took the migration over")

    async def finish(self, duration_ms: int, statistics: Mapping[str, Any], also: Sequence[str]) -> None:
        """Commit that the migration is applied, and `also` in the same transaction."""
        complete = self.ledger.complete_steps(self.claim, duration_ms, statistics)
        await self.books.commit(*self._opening, complete, *also)

    async def forget(self, promise: Promise) -> None:
        """Commit that the migration is taken back; `promise` is told by which transaction."""
        if opening := self._opening:
            await self.books.begin(*opening[1:])
        promise(await self.books.transaction_id())
        await self.books.commit(self.ledger.release(self.claim.name))

    @property
    def _opening(self) -> list[str]:
        """What begins the books' transaction, if the row had to be let go meanwhile."""
        return [] if self.books.in_transaction else [BEGIN, KEEP_OPEN]

    async def _lock(self) -> bool:
        soil = [] if self.verb == "upgrade" else [BEGIN, self.ledger.soil_clean(self.claim.name), "COMMIT"]
        if await self._send_locking(soil):
            return True
        await self.books.rollback()
        return False

    async def _send_locking(self, before: Sequence[str]) -> bool:
        fence = self.ledger.fence(self.claim.name)
        return await self.books.send("; ".join([*before, BEGIN, KEEP_OPEN, fence])) == "SELECT 1"

    async def _row(self) -> Any:
        rows = await self.ledger.read(self.books)
        return next((row for row in rows if row.name == self.claim.name), None)

    @property
    def _prefix(self) -> str:
        return f"{self.verb}:"

    def _key(self, step: str) -> str:
        return self._prefix + hashlib.sha256(canonical(step).encode()).hexdigest()[:16]
