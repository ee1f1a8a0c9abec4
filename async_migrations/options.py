"""What a runner was told: where, what, how long, and what to do when files and ledger disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from async_migrations.connector import Connector
from async_migrations.errors import ConfigurationError
from async_migrations.events import Observer
from async_migrations.sql import qualified

Choice = Literal["error", "warn", "ignore"]
CHOICES = ("error", "warn", "ignore")

ENDLESS = frozenset({"lock_timeout", "statement_timeout", "migration_deadline"})
"""The limits that may be None."""

LONGEST = 2**31 / 1000
"""Seconds: PostgreSQL takes a timeout in milliseconds as a 32-bit integer. It is 24 days."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do when files and ledger disagree, each `error`, `warn` or `ignore`.

    Args:
        changed: an applied file is another now.
        missing: an applied migration's file is gone.
        out_of_order: a pending migration has a lower number than an applied one.
        unknown: the ledger has migrations with higher numbers than any file: a newer image was here.
    """

    changed: Choice = "error"
    missing: Choice = "warn"
    out_of_order: Choice = "warn"
    unknown: Choice = "warn"

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value not in CHOICES:
                raise ConfigurationError(f"The policy {each.name}={value!r} is none of {', '.join(CHOICES)}.")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds; None, where it may be, is for ever.

    Args:
        lock_timeout: a statement of a migration waits so long for a table's lock before the whole migration is
            rolled back and tried again, so that the requests queueing behind it go on.
        statement_timeout: one statement of a migration.
        migration_deadline: one migration.
        retry_deadline: all tries of one migration after a lock timeout, a deadlock or a serialization failure.
        wait_deadline: waiting for another replica.
        connect_deadline: waiting for a database that is not there.
        grace: what the migration at work may still take when the run is told to stop.
    """

    lock_timeout: float | None = 5.0
    statement_timeout: float | None = None
    migration_deadline: float | None = None
    retry_deadline: float = 300.0
    wait_deadline: float = 600.0
    connect_deadline: float = 60.0
    grace: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None or each.name not in ENDLESS:
                check_seconds(each.name, value)


@dataclass(frozen=True, slots=True)
class Options:
    """All of it."""

    connector: Connector
    base: Any
    directory: Path
    table: str
    schema: str | None
    policy: Policy
    limits: Limits
    observers: Sequence[Observer]

    def __post_init__(self) -> None:
        try:
            qualified(self.schema, self.table)
        except ValueError as error:
            raise ConfigurationError(f"The ledger's name cannot be used: {error}") from error


def check_seconds(name: str, value: object) -> None:
    """See that an option is a number of seconds that PostgreSQL takes as well.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigurationError(f"{name}={value!r} is no number of seconds.")
    if value >= LONGEST:
        raise ConfigurationError(f"{name}={value!r} is too long: it may be {int(LONGEST)} seconds, 24 days.")


def make_options(connector: Connector, keywords: Mapping[str, Any], observers: Sequence[Observer]) -> Options:
    """Sort keywords of a runner into options.

    Args:
        connector: opens sessions.
        keywords: by the names that they have in `MigrationRunner`; the others have their defaults.
        observers: who is told what happens.

    Raises:
        ConfigurationError: one of them cannot be right.
    """
    policy, limits = ({key: keywords[key] for key in _names(each) if key in keywords} for each in (Policy, Limits))
    return Options(
        connector,
        keywords.get("base"),
        Path(keywords.get("directory", "migrations")),
        keywords.get("table", "schema_migrations"),
        keywords.get("schema"),
        Policy(**policy),
        Limits(**limits),
        tuple(observers),
    )


def _names(kind: type[Policy | Limits]) -> list[str]:
    return [each.name for each in fields(kind)]
