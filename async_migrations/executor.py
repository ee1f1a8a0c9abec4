"""Apply or revert ONE migration."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from async_migrations import retry
from async_migrations.errors import TransactionControlError
from async_migrations.events import Emit, MigrationRetried, MigrationStarted
from async_migrations.failure import failure, let_go
from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import Claim
from async_migrations.loading import Loaded, Script
from async_migrations.lock import LockKey, application
from async_migrations.message import Message
from async_migrations.migration import Statistics
from async_migrations.options import Limits
from async_migrations.session import Session, SessionLostError
from async_migrations.sql import quote_literal
from async_migrations.steps import Promise, Steps
from async_migrations.worker import Done, Worker, milliseconds


@dataclass(slots=True)
class Executor:
    """Runs migrations one at a time on the leader's session.

    Args:
        worker: does a migration's own work, on the same session.
        session: the working session, which holds the lock.
        pooled: whether a pooler stands between.
        spare: opens a second session, for the books of a non-transactional migration.
        run_id: the run that claims rows.
        applied: names that the run applied so far; for the error that a failure raises.
    """

    worker: Worker
    session: Session
    pooled: bool
    spare: Callable[[], AbstractAsyncContextManager[Session]]
    ledger: Ledger
    key: LockKey
    emit: Emit
    limits: Limits
    run_id: str
    applied: list[str] = field(default_factory=list)
    _foreseen: tuple[Loaded, Claim, Message | None] | None = None

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
        if foreseen is None or foreseen[0] is not migration:
            foreseen = self._look_at(migration, last=last)
        _, claim, message = foreseen
        if not migration.is_transactional("upgrade"):
            return await self._once(migration, "upgrade", lambda: self._in_steps(migration, claim, last=last))
        if message is not None and not dirty:
            return await self._retried(migration, "upgrade", lambda: self._as_message(migration, message))
        return await self._retried(migration, "upgrade", lambda: self._in_transaction(migration, claim, last))

    async def revert(self, migration: Loaded, promise: Promise) -> Done | None:
        """Revert one migration and take its row away, in one transaction if it is transactional.

        Args:
            migration: which.
            promise: is told by which transaction.

        Raises:
            MigrationFailedError: it failed.
            SessionLostError: the connection is gone; the ledger knows what happened.
        """
        if migration.is_transactional("downgrade"):
            return await self._retried(migration, "downgrade", lambda: self._revert_in_transaction(migration, promise))
        return await self._once(migration, "downgrade", lambda: self._revert_in_steps(migration, promise))

    async def _in_transaction(self, migration: Loaded, claim: Claim, last: bool) -> Done | None:  # noqa: FBT001
        if not await self._open(migration, self.ledger.claim(claim)):
            return None
        async with self._rolled_back_on_error():
            done = await self.worker.run(migration, "upgrade")
            complete = self._complete(claim, done.duration_ms, done.statistics)
            await self._commit(self.session.restore, complete, *([self.key.notify] if last else []))
        return done

    def foresee(self, migration: Loaded, *, last: bool) -> None:
        """Write and hash what the next migration needs while the server is at the one before it."""
        self._foreseen = self._look_at(migration, last=last)

    def _look_at(self, migration: Loaded, *, last: bool) -> tuple[Loaded, Claim, Message | None]:
        claim = self._claim(migration)
        if isinstance(migration.body, Script) and migration.is_transactional("upgrade"):
            return migration, claim, self._message(migration, migration.body, claim, last=last)
        return migration, claim, None

    async def _as_message(self, migration: Loaded, message: Message) -> Done | None:
        started = time.perf_counter()
        message.rewind()
        try:
            with self.worker.listening(migration, message.hear):
                async with self.worker.deadline():
                    await self.session.transact(message.text)
        except Exception as error:
            if self.ledger.is_taken(error):
                return None
            raise message.blame(self.ledger.explain(error)) from error
        return Done(milliseconds(started), Statistics())

    def _message(self, migration: Loaded, script: Script, claim: Claim, *, last: bool) -> Message:
        complete = self._complete(claim, None, Statistics())
        return Message(
            script.statements,
            script.path,
            before=[*self._settings(migration), self.ledger.claim(claim, fence=False), f"SELECT {self._timeouts}"],
            after=[self.session.restore, complete, *([self.key.notify] if last else []), "COMMIT"],
        )

    def _claim(self, migration: Loaded) -> Claim:
        file = migration.file
        return Claim(file.name, migration.description, migration.checksum(), file.raw_checksum, self.run_id)

    def _complete(self, claim: Claim, duration_ms: int | None, statistics: Statistics) -> str:
        return self.ledger.complete(claim.name, duration_ms, statistics.as_dict(), prepared=not self.pooled)

    async def _in_steps(self, migration: Loaded, claim: Claim, *, last: bool) -> Done | None:
        async with self.spare() as books:
            steps = Steps(books, self.session, self.ledger, claim, self.limits.wait_deadline)
            if not await steps.take():
                return None
            done = await self._outside(migration, "upgrade", steps)
            await steps.finish(done.duration_ms, done.statistics.as_dict(), [self.key.notify] if last else [])
        return done

    async def _revert_in_transaction(self, migration: Loaded, promise: Promise) -> Done | None:
        if not await self._open(migration, self.ledger.release(migration.file.name)):
            return None
        async with self._rolled_back_on_error():
            promise(await self.session.transaction_id())
            done = await self.worker.run(migration, "downgrade")
            await self._commit(self.session.restore)
        return done

    async def _revert_in_steps(self, migration: Loaded, promise: Promise) -> Done | None:
        claim = Claim(migration.file.name, migration.description, "", "", self.run_id)
        async with self.spare() as books:
            steps = Steps(books, self.session, self.ledger, claim, self.limits.wait_deadline, "downgrade")
            if not await steps.take():
                return None
            done = await self._outside(migration, "downgrade", steps)
            await steps.forget(promise)
        return done

    async def _outside(self, migration: Loaded, verb: str, steps: Steps) -> Done:
        """Run outside any transaction, and leave none behind."""
        script = migration.script(verb)
        await self._prepare(migration)
        async with self._rolled_back_on_error():
            if script is not None:
                done = await self.worker.run_statements(migration, script, steps)
            else:
                done = await self.worker.run(migration, verb, steps)
            if self.session.in_transaction:
                raise TransactionControlError(
                    "The migration is not transactional, began a transaction and did not end it; that was rolled "
                    "back. Add the COMMIT, or use `async with self.engine.begin()`."
                )
        await self.session.send(self.session.restore)
        return done

    async def _open(self, migration: Loaded, claim: str) -> bool:
        """Open the frame; tell whether the row is ours."""
        won = f"WITH won AS ({claim} RETURNING 1) SELECT {self._timeouts} FROM won"
        if await self.session.begin(*self._settings(migration), won) == "SELECT 1":
            return True
        await self.session.rollback()
        return False

    async def _commit(self, *statements: str) -> None:
        if not self.session.in_transaction:
            raise TransactionControlError(
                "The migration ended the engine's own transaction (a COMMIT or ROLLBACK inside a function, or on "
                "the driver's connection). What it committed stays; its row does not. Take the COMMIT out."
            )
        try:
            await self.session.commit(*statements)
        except Exception as error:
            raise self.ledger.explain(error) from error

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
            self.emit(MigrationRetried(name, retry.describe(error), attempt))

        return await self._once(
            migration,
            verb,
            lambda: retry.persist(
                work,
                retry_on=lambda error: retry.is_retryable(error) and not self.session.is_closed,
                on_retry=again,
                deadline=self.limits.retry_deadline,
                pause=0.1,
                longest_pause=5.0,
            ),
        )

    async def _once(self, migration: Loaded, verb: str, work: Callable[[], Awaitable[Done | None]]) -> Done | None:
        self.emit(MigrationStarted(migration.file.name, migration.description, verb))
        try:
            return await work()
        except SessionLostError:
            raise
        except Exception as error:
            let_go(error)
            if self.session.judge_closed(error) and not isinstance(error, TimeoutError):
                raise SessionLostError(retry.describe(error)) from error
            raise failure(migration, verb, error, self.applied) from error

    async def _prepare(self, migration: Loaded) -> None:
        """Set up a direct session for work outside a transaction; through a pooler the settings would leak."""
        if not self.pooled:
            name = quote_literal(application(migration.file.name))
            timeout = _ms(self.limits.statement_timeout)
            await self.session.send(f"SET application_name = {name}; SET statement_timeout = {timeout}")

    def _settings(self, migration: Loaded) -> list[str]:
        """The frame's settings before the claim, which may wait for another runner; a direct session has the rest."""
        settings = {"application_name": quote_literal(application(migration.file.name))}
        if self.pooled:
            settings |= dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout"), "0")
            settings |= {"lock_timeout": _ms(self.limits.wait_deadline), "client_min_messages": "notice"}
            settings |= {"client_connection_check_interval": "'500ms'"}
        return [f"SET LOCAL {name} = {value}" for name, value in settings.items()]

    @property
    def _timeouts(self) -> str:
        """The author's timeouts, as expressions: they begin when the claim is won."""
        limits = {"lock_timeout": self.limits.lock_timeout, "statement_timeout": self.limits.statement_timeout}
        return ", ".join(
            f"set_config('{name}', '{_ms(seconds)}', true)"
            for name, seconds in limits.items()
            if name == "lock_timeout" or seconds is not None
        )


def _ms(seconds: float | None) -> str:
    return "0" if seconds is None else str(min(max(1, round(seconds * 1000)), 2**31 - 1))
