"""Observers that speak: the start-up log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import singledispatchmethod
from typing import Any

from async_migrations import events
from async_migrations.migration import COUNTED

LOGGER = "async_migrations"
RULE = "=" * 60
FEW = 10
"""Up to so many applied migrations are a line each; more are one line."""


DONE = {"downgrade": "reverted", "stamp": "recorded", "baseline": "recorded", "repair": "repaired"}
"""What a run of each verb has done to its migrations."""


class StartupLog:
    """Writes the start-up lines to a logger; it configures no logging.

    Args:
        logger: where to; by default the logger `async_migrations`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger(LOGGER)

    def __call__(self, event: events.Event, /) -> None:
        """Write the lines of `event`."""
        self._write(event)

    @singledispatchmethod
    def _write(self, event: events.Event) -> None:
        """An event without words of its own."""

    def _framed(self, text: str) -> None:
        self._log.info(RULE)
        self._log.info(text)
        self._log.info(RULE)

    @_write.register
    def _(self, event: events.RunStarted) -> None:
        upgrade = event.verb == "upgrade"
        self._framed("Starting database migration process" if upgrade else f"Starting database {event.verb} process")

    @_write.register
    def _(self, event: events.LedgerMissing) -> None:
        self._log.info("Creating %s tracking table", event.table)

    @_write.register
    def _(self, event: events.LedgerCreated) -> None:
        self._log.info("✓ %s table created", event.table)

    @_write.register
    def _(self, event: events.LedgerExtended) -> None:
        self._log.info("✓ %s table extended by: %s", event.table, ", ".join(event.columns))

    @_write.register
    def _(self, event: events.MigrationsDiscovered) -> None:
        self._log.info("Discovered %d migration file(s)", event.count)

    @_write.register
    def _(self, event: events.AlreadyApplied) -> None:
        many = len(event.names) > FEW
        level = logging.DEBUG if many else logging.INFO
        if self._log.isEnabledFor(level):
            for name in event.names:
                self._log.log(level, "⊘ %s: Already applied, skipping", name)
        if many:
            self._log.info("⊘ %d migrations: Already applied, skipping", len(event.names))

    @_write.register
    def _(self, event: events.HistoryWarning) -> None:
        self._log.warning("%s", event.text)

    @_write.register
    def _(self, event: events.DatabaseAwaited) -> None:
        self._log.warning(
            "Waiting for the database %s: %s (%.0f s of %.0f s)",
            event.where,
            event.reason,
            event.waited,
            event.deadline,
        )

    @_write.register
    def _(self, event: events.LockAwaited) -> None:
        self._log.info("Waiting for another replica to migrate (%.0f s so far). %s", event.waited, event.holder)

    @_write.register
    def _(self, event: events.MigrationStarted) -> None:
        mark = "▶" if event.verb == "upgrade" else "◀"
        again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
        self._log.info("%s %s: %s%s", mark, event.name, event.description, again)

    @_write.register
    def _(self, event: events.MigrationMessage) -> None:
        self._log.log(event.level, "[%s] %s", event.name, event.text)

    @_write.register
    def _(self, event: events.MigrationRetried) -> None:
        self._log.warning("↻ %s: rolled back and tried again: %s", event.name, event.reason)

    @_write.register
    def _(self, event: events.MigrationApplied) -> None:
        self._log.info("✓ %s: Completed in %dms (%s)", event.name, event.duration_ms, counts(event.statistics))

    @_write.register
    def _(self, event: events.MigrationReverted) -> None:
        self._log.info("✓ %s: Reverted in %dms", event.name, event.duration_ms)

    @_write.register
    def _(self, event: events.MigrationTaken) -> None:
        self._log.info("⊘ %s: Applied by another replica in the meantime, skipping", event.name)

    @_write.register
    def _(self, event: events.MigrationFailed) -> None:
        self._log.error("✗ %s: Failed: %s", event.name, event.reason)

    @_write.register
    def _(self, event: events.ConnectionLost) -> None:
        self._log.warning("The connection was lost (%s); connecting again and asking the ledger", event.reason)

    @_write.register
    def _(self, event: events.RunFinished) -> None:
        self._framed(summary(event))


def counts(statistics: Mapping[str, Any]) -> str:
    """Show one migration's statistics: the three counted ones, then the author's own."""
    shown = [f"{key.partition('_')[0]}: {statistics.get(key, 0)}" for key in COUNTED]
    return ", ".join(shown + [f"{key}: {value}" for key, value in statistics.items() if key not in COUNTED])


def summary(event: events.RunFinished) -> str:
    """Say in one line what a run did."""
    if event.verb in DONE:
        return f"Migration summary: {len(event.applied)} migration(s) {DONE[event.verb]}"
    if not event.applied:
        return "Database schema is up to date - no migrations needed"
    tables, columns, indexes = (event.statistics.get(key, 0) for key in COUNTED)
    return (
        f"Migration summary: {len(event.applied)} migration(s) applied, {tables} table(s) created, "
        f"{columns} column(s) added, {indexes} index(es) created"
    )
