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
from async_migrations.lock import ledger_awaited, row_awaited
from async_migrations.message import FailedStatementError, Message
from async_migrations.session import Session

ANSWER_DEADLINE = 2.0
"""Seconds that the question may take what was committed: somebody may have locked the ledger, or the net be silent."""


@dataclass(slots=True)
class Verdict:
    """Asks the ledger where an error does not say enough.

    Args:
        session: the working session.
        ledger: the ledger.
        run_id: the run.
        spare: opens a second session, for when the working one is lost.
        wait_deadline: seconds to wait for another session's row.
        waited: seconds that went by until another session's row was committed.
        sent: whether a COMMIT of the migration at work may be on its way.
        promised: the transaction that takes the row away of the migration that is being reverted.
    """

    session: Session
    ledger: Ledger
    run_id: str
    spare: Callable[[], AbstractAsyncContextManager[Session]]
    wait_deadline: float
    waited: float = 0.0
    sent: bool = False
    promised: str | None = None

    async def on_message(self, claim: Claim, message: Message, error: Exception, waited: float) -> bool:
        """Tell what it means that a row was there already when a message wrote its own.

        Returns:
            True if another runner has applied the migration, False if it began it only.

        Raises:
            LockWaitError: another session has the row, until the deadline.
            Exception: what it failed of otherwise.
        """
        if self.ledger.is_taken(error):
            for dirty in (False, True):
                if await self.is_taken(claim.name, dirty=dirty):
                    self.waited += waited
                    return not dirty
        own = await self._of_claim_alone(claim) if retry.sqlstate(error) and message.is_at_beginning(error) else None
        if own and not retry.is_lock_timeout(own):
            raise self.ledger.unwritten(own) from error
        if own and waited >= self.wait_deadline:
            raise row_awaited(self.ledger.sql, claim.name, waited) from None
        raise message.blame(self.ledger.explain(error)) from error

    async def is_taken(self, name: str, *, dirty: bool = False) -> bool:
        """Tell whether another runner's row is what a claim was lost to; call it outside a transaction.

        Args:
            name: the migration.
            dirty: whether to ask for a row that says that it began and did not finish.

        Raises:
            LockWaitError: another session has locked the whole ledger, until the deadline.
        """
        started = anyio.current_time()
        try:
            return await self.ledger.has(self.session, name, dirty=dirty, patience=self.wait_deadline)
        except Exception as error:
            if not retry.is_lock_timeout(error):
                raise
            waited = anyio.current_time() - started
            raise (await ledger_awaited(self.session, self.ledger.sql, waited)) from None

    def on_opening(self, name: str, error: Exception, waited: float) -> NoReturn:
        """Raise what the error of a frame's opening means."""
        if retry.is_lock_timeout(error):
            raise row_awaited(self.ledger.sql, name, waited) from None  # with its cause it would be tried again
        raise self.ledger.unwritten(error) from error

    async def is_ours(self, name: str, verb: str) -> bool | None:
        """Ask whether this run committed a migration; None if that is not to be learnt now.

        On another session if the working one is lost. There only a yes counts: the lost one may be at its COMMIT yet.
        """
        if not self.sent or (verb == "downgrade" and self.promised is None):
            return False
        with anyio.move_on_after(ANSWER_DEADLINE, shield=True), suppress(Exception):
            if not self.session.is_closed:
                return await self._is_committed(self.session, name, verb)
            async with self.spare() as session:
                return await self._is_committed(session, name, verb) or None
        return None

    async def _is_committed(self, session: Session, name: str, verb: str) -> bool:
        if verb == "downgrade":  # no row is left to say whose it was
            return await session.has_committed(self.promised or "")
        return await self.ledger.has(session, name, self.run_id)

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
