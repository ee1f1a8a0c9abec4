"""What is known of a ledger's migrations at one moment, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from async_migrations.fleet import Fleet
from async_migrations.lock import APPLICATION, Holder
from async_migrations.migration import AppliedRow, State
from async_migrations.plan import Finding


@dataclass(frozen=True, slots=True)
class Record:
    """Files and ledger, side by side; made anew only when one of them has changed.

    Attributes:
        states: where each migration stands, in order.
        rows: the ledger's rows.
        findings: what files and ledger disagree on, those left out that the policy ignores.
        revision: another one for another record.
    """

    states: tuple[tuple[str, State], ...] = ()
    rows: tuple[AppliedRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    revision: str = ""

    @property
    def pending(self) -> tuple[str, ...]:
        """Names of what is still to be done, in order."""
        return tuple(name for name, state in self.states if state in {State.PENDING, State.DIRTY})


@dataclass(frozen=True, slots=True)
class Loss:
    """Why nothing newer is known.

    Attributes:
        since: when the first try failed.
        what: is wrong: the database, the ledger or the folder.
        reason: why, without credentials.
    """

    since: datetime
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All of it.

    Attributes:
        at: when it was read; None if never.
        since: since when the holder is at its migration, as far as anybody here has seen.
    """

    at: datetime | None = None
    record: Record = field(default_factory=Record)
    fleet: Fleet = field(default_factory=lambda: Fleet(None))
    since: datetime | None = None
    loss: Loss | None = None

    @property
    def migration(self) -> str | None:
        """The migration that the holder of the lock is at, by its whole name."""
        return whole_name(self.fleet.holder, self.record.pending) if self.fleet.holder else None

    @property
    def done(self) -> tuple[str, ...]:
        """What the holder's run has applied already, as far as rows tell."""
        connected = self.fleet.connected
        last = max((row for row in self.record.rows if row.applied_at), key=_applied_at, default=None)
        if connected is None or last is None or last.run_id is None or _applied_at(last) < connected:
            return ()
        return tuple(row.name for row in self.record.rows if row.run_id == last.run_id and not row.dirty)


def whole_name(holder: Holder, pending: Sequence[str]) -> str | None:
    """Return the pending migration that an application_name means.

    PostgreSQL cuts it at 63 bytes and replaces what is not ASCII, so that only the beginning counts.
    """
    seen = holder.migration
    if seen is None or seen in pending:
        return seen
    shown = holder.application_name or ""
    for name in pending:
        if name.isascii():
            if len(shown) >= CUT and name.startswith(seen):
                return name
        elif shown.startswith(f"{APPLICATION}: {_ascii_part(name)}"):
            return name
    return seen


CUT = 60
"""Bytes from which on an application_name may have been cut: a character of four bytes is left out as a whole."""


def _ascii_part(name: str) -> str:
    return name[: next(at for at, character in enumerate(name) if not character.isascii())]


def _applied_at(row: AppliedRow) -> datetime:
    assert row.applied_at is not None  # noqa: S101 - filtered before
    return row.applied_at
