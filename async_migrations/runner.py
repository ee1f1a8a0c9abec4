"""MigrationRunner: THE STORY  lock -> ledger -> plan -> apply -> report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import corrections, discovery, waiting
from async_migrations.connector import EngineConnector
from async_migrations.discovery import Folder
from async_migrations.errors import IrreversibleError
from async_migrations.events import MigrationsPending, Observer, RunStarted
from async_migrations.loading import Loader
from async_migrations.lock import Holder, end, holder_of
from async_migrations.migration import AppliedRow, MigrationStatus, RepairReport, Report, State
from async_migrations.options import Choice, Limits, Options, Policy
from async_migrations.plan import Finding, Plan, Target, make_downgrade_plan, make_plan, resolve_target, states
from async_migrations.reporting import StartupLog
from async_migrations.run import Run, plan_of
from async_migrations.session import Session


class MigrationRunner:
    """Brings a database up to date, exactly once whoever else tries.

    Args:
        engine: the service's `AsyncEngine`, on asyncpg.
        base: the declarative base or the MetaData of the models; None if no migration asks for them.
        directory: the folder of `NNN_name.py` and `NNN_name.sql`.
        table: the ledger's table.
        schema: the ledger's schema; by default that in which the search path finds the table, or else its first one.
        changed: what to do when an applied file is another now: "error", "warn" or "ignore".
        missing: … when an applied migration's file is gone.
        out_of_order: … when a pending migration comes before an applied one.
        unknown: … when the ledger is newer than the files: an older image after a rollback.
        connect_deadline: seconds to wait for a database that is not there.
        wait_deadline: seconds to wait for another replica that migrates.
        lock_timeout: seconds that a migration's statement waits for a table's lock before the migration is rolled
            back and tried again; None for ever.
        retry_deadline: seconds over all tries of one migration.
        statement_timeout: seconds for one statement of a migration; None for ever.
        migration_deadline: seconds for one migration; None for ever.
        grace: seconds that the migration at work may still take after `stop()`, before it is cancelled and rolled back.
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
        lock_timeout: float | None = 5.0,
        retry_deadline: float = 300.0,
        statement_timeout: float | None = None,
        migration_deadline: float | None = None,
        grace: float = 0.0,
        observers: Sequence[Observer] | None = None,
    ) -> None:
        self.options = Options(
            EngineConnector(engine),
            base,
            Path(directory),
            table,
            schema,
            Policy(changed, missing, out_of_order, unknown),
            Limits(
                lock_timeout,
                statement_timeout,
                migration_deadline,
                retry_deadline,
                wait_deadline,
                connect_deadline,
                grace,
            ),
            tuple(observers) if observers is not None else (StartupLog(),),
        )

        self._running: list[Run] = []

    def watched_by(self, *observers: Observer) -> MigrationRunner:
        """Return a runner like this one that tells `observers` too, after those that it tells already."""
        other = copy(self)
        other.options = replace(self.options, observers=(*self.options.observers, *observers))
        return other

    def stop(self) -> bool:
        """Tell what runs now to end early; call it in its event loop, when the process is told to go.

        No new migration begins. The one at work may take `grace` seconds more; then, or at a second call at once, it
        is cancelled on the server and rolled back. `run_migrations` raises RunStoppedError, unless that was the last.

        Returns:
            Whether there was anything to stop: an upgrade or a downgrade, on this runner or on one that it watches.
        """
        for run in self._running:
            run.stop.ask()
        return bool(self._running)

    async def run_migrations(self, target: Target = None) -> Report:
        """Apply what is pending, or wait for the replica that does.

        Args:
            target: the last migration to apply, included; None for all.

        Raises:
            RunStoppedError: `stop` was called.
            MigrationsError: see `errors`; its message says what is true now and what to do.
        """
        run = self._begin("upgrade")
        folder, loader = self._discover(), Loader(self.options.directory)
        if target is not None:
            resolve_target(folder.files, target)

        async def story(session: Session) -> None:
            if not run.lost and await run.is_done(session, folder):
                return run.announce(folder, Plan((), tuple(file.name for file in folder.files)))
            plan = await run.plan(session, folder, target)
            if plan.pending:
                run.emit(MigrationsPending(tuple(file.name for file in plan.pending)))
                await loader.load(plan.pending)  # a mistake in a file is found before anybody waits, or works
                async with run.leading(session, lambda: run.is_current(session, folder, target)) as leader:
                    if leader:
                        plan = await run.plan(session, folder, target)
                        run.announce(folder, plan)
                        await run.apply(leader, plan, await loader.load(plan.pending))
                    else:
                        plan = await run.plan(session, folder, target) if run.lost else plan.done()
            return run.announce(folder, plan)

        return await self._stoppable(run, story)

    async def downgrade(self, target: int | str) -> Report:
        """Revert, latest first, what is applied above `target`.

        Args:
            target: the last migration that stays: a number or a name; 0 reverts all.

        Raises:
            ConfigurationError: there is no such target; nothing was touched.
            IrreversibleError: one of them has no downgrade; nothing was reverted.
            MigrationsError: see `errors`.
        """
        run = self._begin("downgrade")
        folder, loader = self._discover(), Loader(self.options.directory)
        make_downgrade_plan(folder.files, (), target)  # a target that there is not is said before anything is touched

        async def story(session: Session) -> None:
            if not await run.ledger.exists(session):
                return  # nothing was ever applied, and a ledger is made by what applies
            async with run.leading(session) as leader:
                files = make_downgrade_plan(folder.files, await run.rows(session), target)
                loaded = await loader.load(files)
                stuck = [each.file.name for each in loaded if not each.is_reversible]
                if stuck:
                    raise IrreversibleError(stuck)
                if leader:
                    await run.revert(leader, loaded)

        return await self._stoppable(run, story)

    async def plan(self, target: Target = None) -> Plan:
        """Return what `run_migrations(target)` would do; nothing is changed and no lock is taken."""
        folder = self._discover()
        plan = plan_of(folder, await self._rows(), target, self.options)
        await Loader(self.options.directory).load(plan.pending)
        return plan

    async def status(self) -> list[MigrationStatus]:
        """Return where every migration stands, those of the ledger without a file included, in order."""
        folder = self._discover()
        rows = await self._rows()
        by_name = {row.name: row for row in rows}
        found = states(folder.files, rows, discovery.changed(folder.files, rows))
        return [_status(name, state, by_name.get(name)) for name, state in found]

    async def verify(self) -> list[Finding]:
        """Return every disagreement between files and ledger, pending migrations included; empty when all is well.

        What is only odd, such as a gap in the numbers, has the choice "warn".
        """
        folder = self._discover()
        rows = await self._rows()
        strict = Policy("error", "error", "error", "error")
        plan = make_plan(folder.files, rows, policy=strict, changed=discovery.changed(folder.files, rows))
        await Loader(self.options.directory).load(folder.files)
        return [
            *plan.findings,
            *(_unfinished(row.name) for row in rows if row.dirty),
            *(Finding("pending", f.name, f"{f.name} is not applied.", "error") for f in plan.pending),
            *(Finding("folder", "", text, "warn") for text in folder.warnings),
        ]

    async def applied(self) -> tuple[AppliedRow, ...]:
        """Return the rows of the ledger, in the order in which they were applied."""
        return await self._rows()

    async def wait_until_current(self, deadline: float) -> Report:
        """Wait until nothing is pending, without ever migrating or taking the lock.

        Args:
            deadline: seconds, those until there is a database included; connect_deadline does not count here.

        Raises:
            NotCurrentError: something is still pending.
            DatabaseUnavailableError: there was no database by the deadline.
        """
        return await waiting.until_current(self.options, deadline)

    async def stamp(self, *names: int | str) -> Report:
        """Record migrations as applied without running them: an operator's correction.

        Args:
            names: numbers or names of files; those that are applied already are left as they are.

        Raises:
            LedgerError: one of them began and did not finish; `repair` records it.
        """
        folder = self._discover()
        files = list(dict.fromkeys(resolve_target(folder.files, name) for name in names))
        return await corrections.record(self._begin("stamp"), files, empty=False)

    async def baseline(self, target: int | str) -> Report:
        """Adopt a database that has its schema already: record all migrations up to `target` without running them.

        Args:
            target: the last one whose effect is there: a number or a name.

        Raises:
            LedgerError: the ledger is not empty.
        """
        folder = self._discover()
        last = resolve_target(folder.files, target).number
        files = [f for f in folder.files if f.number <= last]
        return await corrections.record(self._begin("baseline"), files, empty=True)

    async def repair(self, *finished: int | str) -> RepairReport:
        """Accept the files as they are, and clear what a dead run left.

        Checksums of changed files are taken anew. A dirty row is removed, so that the migration runs from its
        beginning; if it is among `finished` it is recorded as applied instead.

        Args:
            finished: numbers or names of dirty migrations that were finished by hand.

        Raises:
            LedgerError: one of them is not dirty; nothing was changed.
        """
        folder = self._discover()
        names = {resolve_target(folder.files, name).name for name in finished}
        return await corrections.repair(self._begin("repair"), folder, names)

    async def holder(self) -> Holder | None:
        """Return who holds the migration lock now, or None."""
        run = self._run("holder")

        async def story(session: Session) -> Holder | None:
            key, _ = await run.key(session)
            return await holder_of(session, key)

        return await run.tell(story)

    async def unlock(self) -> Holder | None:
        """End the session that holds the migration lock; return whom it was, or None if the lock was free.

        Raises:
            LedgerError: this role may not end it.
        """
        run = self._run("unlock")

        async def story(session: Session) -> Holder | None:
            key, _ = await run.key(session)
            found = await holder_of(session, key)
            if found is not None:
                await end(session, found)
            return found

        return await run.tell(story)

    async def _stoppable(self, run: Run, story: Callable[[Session], Awaitable[None]]) -> Report:
        self._running.append(run)
        try:
            await run.tell(story)
        finally:
            self._running.remove(run)
        return run.end()

    async def _rows(self) -> tuple[AppliedRow, ...]:
        run = self._run("read")
        return await run.tell(run.read)

    def _discover(self) -> Folder:
        return discovery.discover(self.options.directory)

    def _begin(self, verb: str) -> Run:
        run = self._run(verb)
        run.emit(RunStarted(verb))
        return run

    def _run(self, verb: str) -> Run:
        return Run(self.options, verb)


def _unfinished(name: str) -> Finding:
    return Finding("dirty", name, f"{name} began and did not finish: run upgrade again.", "error")


def _status(name: str, state: State, row: AppliedRow | None) -> MigrationStatus:
    if row is None:
        return MigrationStatus(name, state)
    return MigrationStatus(name, state, row.description, row.applied_at, row.execution_time_ms, row.applied_by)
