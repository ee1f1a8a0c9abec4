"""Apply or revert ONE migration."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from async_migrations import retry
from async_migrations.errors import AuthorError, LockWaitError, TransactionControlError
from async_migrations.events import (
    Emit,
    MigrationApplied,
    MigrationRetried,
    MigrationReverted,
    MigrationStarted,
    MigrationUnsure,
)
from async_migrations.failure import failure, let_go
from async_migrations.frame import Foreseen, Frame
from async_migrations.ledger.statements import Claim
from async_migrations.loading import Loaded
from async_migrations.migration import Statistics
from async_migrations.options import Limits
from async_migrations.session import Session, SessionLostError
from async_migrations.steps import Promise, Steps
from async_migrations.verdict import Verdict, is_late
from async_migrations.worker import Done, Worker, milliseconds


@dataclass(slots=True)
class Executor:
    """Runs migrations one at a time on the leader's session.

    Args:
        worker: does a migration's own work, on the same session.
        session: the working session, which holds the lock.
        frame: what is said around a migration.
        spare: opens a second session, for the books of a non-transactional migration.
        applied: names that the run applied so far; for the error that a failure raises.
        unsure: of which nobody could say whether they were committed when they were cancelled.
    """

    worker: Worker
    session: Session
    frame: Frame
    spare: Callable[[], AbstractAsyncContextManager[Session]]
    emit: Emit
    limits: Limits
    applied: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    verdict: Verdict = field(init=False)
    _foreseen: Foreseen | None = None
    _steps: Steps | None = None

    def __post_init__(self) -> None:
        frame = self.frame
        wait = self.limits.wait_deadline
        self.verdict = Verdict(self.session, frame.ledger, frame.run_id, self.spare, wait)

    async def prepare(self) -> None:
        """Have a direct session prepare what each migration says to the ledger."""
        if not self.frame.pooled:
            await self.session.send(self.frame.prepare())
            self.frame.prepared = True

    async def apply(self, migration: Loaded, *, dirty: bool, last: bool) -> Done | None:
        """Apply one migration, exactly once whoever else tries.

        Args:
            migration: which.
            dirty: whether an earlier run began it and did not finish.
            last: whether the waiters are told when it is committed.

        Returns:
            What it did, or None if another runner applied it in the meantime.

        Raises:
            MigrationFailedError: it failed.
            SessionLostError: the connection is gone; the ledger knows what happened.
        """
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen.migration is not migration:
            foreseen = self.frame.foresee(migration, last=last)
        if not migration.is_transactional("upgrade"):
            return await self._once(migration, "upgrade", lambda: self._in_steps(foreseen))
        if foreseen.message is not None and not dirty:
            return await self._retried(migration, "upgrade", lambda: self._as_message(foreseen))
        return await self._retried(migration, "upgrade", lambda: self._in_transaction(foreseen))

    async def revert(self, migration: Loaded, promise: Promise) -> Done | None:
        """Revert one migration and take its row away, in one transaction if it is transactional.

        Args:
            migration: which.
            promise: is told by which transaction.

        Raises:
            MigrationFailedError: it failed.
            SessionLostError: the connection is gone; the ledger knows what happened.
        """

        def promised(transaction_id: str) -> None:
            self.verdict.promised = transaction_id
            promise(transaction_id)

        if migration.is_transactional("downgrade"):
            return await self._retried(migration, "downgrade", lambda: self._revert_in_transaction(migration, promised))
        return await self._once(migration, "downgrade", lambda: self._revert_in_steps(migration, promised))

    def foresee(self, migration: Loaded, *, last: bool) -> None:
        """Write and hash what the next migration needs while the server is at the one before it."""
        self._foreseen = self.frame.foresee(migration, last=last)

    async def _in_transaction(self, foreseen: Foreseen) -> Done | None:
        claim = foreseen.claim
        if not await self._open(claim.name, self.frame.opening(claim)):
            if not await self.verdict.is_taken(claim.name):
                raise self.frame.ledger.refused("nothing was written")
            return None
        async with self._rolled_back_on_error():
            done = await self.worker.run(foreseen.migration, "upgrade")
            closing = self.frame.closing(claim.name, done.duration_ms, done.statistics.as_dict(), last=foreseen.last)
            # Deferred constraints, and a standby that has to confirm, may take as long as the work itself.
            async with self.worker.deadline():
                await self._commit(closing)
        return done

    async def _as_message(self, foreseen: Foreseen) -> Done | None:
        if foreseen.prepared and not self.frame.prepared:
            foreseen = self.frame.foresee(foreseen.migration, last=foreseen.last)
        message = foreseen.message
        assert message is not None  # noqa: S101 - other migrations took another way
        started = time.perf_counter()
        message.rewind()
        self.verdict.sent = True
        try:
            with self.worker.listening(foreseen.migration, message.hear):
                async with self.worker.deadline():
                    await self.session.transact(message.text)
        except Exception as error:
            if await self.verdict.on_message(foreseen.claim, message, error, time.perf_counter() - started):
                return None
            return await self._in_transaction(foreseen)
        return Done(milliseconds(started), Statistics())

    async def _in_steps(self, foreseen: Foreseen) -> Done | None:
        async with self._keep_books(foreseen.claim, "upgrade") as steps:
            if not await steps.take():
                return None
            done = await self._outside(foreseen.migration, "upgrade", steps)
            told = self.frame.told(last=foreseen.last)
            async with self.worker.deadline():
                await steps.finish(done.duration_ms, done.statistics.as_dict(), told)
        return done

    async def _revert_in_transaction(self, migration: Loaded, promise: Promise) -> Done | None:
        if not await self._open(migration.file.name, self.frame.opening_back(migration.file.name)):
            return None
        async with self._rolled_back_on_error():
            promise(await self.session.transaction_id())
            done = await self.worker.run(migration, "downgrade")
            async with self.worker.deadline():
                await self._commit([self.frame.restore])
        return done

    async def _revert_in_steps(self, migration: Loaded, promise: Promise) -> Done | None:
        claim = Claim(migration.file.name, migration.description, "", "", self.frame.run_id)
        async with self._keep_books(claim, "downgrade") as steps:
            if not await steps.take():
                return None
            done = await self._outside(migration, "downgrade", steps)
            async with self.worker.deadline():
                await steps.forget(promise)
        return done

    @asynccontextmanager
    async def _keep_books(self, claim: Claim, verb: str) -> AsyncIterator[Steps]:
        frame, wait = self.frame, self.limits.wait_deadline
        async with AsyncExitStack() as stack:

            async def reopen() -> Session:
                return await stack.enter_async_context(self.spare())

            steps = Steps(await reopen(), reopen, self.session, frame.ledger, claim, wait, frame.pooled, verb)
            self._steps, self.verdict.sent = steps, True
            yield steps

    async def _outside(self, migration: Loaded, verb: str, steps: Steps) -> Done:
        """Run outside any transaction, and leave none behind."""
        script = migration.script(verb)
        if not self.frame.pooled:
            await self.session.send(self.frame.outside(migration.file.name))
        async with steps.standoff.ended(), self._rolled_back_on_error():
            if script is not None:
                done = await self.worker.run_statements(migration, script, steps)
            else:
                done = await self.worker.run(migration, verb, steps)
            if self.session.in_transaction:
                raise TransactionControlError(
                    "The migration is not transactional, began a transaction and did not end it; that was rolled "
                    "back. Add the COMMIT, or use `async with self.engine.begin()`."
                )
        await self.session.send(self.frame.restore)
        return done

    async def _open(self, name: str, opening: list[str]) -> bool:
        """Open the frame; tell whether the row is ours.

        Raises:
            LockWaitError: another session has it, until the deadline.
        """
        started = time.perf_counter()
        try:
            tag = await self.session.begin(*opening)
        except Exception as error:
            self.verdict.on_opening(name, error, time.perf_counter() - started)
        if tag.endswith(" 1"):
            return True
        await self.session.rollback()
        self.verdict.waited += time.perf_counter() - started
        return False

    async def _commit(self, closing: list[str]) -> None:
        if self.session.is_closed:
            raise SessionLostError("the connection was closed before the COMMIT")
        if not self.session.in_transaction:
            raise TransactionControlError(
                "The migration ended the engine's own transaction (a COMMIT or ROLLBACK inside a function, or on "
                "the driver's connection). What it committed stays; its row does not. Take the COMMIT out."
            )
        self.verdict.sent = True
        try:
            await self.session.commit(*closing)
        except Exception as error:
            raise self.frame.ledger.explain(error) from error

    @asynccontextmanager
    async def _rolled_back_on_error(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await self.session.rollback()
            raise

    async def _retried(self, migration: Loaded, verb: str, work: Callable[[], Awaitable[Done | None]]) -> Done | None:
        name = migration.file.name

        def again(error: Exception, attempt: int) -> None:
            self.frame.prepared &= not self.frame.ledger.is_deallocated(error)
            self.verdict.sent = False
            self.emit(MigrationRetried(name, retry.describe(error), attempt))

        return await self._once(
            migration,
            verb,
            lambda: retry.persist(
                work,
                retry_on=lambda error: self._is_retryable(error) and not self.session.is_closed,
                on_retry=again,
                deadline=self.limits.retry_deadline,
                pause=0.1,
                longest_pause=5.0,
            ),
        )

    def _is_retryable(self, error: Exception) -> bool:
        # A migration may run DEALLOCATE ALL; the next attempt says everything in full.
        return retry.is_retryable(error) or self.frame.ledger.is_deallocated(error)

    async def _once(self, migration: Loaded, verb: str, work: Callable[[], Awaitable[Done | None]]) -> Done | None:
        self.emit(MigrationStarted(migration.file.name, migration.description, verb))
        self._steps, started = None, time.perf_counter()
        self.verdict.sent, self.verdict.promised = False, None
        try:
            return await work()
        except SessionLostError:
            raise
        except LockWaitError as error:
            raise LockWaitError(error.waited, error.holder, error.advice, self.applied) from error
        except Exception as error:
            late, author = is_late(error), isinstance(error, AuthorError)
            if not author:
                let_go(error)
            ours = await self.verdict.is_ours(migration.file.name, verb) if late else False
            if ours:
                return Done(milliseconds(started), Statistics())
            if self.session.judge_closed(error) and not late and not author:
                raise SessionLostError(retry.describe(error)) from error
            begun = self._steps is not None and self._steps.begun
            pooled = self.frame.pooled
            unsure = ours is None
            raise failure(migration, verb, error, self.applied, begun=begun, pooled=pooled, unsure=unsure) from error
        except anyio.get_cancelled_exc_class():
            await self._note(migration.file.name, verb, started)
            raise

    async def _note(self, name: str, verb: str, started: float) -> None:
        """Tell of a migration whose COMMIT and whose cancellation may have crossed."""
        ours = await self.verdict.is_ours(name, verb)
        if ours:
            self.applied.append(name)
            self.emit((MigrationApplied if verb == "upgrade" else MigrationReverted)(name, milliseconds(started)))
        elif ours is None:
            self.unsure.append(name)
            self.emit(MigrationUnsure(name))
