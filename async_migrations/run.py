"""One call in progress, over all its connections: what it holds, what it has done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import anyio

from async_migrations import discovery, events
from async_migrations.connector import EngineConnector, connect, spare
from async_migrations.discovery import Folder
from async_migrations.errors import DatabaseUnavailableError, LedgerError, MigrationFailedError, MigrationsError
from async_migrations.ledger import Ledger, digest_of
from async_migrations.ledger.holders import patiently
from async_migrations.lock import Lock, LockKey, elect
from async_migrations.migration import AppliedRow, Report, total
from async_migrations.options import Options
from async_migrations.plan import Plan, Target, make_plan
from async_migrations.reporting import LOGGER
from async_migrations.retry import describe, is_unavailable, sqlstate
from async_migrations.session import Facts, Session, SessionLostError, TakenOverError
from async_migrations.stop import Stop

if TYPE_CHECKING:  # what applies migrations brings SQLAlchemy along, and a wait does without
    from async_migrations.executor import Executor
    from async_migrations.loading import Loaded

RECONNECTS = 5
"""Times that a run that lost its connection starts again; a migration that kills its server must not loop."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Leader:
    """What the holder of the lock works with."""

    session: Session
    facts: Facts
    ledger: Ledger
    key: LockKey
    lock: Lock
    executor: Executor


@dataclass(slots=True, eq=False)
class Run:
    """One call of a runner.

    Args:
        options: what the runner was told.
        verb: what the call is for.
        until: when it gives up connecting, by anyio's clock; None for connect_deadline after each time it begins.
    """

    options: Options
    verb: str
    until: float | None = None
    id: str = field(default_factory=lambda: uuid4().hex)
    started: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    applied: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    announced: bool = False
    lost: bool = False
    failing: set[int] = field(default_factory=set)
    reverting: tuple[str, str] | None = None
    stop: Stop = field(init=False)

    def __post_init__(self) -> None:
        self.stop = Stop(self.applied, self.unsure, self.options.limits.grace, self.emit)

    @property
    def ledger(self) -> Ledger:
        """The ledger, by the names that the runner was given."""
        return Ledger(self.options.table, self.options.schema)

    async def key(self, session: Session) -> tuple[LockKey, Facts]:
        """Return the key of the ledger's lock, and what the server says of the session."""
        facts = await session.facts()
        ledger = await self.ledger.resolve(session, facts)
        return LockKey(facts.database, ledger.schema or "", ledger.table), facts

    def emit(self, event: events.Event) -> None:
        """Tell all observers; what only watches must never stop a migration in the middle."""
        for observer in self.options.observers:
            try:
                observer(event)
            except Exception:
                # With its traceback once: whoever fails on each of a thousand migrations must not bury what they say.
                level = logging.DEBUG if id(observer) in self.failing else logging.ERROR
                self.failing.add(id(observer))
                logging.getLogger(LOGGER).log(level, "An observer failed on %s", type(event).__name__, exc_info=True)

    def report(self) -> Report:
        """Return what was done so far."""
        duration = round((time.perf_counter() - self.started) * 1000)
        return Report(tuple(self.applied), self.waited, duration, total(self.statistics))

    def end(self) -> Report:
        """Report, and tell the observers."""
        report = self.report()
        self.emit(events.RunFinished(report.applied, report.waited, report.duration_ms, report.statistics, self.verb))
        return report

    async def tell(self, story: Callable[[Session], Awaitable[T]]) -> T:
        """Await `story` on a connection; from its beginning again if the connection is lost on the way.

        Raises:
            RunStoppedError: the run was told to stop.
            MigrationsError: see `errors`.
        """
        with self.stop.heeded():
            return await self._tell(story)
        raise AssertionError  # pragma: no cover - what stops the run is raised above

    async def _tell(self, story: Callable[[Session], Awaitable[T]]) -> T:
        losses = spared = 0
        while True:
            self.stop.check()
            session: Session | None = None
            try:
                async with self.connect() as session:
                    return await story(session)
            except MigrationFailedError as error:
                self.emit(events.MigrationFailed(error.migration, error.reason))
                raise
            except MigrationsError:
                raise
            except Exception as error:
                if not (isinstance(error, SessionLostError) or (session and is_unavailable(error))):
                    code = sqlstate(error)
                    if code is None:
                        raise
                    raise _refused(error, code) from error
                # A run may begin with a connection of the pool that died long ago; then none as old is left in it.
                spared += not (self.lost or (session and session.answered))
                losses += not isinstance(error, TakenOverError)
                if losses > RECONNECTS + spared:
                    advice = f"It was lost {losses} times in this run; see the server's log."
                    raise DatabaseUnavailableError(self.options.connector.where, describe(error), advice) from error
                # A COMMIT may have had no answer: from now on the ledger is asked what we did, whoever finished.
                self.lost = True
                self.emit(events.ConnectionLost(describe(error)))

    def connect(self) -> AbstractAsyncContextManager[Session]:
        """Open a session, waiting for a database that is not there yet."""
        connector, deadline, named = self.options.connector, self.options.limits.connect_deadline, "connect_deadline"
        if self.until is not None:
            deadline, named = max(self.until - anyio.current_time(), 0.0), "the deadline"
        return connect(connector, self.emit, deadline=deadline, named=named, again=self.lost)

    def spare(self, *, pooled: bool) -> AbstractAsyncContextManager[Session]:
        """Open one more session beside the working one."""
        deadline = self.options.limits.connect_deadline
        return spare(self._engine, self.emit, deadline=deadline, pooled=pooled)

    @asynccontextmanager
    async def leading(
        self, session: Session, is_current: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[Leader | None]:
        """Hold the lock with the ledger in place; yield None if the ledger became current while we waited.

        Args:
            session: it will hold the lock and do the work.
            is_current: whether there is nothing to lead for; without it a leader is wanted in any case.
        """
        facts = await session.facts()
        _refuse_standby(self.options, facts)
        ledger = await self.ledger.resolve(session, facts)
        key = LockKey(facts.database, ledger.schema or "", ledger.table)
        session.hold()
        async with AsyncExitStack() as stack:
            pooled = session.is_pooled(facts)
            guard = await stack.enter_async_context(self.spare(pooled=pooled)) if pooled else None
            await session.outlast_idling(facts)
            lock = Lock(session, key, guard, facts.impatient, facts.application_name)
            if not await self._elect(lock, is_current or _never):
                yield None
                return
            stack.push_async_callback(lock.release)
            if guard is None:
                await session.settle(application_name=facts.application_name)
            await ledger.ensure(session, facts, self.emit, deadline=self.options.limits.retry_deadline)
            await session.remember(facts)
            session.listen()
            executor = self._executor(session, facts, ledger, key)
            await self._look(session, executor.prepare)
            stack.callback(self._count_waiting, executor)
            yield Leader(session, facts, ledger, key, lock, executor)

    async def read(self, session: Session) -> tuple[AppliedRow, ...]:
        """Read the ledger as it is."""
        return await self._look(session, lambda: self.ledger.read(session))

    async def rows(self, session: Session) -> tuple[AppliedRow, ...]:
        """Read the ledger, and count what this run did without being told: a COMMIT whose answer was lost."""
        rows = await self.read(session)
        names = {row.name for row in rows}
        if self.reverting:
            (name, transaction_id), self.reverting = self.reverting, None
            if name not in names and await session.has_committed(transaction_id):
                self._count_back(name, 0)
        for row in rows:
            if row.run_id == self.id and not row.dirty and row.name not in self.applied and self.verb == "upgrade":
                self._count(row.name, row.execution_time_ms or 0, dict(row.statistics))
        return rows

    async def is_done(self, session: Session, folder: Folder) -> bool:
        """Tell whether the ledger holds exactly the folder's files: most starts of most replicas end here."""
        digest = digest_of(folder.files)
        return bool(folder.files) and await self._look(session, lambda: self.ledger.matches(session, digest))

    async def is_current(self, session: Session, folder: Folder, target: Target) -> bool:
        """Tell whether nothing is pending any more; a waiter asks at each look.

        Raises:
            HistoryError: it is so, but files and ledger disagree, and a policy says error.
        """
        if await self.is_done(session, folder):
            return True
        plan = plan_of(folder, await self.read(session), target, self.options)
        if plan.pending:
            return False
        plan.check()
        return True

    async def plan(self, session: Session, folder: Folder, target: Target) -> Plan:
        """Decide what to apply.

        Raises:
            HistoryError: files and ledger disagree, and a policy says error.
        """
        plan = plan_of(folder, await self.rows(session), target, self.options)
        plan.check()
        return plan

    def announce(self, folder: Folder, plan: Plan) -> None:
        """Say once what there is and what is odd."""
        if self.announced:
            return
        self.announced = True
        self.emit(events.MigrationsDiscovered(len(folder.files)))
        for text in folder.warnings:
            self.emit(events.HistoryWarning("folder", text))
        for finding in plan.warnings:
            self.emit(events.HistoryWarning(finding.kind, finding.text))
        before = tuple(name for name in plan.applied if name not in self.applied)
        if before:
            self.emit(events.AlreadyApplied(before))

    async def apply(self, leader: Leader, plan: Plan, todo: Sequence[Loaded]) -> None:
        """Apply what is pending, one by one, in order."""
        for number, migration in enumerate(todo, 1):
            name = migration.file.name
            await leader.lock.prove(name)
            for following in todo[number : number + 1]:
                look_ahead = partial(leader.executor.foresee, following, last=following is todo[-1])
                asyncio.get_running_loop().call_soon(look_ahead)
            with self.stop.working(name):
                done = await leader.executor.apply(migration, dirty=name in plan.dirty, last=migration is todo[-1])
            if done is None:
                self.emit(events.MigrationTaken(name))
            else:
                self._count(name, done.duration_ms, done.statistics.as_dict())

    async def revert(self, leader: Leader, loaded: Sequence[Loaded]) -> None:
        """Revert one by one, in the order given."""
        for migration in loaded:
            await leader.lock.prove(migration.file.name)
            with self.stop.working(migration.file.name):
                done = await leader.executor.revert(migration, partial(self._promise, migration.file.name))
            self.reverting = None
            if done:
                self._count_back(migration.file.name, done.duration_ms)

    async def _look(self, session: Session, look: Callable[[], Awaitable[T]]) -> T:
        def awaited(holder: str, waited: float) -> None:
            self.emit(events.LedgerAwaited(self.options.table, holder, waited))

        wait = self.options.limits.wait_deadline
        deadline = wait if self.until is None else max(self.until - anyio.current_time(), 0.0)
        return await patiently(session, self.ledger.sql, look, awaited, deadline=deadline)

    @property
    def _engine(self) -> EngineConnector:
        assert isinstance(self.options.connector, EngineConnector)  # noqa: S101 - only a wait has another
        return self.options.connector

    def _promise(self, name: str, transaction_id: str) -> None:
        self.reverting = (name, transaction_id)

    def _count(self, name: str, duration_ms: int, statistics: dict[str, Any]) -> None:
        self.applied.append(name)
        self.statistics.append(statistics)
        self.emit(events.MigrationApplied(name, duration_ms, statistics))

    def _count_waiting(self, executor: Executor) -> None:
        self.waited += executor.verdict.waited

    def _count_back(self, name: str, duration_ms: int) -> None:
        self.applied.append(name)
        self.emit(events.MigrationReverted(name, duration_ms))

    async def _elect(self, lock: Lock, is_current: Callable[[], Awaitable[bool]]) -> bool:
        started = anyio.current_time()
        try:
            led = await elect(lock, is_current, self.emit, deadline=self.options.limits.wait_deadline)
        finally:
            self.waited += anyio.current_time() - started
        if led:
            self.emit(events.LockTaken(self.waited, lock.guard is not None))
        return led

    def _executor(self, session: Session, facts: Facts, ledger: Ledger, key: LockKey) -> Executor:
        from async_migrations.executor import Executor
        from async_migrations.face import Guard
        from async_migrations.frame import Frame
        from async_migrations.worker import Worker

        limits, pooled = self.options.limits, session.is_pooled(facts)
        worker = Worker(
            session,
            self._engine.engine,
            self.options.base,
            (ledger.schema or "", ledger.table),
            self.emit,
            limits.migration_deadline,
            Guard(session, pooled=pooled),
            self.stop,
            limits.lock_timeout,
        )
        frame = Frame(ledger, key, limits, self.id, pooled, session.replay)
        spare = partial(self.spare, pooled=pooled)
        return Executor(worker, session, frame, spare, self.emit, limits, self.applied, self.unsure)


def plan_of(folder: Folder, rows: Sequence[AppliedRow], target: Target, options: Options) -> Plan:
    """Decide what to apply, by the runner's policy; only files whose bytes changed are read again."""
    changed = discovery.changed(folder.files, rows)
    return make_plan(folder.files, rows, target=target, policy=options.policy, changed=changed)


async def _never() -> bool:
    return False


def _refuse_standby(options: Options, facts: Facts) -> None:
    if facts.standby:
        raise DatabaseUnavailableError(
            options.connector.where,
            "it is a read-only standby, and there is something to change",
            "Nothing was applied. Point the migration URL to the primary, or let a replica that reaches it migrate.",
        )


def _refused(error: Exception, code: str) -> LedgerError:
    return LedgerError(
        f"The database refused the engine's own work: {describe(error)} (SQLSTATE {code}). What was applied before "
        "stays; see the ledger with `async-migrations status`."
    )
