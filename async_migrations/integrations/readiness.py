"""What the probes say: how the schema and the application stand, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from async_migrations.lock import without_statement
from async_migrations.standing import Standing


class Application(StrEnum):
    """How the application behind a gate stands."""

    ABSENT = "absent"
    WAITING = "waiting"
    STARTING = "starting"
    STARTED = "started"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a gate knows of its application.

    Attributes:
        application: how it stands.
        reason: why it is not there, where somebody has to do something about it.
    """

    application: Application = Application.ABSENT
    reason: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests may pass."""
        return self.application is Application.STARTED

    @property
    def is_decided(self) -> bool:
        """Whether waiting would change nothing."""
        return self.application not in {Application.WAITING, Application.STARTING}


def document(standing: Standing, readiness: Readiness) -> Mapping[str, Any]:
    """Return what `/readyz` says; what is not known is left out, and so is every statement."""
    facts = {
        "ready": readiness.is_ready,
        "phase": standing.phase,
        "application": readiness.application,
        "since": standing.since.isoformat(timespec="milliseconds"),
        "migration": standing.migration,
        "position": standing.position,
        "of": len(standing.pending) or None,
        "progress": standing.progress and dict(zip(("done", "total"), standing.progress, strict=True)),
        "holder": standing.holder and without_statement(standing.holder),
        "reason": readiness.reason or standing.reason,
    }
    return {key: value for key, value in facts.items() if value is not None}
