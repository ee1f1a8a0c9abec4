"""What happened, as facts: frozen values that observers turn into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """What every event is."""


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins."""

    verb: str = "upgrade"


@dataclass(frozen=True, slots=True)
class DatabaseAwaited(Event):
    """A connection failed and is tried again. `waited` and `deadline` in seconds."""

    where: str
    reason: str
    waited: float
    deadline: float


@dataclass(frozen=True, slots=True)
class LedgerMissing(Event):
    """The ledger's table is about to be created."""

    table: str


@dataclass(frozen=True, slots=True)
class LedgerCreated(Event):
    """The ledger's table was created."""

    table: str


@dataclass(frozen=True, slots=True)
class LedgerExtended(Event):
    """An older ledger got the columns that it lacked."""

    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerAwaited(Event):
    """The ledger's table is to be changed, and its lock is not to be had yet. `waited` in seconds."""

    table: str
    holder: str
    waited: float


@dataclass(frozen=True, slots=True)
class MigrationsDiscovered(Event):
    """The folder was read."""

    count: int


@dataclass(frozen=True, slots=True)
class AlreadyApplied(Event):
    """These are in the ledger and are skipped."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistoryWarning(Event):
    """Files and ledger disagree in a way that the policy only warns of."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class MigrationsPending(Event):
    """These are to be applied, by this replica or by the one that leads, in this order."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockAwaited(Event):
    """Another replica holds the lock. `waited` in seconds; `holder` is a sentence."""

    holder: str
    migration: str | None
    waited: float


@dataclass(frozen=True, slots=True)
class LockTaken(Event):
    """This replica leads. `waited` in seconds."""

    waited: float
    pooled: bool


@dataclass(frozen=True, slots=True)
class MigrationStarted(Event):
    """One migration begins."""

    name: str
    description: str
    verb: str = "upgrade"
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class MigrationMessage(Event):
    """What a migration, or the server during it, has to say. `level` is a logging level."""

    name: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class MigrationProgress(Event):
    """How far a migration says that it is. `total` is None if it does not know."""

    name: str
    done: float
    total: float | None = None


@dataclass(frozen=True, slots=True)
class MigrationRetried(Event):
    """A migration was rolled back and is tried again."""

    name: str
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class MigrationApplied(Event):
    """One migration is committed."""

    name: str
    duration_ms: int
    statistics: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopAsked(Event):
    """The run was told to stop. `migration`, if one is at work, may take `grace` seconds more; no other begins."""

    migration: str | None
    grace: float


@dataclass(frozen=True, slots=True)
class MigrationReverted(Event):
    """One migration is taken back and its row is gone."""

    name: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class MigrationFailed(Event):
    """One migration failed; the error follows as an exception."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class MigrationTaken(Event):
    """Another replica applied this one in the meantime."""

    name: str


@dataclass(frozen=True, slots=True)
class MigrationUnsure(Event):
    """One migration was cancelled, and nobody could say whether it had been committed by then."""

    name: str


@dataclass(frozen=True, slots=True)
class ConnectionLost(Event):
    """The working connection is gone; the run goes on with a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """A run ended well. `waited` in seconds."""

    applied: tuple[str, ...]
    waited: float
    duration_ms: int
    statistics: Mapping[str, object]
    verb: str = "upgrade"


class Observer(Protocol):
    """Who is told what happens. It must return quickly and must not raise."""

    def __call__(self, event: Event, /) -> None:
        """Take note of `event`."""


Emit = Callable[[Event], None]
Say = Callable[[int, str], None]
