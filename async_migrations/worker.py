"""A migration's own work: the author's code or the file's statements, with what they need around them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import retry
from async_migrations.alarm import LoopBlockedError
from async_migrations.base import BaseMigration, Context, Step
from async_migrations.errors import AuthorError
from async_migrations.events import Emit, MigrationMessage, MigrationProgress, Say
from async_migrations.face import Guard, MigrationEngine
from async_migrations.failure import let_go
from async_migrations.loading import Loaded
from async_migrations.lock import application
from async_migrations.message import FailedStatementError
from async_migrations.migration import Statistics
from async_migrations.script import Script, is_setting
from async_migrations.session import Session
from async_migrations.sql import quote_literal
from async_migrations.steps import Steps
from async_migrations.stop import Stop

if TYPE_CHECKING:
    from async_migrations.online import Operations
    from async_migrations.online.calls import Calls


CUT = (
    "The migration went on after a time limit of its own (asyncio.timeout, wait_for, a cancelled task) had ended a "
    "statement, upon which SQLAlchemy closes the connection. "
    "For a statement that may take too long use `SET LOCAL statement_timeout` inside "
    "`async with self.connection.begin_nested()`."
)
"""What an author did who caught such a time limit."""

KEPT = (
    "it kept the event loop to itself. What computes for long or blocks goes into a thread: "
    "`await asyncio.to_thread(function)`."
)
"""What an author did whose code had to be interrupted."""


@dataclass(frozen=True, slots=True)
class Done:
    """One migration was applied or reverted by us."""

    duration_ms: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Worker:
    """Awaits one migration's work at a time on the working session.

    Args:
        session: the working session.
        engine: the service's own engine, whose face an author sees.
        base: the models.
        ledger: schema and table of the ledger.
        emit: is told what migrations and server have to say.
        deadline_s: seconds for one migration; None for ever.
        guard: watches the session's connection.
        stop: the stop of the run.
        lock_timeout_s: seconds that an operation outside a transaction waits for a table's lock; None for ever.
    """

    session: Session
    engine: AsyncEngine
    base: Any
    ledger: tuple[str, str]
    emit: Emit
    deadline_s: float | None
    guard: Guard
    stop: Stop
    lock_timeout_s: float | None = None

    async def run(self, migration: Loaded, verb: str, steps: Steps | None = None) -> Done:
        """Await the author's code, with everything around it that it needs, and count what it did."""
        say = self._say(migration)
        transactional = migration.is_transactional(verb)
        script = migration.script(verb)
        started = time.perf_counter()
        with self.guard.watch(transactional=transactional) as guard, self.listening(migration):
            try:
                async with self.deadline():
                    if script is not None:
                        await self._send_each(script)
                        returned = None
                    else:
                        calls = _calls(steps)
                        engine = MigrationEngine(
                            self.session,
                            self.engine,
                            say,
                            self.ledger,
                            calls.note,
                            transactional=transactional,
                            lock_timeout=self.lock_timeout_s,
                        )
                        op = self._operations(migration, calls, transactional=transactional)
                        step = _within(calls, steps.run if steps else _plainly)
                        context = Context(self.session, engine, self.base, say, step, op, calls, self._tell(migration))
                        returned = await self._body(migration, context, verb)
                        calls.check()
                        returned = op.statistics if returned is None else returned
                guard.check()
                self._refuse_cut(guard)
            except Exception as error:
                if not isinstance(error, TimeoutError | AuthorError):
                    self._refuse_cut(guard, error)
                let_go(error)
                if guard.statement and retry.sqlstate(error):
                    raise FailedStatementError(error, guard.statement) from error
                raise
        return Done(milliseconds(started), Statistics.of(returned))

    def _operations(self, migration: Loaded, calls: Calls | None = None, *, transactional: bool) -> Operations:
        from async_migrations.online import Operations

        return Operations(
            self.session.connection,
            transactional=transactional,
            say=self._say(migration),
            lock_timeout=self.lock_timeout_s,
            calls=calls,
        )

    async def _body(self, migration: Loaded, context: Context, verb: str) -> object:
        assert isinstance(migration.body, type)  # noqa: S101 - scripts took the other way
        instance: BaseMigration = migration.body()
        instance.bind(context)
        started, alarm = time.perf_counter(), None
        try:
            with _counted(), self.stop.alarmed(self.deadline_s) as alarm:
                return await (instance.upgrade() if verb == "upgrade" else instance.downgrade())
        except (SystemExit, GeneratorExit) as error:
            what = f"{verb}() ended with {type(error).__name__}"
            raise AuthorError(f"{what}, which would end the service. Raise an error, or return.") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                if alarm and alarm.ended and self._is_late(started):
                    raise self._kept_the_loop() from alarm.ended
                raise
            what = f"{verb}() awaited a task that was cancelled, and nobody had asked the run to stop"
            raise AuthorError(f"{what}. Catch its CancelledError, or do not cancel it.") from error
        except LoopBlockedError as error:
            if self._is_late(started):
                raise self._kept_the_loop() from error
            self.stop.end()
            await anyio.lowlevel.checkpoint()  # at which it is cancelled
            raise AuthorError(f"It was to stop, and {KEPT}") from error

    def _is_late(self, started: float) -> bool:
        return self.deadline_s is not None and time.perf_counter() - started >= self.deadline_s

    def _kept_the_loop(self) -> TimeoutError:
        return TimeoutError(f"{_late(self.deadline_s or 0)}, and {KEPT}")

    def _refuse_cut(self, guard: Guard, error: Exception | None = None) -> None:
        if guard.cancelled and self.session.is_closed:
            raise AuthorError(CUT) from error

    async def _send_each(self, script: Script) -> None:
        for statement in script.statements:
            try:
                await self.session.send(statement.text)
            except Exception as error:
                raise FailedStatementError(error, statement.text, statement.line, script.path) from error

    async def run_statements(self, migration: Loaded, script: Script, steps: Steps) -> Done:
        """Run a SQL file's statements one by one outside a transaction, those left out that are done.

        What the done ones have set is set again: the session is another.
        """
        started = time.perf_counter()
        op = self._operations(migration, _calls(steps), transactional=False)
        with self.listening(migration):
            async with self.deadline():
                for number, statement in enumerate(script.statements):
                    done = steps.is_done(number, statement, script.path)
                    if done and not is_setting(statement.text):
                        continue
                    try:
                        await op.run(statement.text)
                    except Exception as error:
                        raise FailedStatementError(error, statement.text, statement.line, script.path) from error
                    if not done:
                        await steps.record(statement.text)
        return Done(milliseconds(started), Statistics())

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """Cancel what is inside when the migration's time is up."""
        limit = self.deadline_s
        if limit is None:
            yield
            return
        with anyio.move_on_after(limit) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError(_late(limit))

    @contextmanager
    def listening(self, migration: Loaded, hear: Callable[[str], bool] | None = None) -> Iterator[None]:
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

    def _tell(self, migration: Loaded) -> Callable[[float, float | None], None]:
        name = migration.file.name

        def tell(done: float, total: float | None) -> None:
            self.emit(MigrationProgress(name, done, total))
            # The other replicas see it there: in a transaction of ours nothing else is visible before its end.
            self.guard.whisper(f"application_name = {quote_literal(application(name, (done, total)))}")

        return tell

    def _say(self, migration: Loaded) -> Say:
        return lambda level, text: self.emit(MigrationMessage(migration.file.name, level, text))


@contextmanager
def _counted() -> Iterator[None]:
    """Take back what a task group of asyncio that failed in there has added to our task's cancellations.

    In Python 3.11 it leaves its own, and the next scope of anyio takes that for somebody's wish to cancel it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError:
        before = sys.maxsize
        raise
    finally:
        while task and task.cancelling() > before:
            task.uncancel()


def _late(limit: float) -> str:
    return f"it did not finish within its deadline of {limit:g} s"


def _calls(steps: Steps | None) -> Calls:
    from async_migrations.online.calls import Calls

    return Calls(steps)


def _within(calls: Calls, step: Step) -> Step:
    async def run(name: str, work: Callable[[], Awaitable[object]]) -> None:
        with calls.step(name):
            await step(name, work)

    return run


async def _plainly(_: str, work: Callable[[], Awaitable[object]]) -> None:
    await work()


def milliseconds(started: float) -> int:
    """Return the milliseconds since `started`, a `time.perf_counter()`."""
    return round((time.perf_counter() - started) * 1000)
