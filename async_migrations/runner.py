"""MigrationRunner: THE STORY  lock -> ledger -> plan -> apply -> report."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import discovery, events
from async_migrations.discovery import Folder, Loaded
from async_migrations.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    IrreversibleError,
    LedgerError,
    MigrationFailedError,
    MigrationsError,
    NotCurrentError,
)
from async_migrations.executor import Executor, Limits
from async_migrations.ledger import Claim, Ledger
from async_migrations.lock import Holder, Lock, LockKey, doze, elect, holder_of, listening
from async_migrations.migration import AppliedRow, MigrationStatus, Report, State, total
from async_migrations.plan import (
    Choice,
    Finding,
    Plan,
    Policy,
    Target,
    make_downgrade_plan,
    make_plan,
    resolve_target,
    states,
)
from async_migrations.reporting import LOGGER, StartupLog
from async_migrations.retry import describe, is_unavailable, sqlstate
from async_migrations.session import Facts, Session, SessionLostError, connect, where

RECONNECTS = 5
"""Times that a run that lost its connection starts again; a migration that kills its server must not loop."""

T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """One call: what it has done so far, over all its connections."""

    verb: str
    id: str = field(default_factory=lambda: uuid4().hex)
    started: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    applied: list[str] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    announced: bool = False

    def report(self) -> Report:
        """Return what was done."""
        duration = round((time.perf_counter() - self.started) * 1000)
        return Report(tuple(self.applied), self.waited, duration, total(self.statistics))


@dataclass(frozen=True, slots=True)
class Leader:
    """What the holder of the lock works with."""

    session: Session
    facts: Facts
    ledger: Ledger
    key: LockKey
    lock: Lock
    executor: Executor


class MigrationRunner:
    """Brings a database up to date, exactly once whoever else tries.

    Args:
        engine: the service's `AsyncEngine`, on asyncpg.
        base: the declarative base or the MetaData of the models; None if no migration asks for them.
        directory: the folder of `NNN_name.py` and `NNN_name.sql`.
        table: the ledger's table.
        schema: the ledger's schema; by default the first of the search path.
        changed: what to do when an applied file is another now: "error", "warn" or "ignore".
        missing: … when an applied migration's file is gone.
        out_of_order: … when a pending migration comes before an applied one.
        unknown: … when the ledger is newer than the files: an older image after a rollback.
        connect_deadline: seconds to wait for a database that is not there.
        wait_deadline: seconds to wait for another replica that migrates.
        lock_timeout: seconds that a migration's statement waits for a table's lock before the migration is rolled
            back and tried again.
        retry_deadline: seconds over all tries of one migration.
        statement_timeout: seconds for one statement of a migration; None for ever.
        migration_deadline: seconds for one migration; None for ever.
        observers: who is told what happens; by default the start-up log on the logger `async_migrations`.

    Raises:
        ConfigurationError: an option cannot be right.
    """

    def __init__(  # noqa: PLR0913 - options, all keyword-only
        self,
        engine: AsyncEngine,
        base: Any = None,
        directory: str | Path = "migrations",
        *,
        table: str = "schema_migrations",
        schema: str | None = None,
        changed: Choice = "error",
        missing: Choice = "warn",
        out_of_order: Choice = "warn",
        unknown: Choice = "warn",
        connect_deadline: float = 60.0,
        wait_deadline: float = 600.0,
        lock_timeout: float = 5.0,
        retry_deadline: float = 300.0,
        statement_timeout: float | None = None,
        migration_deadline: float | None = None,
        observers: Sequence[events.Observer] | None = None,
    ) -> None:
        self._engine = _checked(engine)
        self._base = base
        self.directory = Path(directory)
        self._ledger = Ledger(table, schema)
        self._policy = Policy(changed, missing, out_of_order, unknown)
        self._limits = Limits(
            lock_timeout,
            statement_timeout,
            migration_deadline,
            retry_deadline,
            wait_deadline,
            connect_deadline,
        )
        self._observers = tuple(observers) if observers is not None else (StartupLog(),)
        try:
            _ = self._ledger.sql
        except ValueError as error:
            raise ConfigurationError(f"The ledger's name cannot be used: {error}") from error

    async def run_migrations(self, target: Target = None) -> Report:
        """Apply what is pending, or wait for the replica that does.

        Args:
            target: the last migration to apply, included; None for all.

        Raises:
            MigrationsError: see `errors`; its message says what is true now and what to do.
        """
        run = self._begin("upgrade")
        folder = discovery.discover(self.directory)

        async def story(session: Session) -> None:
            plan = await self._plan(run, session, folder, target)
            if plan.pending:
                loaded = discovery.load(plan.pending, self.directory)
                async with self._leading(run, session, self._is_current(folder, target)) as leader:
                    if leader:
                        await leader.ledger.ensure(session, leader.facts, self._emit)
                        plan = await self._plan(run, session, folder, target)
                        self._announce(run, folder, plan)
                        await self._apply(run, leader, plan, loaded)
                    else:
                        plan = await self._plan(run, session, folder, target)
            self._announce(run, folder, plan)

        await self._persist(run, story)
        return self._end(run)

    async def downgrade(self, target: int | str) -> Report:
        """Revert, latest first, what is applied above `target`.

        Args:
            target: the last migration that stays: a number or a name; 0 reverts all.

        Raises:
            IrreversibleError: one of them has no downgrade; nothing was reverted.
            MigrationsError: see `errors`.
        """
        run = self._begin("downgrade")
        folder = discovery.discover(self.directory)

        async def story(session: Session) -> None:
            async with self._leading(run, session) as leader:
                assert leader is not None  # noqa: S101 - without an `is_current` an election ends with a leader
                rows = await self._rows(run, leader.ledger, session)
                await leader.ledger.ensure(session, leader.facts, self._emit)
                loaded = discovery.load(make_downgrade_plan(folder.files, rows, target), self.directory)
                stuck = [each.file.name for each in loaded if not each.is_reversible]
                if stuck:
                    raise IrreversibleError(stuck)
                for migration in loaded:
                    await leader.lock.prove()
                    done = await leader.executor.revert(migration)
                    if done:
                        run.applied.append(migration.file.name)
                        self._emit(events.MigrationReverted(migration.file.name, done.duration_ms))

        await self._persist(run, story)
        return self._end(run)

    async def plan(self, target: Target = None) -> Plan:
        """Return what `run_migrations(target)` would do; nothing is changed and no lock is taken."""
        folder = discovery.discover(self.directory)
        plan = await self._read(lambda rows: self._make_plan(folder, rows, target))
        discovery.load(plan.pending, self.directory)
        return plan

    async def status(self) -> list[MigrationStatus]:
        """Return where every migration stands, those of the ledger without a file included, in order."""
        folder = discovery.discover(self.directory)
        rows = await self._read(lambda rows: rows)
        by_name = {row.name: row for row in rows}
        found = states(folder.files, rows, discovery.changed(folder.files, rows))
        return [_status(name, state, by_name.get(name)) for name, state in found]

    async def verify(self) -> list[Finding]:
        """Return every disagreement between files and ledger, pending migrations included; empty when all is well."""
        folder = discovery.discover(self.directory)
        rows = await self._read(lambda rows: rows)
        strict = Policy("error", "error", "error", "error")
        plan = make_plan(folder.files, rows, policy=strict, changed=discovery.changed(folder.files, rows))
        discovery.load(folder.files, self.directory)
        pending = [Finding("pending", f.name, f"{f.name} is not applied.", "error") for f in plan.pending]
        dirty = [
            Finding("dirty", row.name, f"{row.name} began and did not finish: run upgrade again.", "error")
            for row in rows
            if row.dirty
        ]
        odd = [Finding("folder", "", text, "error") for text in folder.warnings]
        return [*plan.findings, *dirty, *pending, *odd]

    async def wait_until_current(self, deadline: float) -> Report:
        """Wait until nothing is pending, without ever migrating or taking the lock.

        Args:
            deadline: seconds.

        Raises:
            NotCurrentError: something is still pending.
        """
        run = self._begin("wait")
        folder = discovery.discover(self.directory)
        started = anyio.current_time()

        async def story(session: Session) -> None:
            facts = await session.facts()
            ledger = await self._ledger.resolve(session, facts)
            key = LockKey(facts.database, ledger.schema or "", ledger.table)
            await session.hold()
            async with listening(session, key, deaf=session.is_pooled(facts)) as bell:
                while True:
                    rung = bell.arm()
                    pending = make_plan(folder.files, await self._ledger.read(session)).pending
                    run.waited = anyio.current_time() - started
                    if not pending:
                        return
                    if run.waited >= deadline:
                        raise NotCurrentError(deadline, [f.name for f in pending])
                    await doze(rung, deadline - run.waited)

        await self._persist(run, story)
        return run.report()

    async def stamp(self, *names: int | str) -> Report:
        """Record migrations as applied without running them: an operator's correction.

        Args:
            names: numbers or names of files; those already in the ledger are left as they are.
        """
        folder = discovery.discover(self.directory)
        return await self._record(
            [resolve_target(folder.files, name).name for name in names], folder, "stamp"
        )

    async def baseline(self, target: int | str) -> Report:
        """Adopt a database that has its schema already: record all migrations up to `target` without running them.

        Args:
            target: the last one whose effect is there: a number or a name.

        Raises:
            LedgerError: the ledger is not empty.
        """
        folder = discovery.discover(self.directory)
        last = resolve_target(folder.files, target).number
        return await self._record(
            [f.name for f in folder.files if f.number <= last], folder, "baseline", empty=True
        )

    async def repair(self, *names: int | str) -> Report:
        """Accept the files as they are, and clear what a dead run left.

        Checksums of changed files are taken anew. A dirty row is removed, so that the migration runs from its
        beginning; if its name is in `names` it is recorded as applied instead.

        Args:
            names: dirty migrations that were finished by hand.
        """
        folder = discovery.discover(self.directory)
        finished = {resolve_target(folder.files, name).name for name in names}
        run = self._begin("repair")

        async def story(session: Session) -> None:
            async with self._leading(run, session) as leader:
                assert leader is not None  # noqa: S101 - see downgrade
                await leader.ledger.ensure(session, leader.facts, self._emit)
                rows = await leader.ledger.read(session)
                files = {file.name: file for file in folder.files}
                for name, file in discovery.changed(folder.files, rows).items():
                    await session.send(
                        leader.ledger.realign(name, discovery.checksum(file), file.raw_checksum)
                    )
                    run.applied.append(name)
                for row in rows:
                    if row.dirty:
                        await session.send(leader.ledger.release(row.name))
                        if row.name in finished:
                            await session.send(
                                leader.ledger.record(_claim(files[row.name], run.id, self.directory))
                            )
                        run.applied.append(row.name)

        await self._persist(run, story)
        return run.report()

    async def holder(self) -> Holder | None:
        """Return who holds the migration lock now, or None."""

        async def story(session: Session) -> Holder | None:
            facts = await session.facts()
            ledger = await self._ledger.resolve(session, facts)
            return await holder_of(session, LockKey(facts.database, ledger.schema or "", ledger.table))

        return await self._persist(self._quiet("holder"), story)

    async def unlock(self) -> Holder | None:
        """End the session that holds the migration lock; return whom it was, or None if the lock was free."""
        found = await self.holder()
        if found is not None:

            async def story(session: Session) -> None:
                await session.send(f"SELECT pg_terminate_backend({found.pid})")

            await self._persist(self._quiet("unlock"), story)
        return found

    async def _apply(self, run: Run, leader: Leader, plan: Plan, loaded: Sequence[Loaded]) -> None:
        wanted = {file.name for file in plan.pending}
        todo = [migration for migration in loaded if migration.file.name in wanted]
        dirty = {row.name: row for row in await leader.ledger.read(leader.session) if row.dirty}
        for migration in todo:
            name = migration.file.name
            await leader.lock.prove()
            done = await leader.executor.apply(migration, dirty.get(name), last=migration is todo[-1])
            if done is None:
                self._emit(events.MigrationTaken(name))
                continue
            run.applied.append(name)
            run.statistics.append(done.statistics.as_dict())
            self._emit(events.MigrationApplied(name, done.duration_ms, done.statistics.as_dict()))

    @asynccontextmanager
    async def _leading(
        self, run: Run, session: Session, is_current: Callable[[Session], Awaitable[bool]] | None = None
    ) -> AsyncIterator[Leader | None]:
        """Hold the lock, or wait until the ledger says that there is nothing to do (then it yields None)."""
        facts = await session.facts()
        _refuse_standby(self._engine, facts)
        ledger = await self._ledger.resolve(session, facts)
        key = LockKey(facts.database, ledger.schema or "", ledger.table)
        await session.hold()
        async with AsyncExitStack() as stack:
            guard = None
            if session.is_pooled(facts):
                guard = await stack.enter_async_context(self._spare())
            else:
                await session.settle()
            lock = Lock(session, key, guard)
            started = anyio.current_time()
            current = is_current or _never
            led = await elect(lock, lambda: current(session), self._emit, deadline=self._limits.wait_deadline)
            run.waited += anyio.current_time() - started
            if not led:
                yield None
                return
            stack.push_async_callback(lock.release)
            self._emit(events.LockTaken(run.waited, guard is not None))
            await session.remember(facts)
            executor = Executor(
                self._engine,
                self._base,
                session,
                facts,
                self._spare,
                ledger,
                key,
                self._emit,
                self._limits,
                run.id,
                run.applied,
            )
            yield Leader(session, facts, ledger, key, lock, executor)

    @asynccontextmanager
    async def _spare(self) -> AsyncIterator[Session]:
        """Open one more session, outside the pool."""
        async with connect(self._engine, self._emit, deadline=self._limits.connect_deadline) as session:
            await session.hold()
            yield session

    async def _persist(self, run: Run, story: Callable[[Session], Awaitable[T]]) -> T:
        """Tell the story, from its beginning again if the connection is lost on the way."""
        losses = 0
        while True:
            connected = False
            try:
                async with connect(
                    self._engine, self._emit, deadline=self._limits.connect_deadline
                ) as session:
                    connected = True
                    return await story(session)
            except MigrationsError as error:
                if isinstance(error, MigrationFailedError):
                    self._emit(events.MigrationFailed(error.migration, error.reason))
                raise
            except Exception as error:
                lost = isinstance(error, SessionLostError) or (connected and is_unavailable(error))
                if not lost:
                    raise _explained(error)(error) from error
                losses += 1
                if losses > RECONNECTS:
                    advice = f"It was lost {losses} times in this run; see the server's log."
                    raise DatabaseUnavailableError(where(self._engine), describe(error), advice) from error
                self._emit(events.ConnectionLost(describe(error)))

    async def _plan(self, run: Run, session: Session, folder: Folder, target: Target) -> Plan:
        rows = await self._rows(run, self._ledger, session)
        plan = self._make_plan(folder, rows, target)
        plan.check()
        return plan

    def _make_plan(self, folder: Folder, rows: Sequence[AppliedRow], target: Target) -> Plan:
        differing = discovery.changed(folder.files, rows)
        return make_plan(folder.files, rows, target=target, policy=self._policy, changed=differing)

    async def _rows(self, run: Run, ledger: Ledger, session: Session) -> tuple[AppliedRow, ...]:
        """Read the ledger; a row of this run that we were not told of is a COMMIT whose answer was lost."""
        rows = await ledger.read(session)
        for row in rows:
            if (
                row.run_id == run.id
                and not row.dirty
                and row.name not in run.applied
                and run.verb == "upgrade"
            ):
                run.applied.append(row.name)
                run.statistics.append(dict(row.statistics))
                self._emit(events.MigrationApplied(row.name, row.execution_time_ms or 0, row.statistics))
        return rows

    def _is_current(self, folder: Folder, target: Target) -> Callable[[Session], Awaitable[bool]]:
        async def is_current(session: Session) -> bool:
            return not make_plan(folder.files, await self._ledger.read(session), target=target).pending

        return is_current

    async def _record(
        self, names: Sequence[str], folder: Folder, verb: str, *, empty: bool = False
    ) -> Report:
        run = self._begin(verb)
        files = {file.name: file for file in folder.files}
        claims = [_claim(files[name], run.id, self.directory) for name in names]

        async def story(session: Session) -> None:
            async with self._leading(run, session) as leader:
                assert leader is not None  # noqa: S101 - see downgrade
                await leader.ledger.ensure(session, leader.facts, self._emit)
                rows = await leader.ledger.read(session)
                if empty and rows:
                    raise LedgerError(
                        f"A baseline needs an empty ledger, and {leader.ledger.sql} has {len(rows)} row(s), the last "
                        f"is {rows[-1].name}. Nothing was recorded. To record single migrations use stamp."
                    )
                present = {row.name for row in rows}
                new = [claim for claim in claims if claim.name not in present]
                if new:
                    await session.begin(*(leader.ledger.record(claim) for claim in new))
                    await session.commit(leader.key.notify)
                run.applied.extend(claim.name for claim in new)

        await self._persist(run, story)
        return run.report()

    async def _read(self, use: Callable[[tuple[AppliedRow, ...]], T]) -> T:
        async def story(session: Session) -> T:
            return use(await self._ledger.read(session))

        return await self._persist(self._quiet("read"), story)

    def _announce(self, run: Run, folder: Folder, plan: Plan) -> None:
        if run.announced:
            return
        run.announced = True
        self._emit(events.MigrationsDiscovered(len(folder.files)))
        for text in folder.warnings:
            self._emit(events.HistoryWarning("folder", text))
        for finding in plan.warnings:
            self._emit(events.HistoryWarning(finding.kind, finding.text))
        before = tuple(name for name in plan.applied if name not in run.applied)
        if before:
            self._emit(events.AlreadyApplied(before))

    def _begin(self, verb: str) -> Run:
        run = self._quiet(verb)
        self._emit(events.RunStarted(verb))
        return run

    @staticmethod
    def _quiet(verb: str) -> Run:
        return Run(verb)

    def _end(self, run: Run) -> Report:
        report = run.report()
        self._emit(
            events.RunFinished(report.applied, report.waited, report.duration_ms, report.statistics, run.verb)
        )
        return report

    def _emit(self, event: events.Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                # What only watches must never stop a migration in the middle.
                logging.getLogger(LOGGER).exception("An observer failed")


async def _never(_: Session) -> bool:
    return False


def _checked(engine: AsyncEngine) -> AsyncEngine:
    if not isinstance(engine, AsyncEngine):
        raise ConfigurationError(
            f"MigrationRunner needs an AsyncEngine, not {type(engine).__name__}: "
            'create_async_engine("postgresql+asyncpg://…").'
        )
    if engine.dialect.name != "postgresql" or engine.dialect.driver != "asyncpg":
        raise ConfigurationError(
            f"MigrationRunner needs PostgreSQL over asyncpg, not {engine.dialect.name}+{engine.dialect.driver}: "
            'create_async_engine("postgresql+asyncpg://…").'
        )
    return engine


def _refuse_standby(engine: AsyncEngine, facts: Facts) -> None:
    if facts.standby:
        raise DatabaseUnavailableError(
            where(engine),
            "it is a read-only standby, and migrations are pending",
            "Nothing was applied. Point the migration URL to the primary, or let a replica that reaches it migrate.",
        )


def _explained(error: Exception) -> Callable[[Exception], Exception]:
    code = sqlstate(error)
    if code is None:
        return lambda each: each
    return lambda each: LedgerError(
        f"The database refused the engine's own work: {describe(each)} (SQLSTATE {code}). Nothing was applied by it."
    )


def _claim(file: Any, run_id: str, directory: Path) -> Claim:
    (loaded,) = discovery.load([file], directory)
    return Claim(file.name, loaded.description, loaded.checksum, file.raw_checksum, run_id)


def _status(name: str, state: State, row: AppliedRow | None) -> MigrationStatus:
    if row is None:
        return MigrationStatus(name, state)
    return MigrationStatus(
        name, state, row.description, row.applied_at, row.execution_time_ms, row.applied_by
    )
