"""Apply or revert ONE migration."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import retry
from async_migrations.base import BaseMigration, Context
from async_migrations.errors import MigrationFailedError, MigrationsError, TransactionControlError
from async_migrations.events import Emit, MigrationMessage, MigrationRetried, MigrationStarted, Say
from async_migrations.face import Guard, MigrationEngine
from async_migrations.ledger import Claim, Ledger
from async_migrations.loading import Loaded, Script
from async_migrations.lock import LockKey, application
from async_migrations.message import FailedStatementError, Message
from async_migrations.migration import Statistics
from async_migrations.online import Operations
from async_migrations.options import Limits
from async_migrations.session import Session, SessionLostError
from async_migrations.sql import quote_literal
from async_migrations.steps import Steps


@dataclass(frozen=True, slots=True)
class Done:
    """One migration was applied or reverted by us."""

    duration_ms: int
    statistics: Statistics


@dataclass(slots=True)
class Executor:
    """Runs migrations one at a time on the leader's session.

    Args:
        session: the working session, which holds the lock.
        pooled: whether a pooler stands between.
        spare: opens a second session, for the books of a non-transactional migration.
        run_id: the run that claims rows.
        applied: names that the run applied so far; for the error that a failure raises.
    """

    engine: AsyncEngine
    base: Any
    session: Session
    pooled: bool
    spare: Callable[[], AbstractAsyncContextManager[Session]]
    ledger: Ledger
    key: LockKey
    emit: Emit
    limits: Limits
    run_id: str
    applied: list[str] = field(default_factory=list)
    _foreseen: tuple[Loaded, Message] | None = None

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
        claim = self._claim(migration)
        if not migration.is_transactional("upgrade"):
            return await self._once(migration, "upgrade", lambda: self._in_steps(migration, claim, last=last))
        if isinstance(migration.body, Script) and not dirty:
            script = migration.body
            return await self._retried(migration, "upgrade", lambda: self._as_message(migration, script, claim, last))
        return await self._retried(migration, "upgrade", lambda: self._in_transaction(migration, claim, last))

    async def revert(self, migration: Loaded) -> Done | None:
        """Revert one migration and take its row away, in one transaction if it is transactional.

        Raises:
            MigrationFailedError: it failed.
            SessionLostError: the connection is gone; the ledger knows what happened.
        """
        if migration.is_transactional("downgrade"):
            return await self._retried(migration, "downgrade", lambda: self._revert_in_transaction(migration))
        return await self._once(migration, "downgrade", lambda: self._revert_in_steps(migration))

    async def _in_transaction(self, migration: Loaded, claim: Claim, last: bool) -> Done | None:  # noqa: FBT001
        if not await self._open(migration, self.ledger.claim(claim)):
            return None
        async with self._rolled_back_on_error():
            done = await self._run(migration, "upgrade")
            complete = self._complete(claim, done.duration_ms, done.statistics)
            await self._commit(self.session.restore, complete, *([self.key.notify] if last else []))
        return done

    def foresee(self, migration: Loaded, *, last: bool) -> None:
        """Write the message of a SQL file while the server is at the migration before it."""
        if isinstance(migration.body, Script) and migration.is_transactional("upgrade"):
            self._foreseen = (migration, self._message(migration, migration.body, self._claim(migration), last=last))

    async def _as_message(self, migration: Loaded, script: Script, claim: Claim, last: bool) -> Done | None:  # noqa: FBT001
        started = time.perf_counter()
        foreseen, message = self._foreseen or (None, None)
        self._foreseen = None  # a retry begins with a fresh one
        if message is None or foreseen is not migration:
            message = self._message(migration, script, claim, last=last)
        try:
            with self._listening(migration, message.hear):
                async with self._deadline():
                    await self.session.transact(message.text)
        except Exception as error:
            if self.ledger.is_taken(error):
                return None
            raise message.blame(self.ledger.explain(error)) from error
        return Done(_milliseconds(started), Statistics())

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
        return Claim(file.name, migration.description, migration.checksum, file.raw_checksum, self.run_id)

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

    async def _revert_in_transaction(self, migration: Loaded) -> Done | None:
        if not await self._open(migration, self.ledger.release(migration.file.name)):
            return None
        async with self._rolled_back_on_error():
            done = await self._run(migration, "downgrade")
            await self._commit(self.session.restore)
        return done

    async def _revert_in_steps(self, migration: Loaded) -> Done | None:
        claim = Claim(migration.file.name, migration.description, "", "", self.run_id)
        async with self.spare() as books:
            steps = Steps(books, self.session, self.ledger, claim, self.limits.wait_deadline, "downgrade")
            if not await steps.take():
                return None
            done = await self._outside(migration, "downgrade", steps)
            await steps.forget()
        return done

    async def _outside(self, migration: Loaded, verb: str, steps: Steps) -> Done:
        """Run outside any transaction, and leave none behind."""
        script = migration.script(verb)
        await self._prepare(migration)
        async with self._rolled_back_on_error():
            if script is not None:
                done = await self._run_statements(migration, script, steps)
            else:
                done = await self._run(migration, verb, steps)
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

    async def _run(self, migration: Loaded, verb: str, steps: Steps | None = None) -> Done:
        """Await the author's code, with everything around it that it needs, and count what it did."""
        say = self._say(migration)
        transactional = migration.is_transactional(verb)
        script = migration.script(verb)
        started = time.perf_counter()
        with Guard(self.session.connection, transactional=transactional) as guard, self._listening(migration):
            try:
                async with self._deadline():
                    if script is not None:
                        await self._send_each(script)
                        returned = None
                    else:
                        engine = MigrationEngine(self.session, self.engine, say, transactional=transactional)
                        op = Operations(self.session.connection, transactional=transactional, say=say)
                        step = steps.run if steps else _plainly
                        context = Context(self.session, engine, self.base, say, step, op)
                        returned = await self._body(migration, context, verb)
                guard.check()
            except Exception as error:
                _let_go(error)
                if guard.statement and retry.sqlstate(error):
                    raise FailedStatementError(error, guard.statement) from error
                raise
        return Done(_milliseconds(started), Statistics.of(returned))

    async def _body(self, migration: Loaded, context: Context, verb: str) -> object:
        assert isinstance(migration.body, type)  # noqa: S101 - scripts took the other way
        instance: BaseMigration = migration.body()
        instance.bind(context)
        return await (instance.upgrade() if verb == "upgrade" else instance.downgrade())

    async def _send_each(self, script: Script) -> None:
        for statement in script.statements:
            try:
                await self.session.send(statement.text)
            except Exception as error:
                raise FailedStatementError(error, statement.text, statement.line, script.path) from error

    async def _run_statements(self, migration: Loaded, script: Script, steps: Steps) -> Done:
        started = time.perf_counter()
        op = Operations(self.session.connection, transactional=False, say=self._say(migration))
        with self._listening(migration):
            async with self._deadline():
                for number, statement in enumerate(script.statements):
                    if not steps.is_done(number, statement, script.path):
                        try:
                            await op.run(statement.text)
                        except Exception as error:
                            raise FailedStatementError(error, statement.text, statement.line, script.path) from error
                        await steps.record(statement.text)
        return Done(_milliseconds(started), Statistics())

    @asynccontextmanager
    async def _rolled_back_on_error(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await self.session.rollback()
            raise

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        limit = self.limits.migration_deadline
        if limit is None:
            yield
            return
        with anyio.move_on_after(limit) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError(f"it did not finish within its deadline of {limit:g} s")

    @contextmanager
    def _listening(self, migration: Loaded, hear: Callable[[str], bool] | None = None) -> Iterator[None]:
        """Pass on what the server says meanwhile: RAISE NOTICE in a function, a WARNING."""
        say = self._say(migration)

        def listen(notice: Any) -> None:
            text = str(notice.message)
            if not (hear and hear(text)):
                say(
                    logging.WARNING if notice.severity == "WARNING" else logging.DEBUG,
                    f"{notice.severity}: {text}",
                )

        self.session.on_notice = listen
        try:
            yield
        finally:
            self.session.on_notice = None

    async def _retried(self, migration: Loaded, verb: str, work: Callable[[], Awaitable[Done | None]]) -> Done | None:
        name = migration.file.name

        def again(error: Exception, attempt: int) -> None:
            self.emit(MigrationRetried(name, retry.describe(error), attempt, 0.0))

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
            _let_go(error)
            if self.session.judge_closed(error) and not isinstance(error, TimeoutError):
                raise SessionLostError(retry.describe(error)) from error
            raise self._failure(migration, verb, error) from error

    def _failure(self, migration: Loaded, verb: str, error: Exception) -> MigrationFailedError:
        blamed = error if isinstance(error, FailedStatementError) else None
        cause = blamed.error if blamed else error
        path = (blamed.path if blamed else None) or migration.file.path
        line = (blamed.line if blamed else None) or _line_in(str(migration.file.path), error)
        code = None if isinstance(cause, MigrationsError) else retry.sqlstate(cause)
        statement = getattr(cause, "statement", None) or (blamed.statement if blamed and code else None)
        reason = retry.describe(cause) if code else f"{_kind(cause)}{cause}"
        words: dict[str, str] = {}
        if not migration.is_transactional(verb):
            words = {
                "left": "It is not transactional: the steps that it finished stay, and the ledger marks it dirty.",
                "advice": "Mend the cause and start again: it goes on after its last finished step.",
            }
        return MigrationFailedError(
            migration.file.name,
            path,
            reason,
            verb=verb,
            statement=statement,
            line=line,
            sqlstate=code,
            applied=self.applied,
            **words,
        )

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

    def _say(self, migration: Loaded) -> Say:
        return lambda level, text: self.emit(MigrationMessage(migration.file.name, level, text))


def _let_go(error: Exception) -> None:
    """Raise the loss of a session that the author's code, or its driver, has wrapped in something else."""
    for each in retry.causes(error):
        if isinstance(each, SessionLostError) and each is not error:
            raise each from error


async def _plainly(_: str, work: Callable[[], Awaitable[object]]) -> None:
    await work()


def _line_in(path: str, error: BaseException) -> int | None:
    for each in retry.causes(error):
        lines = [frame.lineno for frame in traceback.extract_tb(each.__traceback__) if frame.filename == path]
        if lines:
            return lines[-1]
    return None


def _kind(error: Exception) -> str:
    return "" if isinstance(error, MigrationsError | TimeoutError) else f"{type(error).__name__}: "


def _ms(seconds: float | None) -> str:
    return "0" if seconds is None else str(min(max(1, round(seconds * 1000)), 2**31 - 1))


def _milliseconds(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
