"""Observers that speak: the start-up log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

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
        write = self._writers.get(type(event))
        if write is not None:
            write(self, event)

    def _framed(self, text: str) -> None:
        self._log.info(RULE)
        self._log.info(text)
        self._log.info(RULE)

    def _run_started(self, event: events.RunStarted) -> None:
        upgrade = event.verb == "upgrade"
        self._framed("Starting database migration process" if upgrade else f"Starting database {event.verb} process")

    def _ledger_missing(self, event: events.LedgerMissing) -> None:
        self._log.info("Creating %s tracking table", event.table)

    def _ledger_created(self, event: events.LedgerCreated) -> None:
        self._log.info("✓ %s table created", event.table)

    def _ledger_extended(self, event: events.LedgerExtended) -> None:
        self._log.info("✓ %s table extended by: %s", event.table, ", ".join(event.columns))

    def _ledger_awaited(self, event: events.LedgerAwaited) -> None:
        self._log.warning("Waiting for the lock of %s (%.0f s so far). %s", event.table, event.waited, event.holder)

    def _migrations_discovered(self, event: events.MigrationsDiscovered) -> None:
        self._log.info("Discovered %d migration file(s)", event.count)

    def _already_applied(self, event: events.AlreadyApplied) -> None:
        many = len(event.names) > FEW
        level = logging.DEBUG if many else logging.INFO
        if self._log.isEnabledFor(level):
            for name in event.names:
                self._log.log(level, "⊘ %s: Already applied, skipping", name)
        if many:
            self._log.info("⊘ %d migrations: Already applied, skipping", len(event.names))

    def _history_warning(self, event: events.HistoryWarning) -> None:
        self._log.warning("%s", event.text)

    def _database_awaited(self, event: events.DatabaseAwaited) -> None:
        self._log.warning(
            "Waiting for the database %s: %s (%.0f s of %.0f s)",
            event.where,
            event.reason,
            event.waited,
            event.deadline,
        )

    def _lock_awaited(self, event: events.LockAwaited) -> None:
        self._log.info("Waiting for another replica to migrate (%.0f s so far). %s", event.waited, event.holder)

    def _migration_started(self, event: events.MigrationStarted) -> None:
        mark = "▶" if event.verb == "upgrade" else "◀"
        again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
        self._log.info("%s %s: %s%s", mark, event.name, event.description, again)

    def _migration_message(self, event: events.MigrationMessage) -> None:
        self._log.log(event.level, "[%s] %s", event.name, event.text)

    def _migration_progress(self, event: events.MigrationProgress) -> None:
        of = "" if event.total is None else f" of {event.total:g}"
        self._log.debug("[%s] %g%s done", event.name, event.done, of)

    def _migration_retried(self, event: events.MigrationRetried) -> None:
        self._log.warning("↻ %s: rolled back and tried again: %s", event.name, event.reason)

    def _migration_applied(self, event: events.MigrationApplied) -> None:
        if self._log.isEnabledFor(logging.INFO):
            self._log.info("✓ %s: Completed in %dms (%s)", event.name, event.duration_ms, counts(event.statistics))

    def _migration_reverted(self, event: events.MigrationReverted) -> None:
        self._log.info("✓ %s: Reverted in %dms", event.name, event.duration_ms)

    def _stop_asked(self, event: events.StopAsked) -> None:
        if event.migration and event.grace:
            self._log.warning("Told to stop: %s may finish within %g s, no other begins", event.migration, event.grace)
        else:
            self._log.warning("Told to stop")

    def _migration_taken(self, event: events.MigrationTaken) -> None:
        self._log.info("⊘ %s: Applied by another replica in the meantime, skipping", event.name)

    def _migration_unsure(self, event: events.MigrationUnsure) -> None:
        self._log.warning("? %s: Cancelled; whether it was committed is not known", event.name)

    def _migration_failed(self, event: events.MigrationFailed) -> None:
        self._log.error("✗ %s: Failed: %s", event.name, event.reason)

    def _connection_lost(self, event: events.ConnectionLost) -> None:
        self._log.warning("The connection was lost (%s); connecting again and asking the ledger", event.reason)

    def _run_finished(self, event: events.RunFinished) -> None:
        self._framed(summary(event))

    _writers: ClassVar[Mapping[type[events.Event], Callable[[StartupLog, Any], None]]] = {
        events.RunStarted: _run_started,
        events.LedgerMissing: _ledger_missing,
        events.LedgerCreated: _ledger_created,
        events.LedgerExtended: _ledger_extended,
        events.LedgerAwaited: _ledger_awaited,
        events.MigrationsDiscovered: _migrations_discovered,
        events.AlreadyApplied: _already_applied,
        events.HistoryWarning: _history_warning,
        events.DatabaseAwaited: _database_awaited,
        events.LockAwaited: _lock_awaited,
        events.MigrationStarted: _migration_started,
        events.MigrationMessage: _migration_message,
        events.MigrationProgress: _migration_progress,
        events.MigrationRetried: _migration_retried,
        events.MigrationApplied: _migration_applied,
        events.MigrationReverted: _migration_reverted,
        events.StopAsked: _stop_asked,
        events.MigrationTaken: _migration_taken,
        events.MigrationUnsure: _migration_unsure,
        events.MigrationFailed: _migration_failed,
        events.ConnectionLost: _connection_lost,
        events.RunFinished: _run_finished,
    }


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
