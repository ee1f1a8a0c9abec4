"""How a run stands: its events folded into one value, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import anyio

from async_migrations import events


class Phase(StrEnum):
    """What a run is doing."""

    STARTING = "starting"
    CONNECTING = "connecting"
    WAITING = "waiting"
    MIGRATING = "migrating"
    CURRENT = "current"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands at one moment.

    Attributes:
        phase: what it is doing.
        since: when the phase, or within it the migration, began.
        pending: names of what was to be done when the run began to work or to wait, in order.
        applied: names of what this run has applied so far.
        migration: the one at work, here or at the holder of the lock.
        progress: how much of that migration is done, and of how much: what it reported last.
        holder: a sentence about who holds the lock, while another does.
        reason: why the run waits for the database or tries again, or why it failed.
        unsure: whether the migration was cancelled and nobody could say that it was not committed.
    """

    phase: Phase
    since: datetime
    pending: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    migration: str | None = None
    progress: tuple[float, float | None] | None = None
    holder: str | None = None
    reason: str | None = None
    unsure: bool = False

    @property
    def position(self) -> int | None:
        """Which of the pending ones is at work, counted from 1."""
        return self.pending.index(self.migration) + 1 if self.migration in self.pending else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.phase in {Phase.CURRENT, Phase.FAILED}


def after(standing: Standing, event: events.Event, now: datetime) -> Standing:  # noqa: C901, PLR0911, PLR0912 - a case an event
    """Return how a run stands after `event`; pure."""
    idle = replace(standing, since=now, migration=None, progress=None, holder=None, reason=None)
    match event:
        case events.RunStarted(verb=verb):
            return Standing(Phase.WAITING if verb == "wait" else Phase.STARTING, now)
        case events.DatabaseAwaited(reason=reason):
            return _entered(replace(standing, reason=reason), Phase.CONNECTING, now)
        case events.ConnectionLost(reason=reason):
            return replace(idle, phase=Phase.CONNECTING, reason=reason)
        case events.MigrationsPending(names=names):
            # After a lost connection only what is still to be done is announced again.
            return replace(standing, pending=names if not standing.applied else standing.pending, reason=None)
        case events.LockAwaited(holder=holder, migration=migration):
            moved = migration != standing.migration or standing.phase is not Phase.WAITING
            return replace(
                standing if not moved else idle, phase=Phase.WAITING, holder=holder, migration=migration, reason=None
            )
        case events.LockTaken():
            return replace(idle, phase=Phase.MIGRATING)
        case events.MigrationStarted(name=name):
            return replace(idle, phase=Phase.MIGRATING, migration=name)
        case events.MigrationProgress(done=done, total=total):
            return replace(standing, progress=(done, total))
        case events.LedgerAwaited(holder=holder):
            return replace(standing, reason=holder)
        case events.MigrationRetried(reason=reason):
            return replace(standing, progress=None, reason=reason)
        case events.MigrationApplied(name=name) | events.MigrationReverted(name=name):
            return replace(idle, applied=(*standing.applied, name))
        case events.MigrationUnsure():
            return replace(standing, unsure=True)
        case events.MigrationFailed(name=name, reason=reason):
            return replace(idle, phase=Phase.FAILED, migration=name, reason=reason)
        case events.RunFinished():
            return replace(idle, phase=Phase.CURRENT)
    return standing


class Watch:
    """An observer that knows how its run stands, and wakes who waits for a change.

    Args:
        clock: tells the time; aware of its zone.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._changed = anyio.Event()
        self.now = Standing(Phase.STARTING, clock())

    def __call__(self, event: events.Event, /) -> None:
        """Take note of `event`."""
        self._become(after(self.now, event, self._clock()))

    def fail(self, reason: str) -> None:
        """Note that the run ended by an error that no event tells of."""
        self._become(replace(_entered(self.now, Phase.FAILED, self._clock()), reason=reason))

    async def changes(self) -> AsyncGenerator[Standing, None]:
        """Yield how the run stands, at once and after each change; who is slow misses what lies between."""
        while True:
            changed = self._changed
            yield self.now
            await changed.wait()

    def _become(self, standing: Standing) -> None:
        if standing != self.now:
            self.now = standing
            self._changed.set()
            self._changed = anyio.Event()


def _entered(standing: Standing, phase: Phase, now: datetime) -> Standing:
    return standing if standing.phase is phase else replace(standing, phase=phase, since=now)
