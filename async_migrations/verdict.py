"""What the end of a migration's work means: ours, another runner's, or nobody's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import NoReturn

import anyio

from async_migrations import retry
from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import Claim
from async_migrations.lock import row_awaited
from async_migrations.message import FailedStatementError, Message
from async_migrations.session import Session

NOTE_DEADLINE = 2.0
"""Seconds that a cancelled run may take to ask what it has committed."""


@dataclass(slots=True)
class Verdict:
    """Asks the ledger where an error does not say enough.

    Args:
        session: the working session.
        ledger: the ledger.
        run_id: the run.
        spare: opens a second session, for when the working one is lost.
        wait_deadline: seconds to wait for another session's row.
        applied: names that the run applied so far.
        waited: seconds that went by until another session's row was committed.
    """

    session: Session
    ledger: Ledger
    run_id: str
    spare: Callable[[], AbstractAsyncContextManager[Session]]
    wait_deadline: float
    applied: list[str]
    waited: float = 0.0

    async def on_message(self, claim: Claim, message: Message, error: Exception, waited: float) -> None:
        """Return if a message failed since another runner's row is there.

        Raises:
            LockWaitError: another session has the row, until the deadline.
            Exception: what it failed of otherwise.
        """
        if self.ledger.is_taken(error) and await self.ledger.has(self.session, claim.name):
            self.waited += waited
            return
        own = await self._of_claim_alone(claim) if retry.sqlstate(error) and message.is_at_beginning(error) else None
        if own and not retry.is_lock_timeout(own):
            raise self.ledger.unwritten(own) from error
        if own and waited >= self.wait_deadline:
            raise row_awaited(self.ledger.sql, claim.name, waited) from None
        raise message.blame(self.ledger.explain(error)) from error

    def on_opening(self, name: str, error: Exception, waited: float) -> NoReturn:
        """Raise what the error of a frame's opening means."""
        if retry.is_lock_timeout(error):
            raise row_awaited(self.ledger.sql, name, waited) from None  # with its cause it would be tried again
        raise self.ledger.unwritten(error) from error

    async def is_ours(self, name: str) -> bool:
        """Ask whether this run committed a migration; on another session if the working one is lost."""
        if not self.session.is_closed:
            return await self.ledger.has(self.session, name, self.run_id)
        async with self.spare() as session:
            return await self.ledger.has(session, name, self.run_id)

    async def note_committed(self, name: str) -> None:
        """Count a migration whose COMMIT and whose cancellation have crossed."""
        with anyio.move_on_after(NOTE_DEADLINE, shield=True), suppress(Exception):
            if not self.session.is_closed and await self.ledger.has(self.session, name, self.run_id):
                self.applied.append(name)

    async def _of_claim_alone(self, claim: Claim) -> Exception | None:
        """Return what the claim alone meets with, without waiting: a message does not say whose its error is."""
        try:
            await self.session.begin("SET LOCAL lock_timeout = 1", self.ledger.claim(claim, "1"))
        except Exception as error:
            return error
        await self.session.rollback()
        return None


def is_late(error: Exception) -> bool:
    """Tell whether a deadline ended the work, with or without a statement to blame."""
    return isinstance(error.error if isinstance(error, FailedStatementError) else error, TimeoutError)
