"""The lookout: reads how things stand, once for all viewers, and only while somebody looks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from async_migrations import discovery
from async_migrations.errors import DatabaseUnavailableError, DiscoveryError, MigrationsError
from async_migrations.events import Event
from async_migrations.fleet import Fleet, look
from async_migrations.integrations.page.scene import Loss, Record, Scene
from async_migrations.ledger import Ledger
from async_migrations.lock import LockKey
from async_migrations.migration import AppliedRow
from async_migrations.options import Options
from async_migrations.plan import states
from async_migrations.retry import describe, is_unavailable
from async_migrations.run import plan_of
from async_migrations.session import RELEASE_DEADLINE, Session, connect, twin

LEAF_THROUGH = 10.0
"""Seconds after which the folder is read again: in a container it never changes, on a developer's machine it does."""


class Lookout:
    """Reads files, ledger and fleet on a session of its own, so that a service's exhausted pool does not blind it.

    There is no background task: whichever viewer finds the scene out of date reads it anew while the others wait
    for it. The session is open only while somebody watches.

    Args:
        options: the runner's.
        refresh: seconds for which a scene is good enough.
        deadline: seconds for one refresh, connecting included.
    """

    def __init__(self, options: Options, *, refresh: float, deadline: float) -> None:
        self._options = options
        self._refresh = refresh
        self._deadline = deadline
        self._scene = Scene()
        self._read_at = -float("inf")
        self._leafed_at = -float("inf")
        self._rows: tuple[AppliedRow, ...] = ()
        self._print: str | None = "never read"
        self._sighted: tuple[tuple[int, str | None], datetime] | None = None
        self._place: tuple[Ledger, LockKey] | None = None
        self._session: Session | None = None
        self._stack = AsyncExitStack()
        self._watchers = 0
        self._turn = anyio.Lock()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep the session open; the last one to leave closes it."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                await self._close()

    async def scene(self) -> Scene:
        """Return how things stand, not older than `refresh`; never raises for what the database does."""
        async with self.watching(), self._turn:
            if anyio.current_time() - self._read_at >= self._refresh:
                await self._read()
            return self._scene

    async def _read(self) -> None:
        try:
            with anyio.fail_after(self._deadline):
                await self._renew()
        except Exception as error:
            # Any of them is for the viewer to see; the page itself stays up.
            if not isinstance(error, MigrationsError):
                await self._close()
            self._lose(error)
        except BaseException:
            # Cancelled in the middle of an answer: the session is of no use to the next one.
            await self._close()
            raise
        self._read_at = anyio.current_time()

    async def _renew(self) -> None:
        session = await self._open()
        ledger, key = self._place or await self._locate(session)
        fleet = await look(session, ledger, key)
        if fleet.ledger is None:
            self._place = None  # where it will be created is not known before it is
        now, turned = datetime.now(UTC), anyio.current_time() - self._leafed_at >= LEAF_THROUGH
        record = self._scene.record
        if fleet.ledger != self._print or turned:
            self._rows = await ledger.read(session) if fleet.ledger != self._print else self._rows
            record = await anyio.to_thread.run_sync(_record, self._options, self._rows, fleet.ledger)
            self._print, self._leafed_at = fleet.ledger, anyio.current_time()
        scene = Scene(now, record, fleet)
        self._scene = replace(scene, since=self._since(fleet, scene.migration, now))

    async def _locate(self, session: Session) -> tuple[Ledger, LockKey]:
        facts = await session.facts()
        ledger = await Ledger(self._options.table, self._options.schema).resolve(session, facts)
        self._place = ledger, LockKey(facts.database, ledger.schema or "", ledger.table)
        return self._place

    def _since(self, fleet: Fleet, migration: str | None, now: datetime) -> datetime | None:
        """Since when the holder is at its migration; outside a transaction only having looked before tells."""
        if fleet.holder is None:
            self._sighted = None
            return None
        who = (fleet.holder.pid, migration)
        if self._sighted is None or self._sighted[0] != who:
            self._sighted = who, fleet.since or now
        return self._sighted[1]

    def _lose(self, error: Exception) -> None:
        since = self._scene.loss.since if self._scene.loss else datetime.now(UTC)
        self._scene = replace(self._scene, loss=Loss(since, *_wrong(error)))

    async def _open(self) -> Session:
        if self._session is None or self._session.is_closed:
            await self._close()
            # The service's own pool may be empty, or of one connection that migrates.
            opened = connect(twin(self._options.engine), _say_nothing, deadline=self._deadline / 2)
            self._session = await self._stack.enter_async_context(opened)
            self._session.hold()
        return self._session

    async def _close(self) -> None:
        self._session, stack, self._stack = None, self._stack, AsyncExitStack()
        with anyio.CancelScope(shield=True), anyio.move_on_after(RELEASE_DEADLINE), suppress(Exception):
            await stack.aclose()


def _record(options: Options, rows: tuple[AppliedRow, ...], ledger: str | None) -> Record:
    folder = discovery.discover(options.directory)
    found = states(folder.files, rows, discovery.changed(folder.files, rows))
    plan = plan_of(folder, rows, None, options)
    files = "".join(f"{file.name} {file.raw_checksum}\n" for file in folder.files)
    return Record(tuple(found), rows, plan.findings, _digest(f"{ledger}\n{files}"))


def _wrong(error: Exception) -> tuple[str, str]:
    """Say what is wrong and why."""
    match error:
        case DatabaseUnavailableError():
            return "Database not reachable", error.reason
        case DiscoveryError():
            return "The folder of migrations is not in order", " ".join(error.problems)
        case MigrationsError():
            return "The ledger cannot be read", str(error)
    return "Database not reachable" if is_unavailable(error) else "The look at the database failed", describe(error)


def _digest(text: str) -> str:
    """The same in every process, since a viewer may come to another one when its stream ends."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _say_nothing(_: Event) -> None:
    """Take no note: the scene says what is wrong with the connection."""
