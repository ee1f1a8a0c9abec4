"""The start-up log: the lines of the system that this one follows, word for word."""

import logging
from collections.abc import Sequence

import pytest

from async_migrations import events
from async_migrations.lock import Holder
from async_migrations.migration import Statistics, total
from async_migrations.reporting import FEW, LOGGER, StartupLog, counts, summary

FIRST_START = """\
============================================================
Starting database migration process
============================================================
Creating schema_migrations tracking table
✓ schema_migrations table created
Discovered 1 migration file(s)
▶ 001_audit_log: Add audit_logs table for tracking user activities and system events
[001_audit_log] Creating audit_logs table...
[001_audit_log] Creating missing table: audit_logs
[001_audit_log] ✓ Created table: audit_logs
[001_audit_log] Creating index idx_audit_logs_event_type_created_at on audit_logs
[001_audit_log] ✓ Created index: idx_audit_logs_event_type_created_at
✓ 001_audit_log: Completed in 45ms (tables: 1, columns: 0, indexes: 5)
============================================================
Migration summary: 1 migration(s) applied, 1 table(s) created, 0 column(s) added, 5 index(es) created
============================================================
"""
NEXT_START = """\
============================================================
Starting database migration process
============================================================
Discovered 1 migration file(s)
⊘ 001_audit_log: Already applied, skipping
============================================================
Database schema is up to date - no migrations needed
============================================================
"""
AUDIT_LOG = "001_audit_log"
STATISTICS = Statistics(tables_created=1, indexes_created=5)
SILENT = {events.LockTaken, events.MigrationsPending}
"""Events without a line of their own, on purpose."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, LOGGER)
    return caplog


def tell(*what: events.Event) -> None:
    observer = StartupLog()
    for event in what:
        observer(event)


def lines(log: pytest.LogCaptureFixture, level: int | None = None) -> list[str]:
    return [record.getMessage() for record in log.records if level is None or record.levelno == level]


def said(name: str, *texts: str) -> list[events.Event]:
    return [events.MigrationMessage(name, logging.INFO, text) for text in texts]


def finished(*statistics: Statistics, applied: Sequence[str] = (), verb: str = "upgrade") -> events.RunFinished:
    return events.RunFinished(tuple(applied), 0.0, 50, total(statistics), verb)


def test_the_first_start_reads_as_it_always_did(log: pytest.LogCaptureFixture) -> None:
    tell(
        events.RunStarted(),
        events.LockTaken(0.0, pooled=False),
        events.LedgerMissing("schema_migrations"),
        events.LedgerCreated("schema_migrations"),
        events.MigrationsDiscovered(1),
        events.MigrationStarted(AUDIT_LOG, "Add audit_logs table for tracking user activities and system events"),
        *said(
            AUDIT_LOG,
            "Creating audit_logs table...",
            "Creating missing table: audit_logs",
            "✓ Created table: audit_logs",
            "Creating index idx_audit_logs_event_type_created_at on audit_logs",
            "✓ Created index: idx_audit_logs_event_type_created_at",
        ),
        events.MigrationApplied(AUDIT_LOG, 45, STATISTICS.as_dict()),
        finished(STATISTICS, applied=[AUDIT_LOG]),
    )
    assert lines(log) == FIRST_START.splitlines()
    assert {(record.name, record.levelno) for record in log.records} == {("async_migrations", logging.INFO)}


def test_the_next_start_reads_as_it_always_did(log: pytest.LogCaptureFixture) -> None:
    tell(events.RunStarted(), events.MigrationsDiscovered(1), events.AlreadyApplied((AUDIT_LOG,)), finished())
    assert lines(log) == NEXT_START.splitlines()
    assert {record.levelno for record in log.records} == {logging.INFO}


def skipped(count: int) -> tuple[str, ...]:
    return tuple(f"{number:03d}_m" for number in range(1, count + 1))


def test_ten_applied_ones_are_a_line_each(log: pytest.LogCaptureFixture) -> None:
    tell(events.AlreadyApplied(skipped(FEW)))
    assert lines(log, logging.INFO) == [f"⊘ {name}: Already applied, skipping" for name in skipped(10)]
    assert lines(log, logging.DEBUG) == []


def test_more_than_ten_applied_ones_are_one_line_and_each_at_debug(log: pytest.LogCaptureFixture) -> None:
    tell(events.AlreadyApplied(skipped(11)))
    assert lines(log, logging.INFO) == ["⊘ 11 migrations: Already applied, skipping"]
    assert lines(log, logging.DEBUG) == [f"⊘ {name}: Already applied, skipping" for name in skipped(11)]


def test_at_info_a_thousand_applied_ones_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    tell(events.AlreadyApplied(skipped(1000)))
    assert lines(caplog) == ["⊘ 1000 migrations: Already applied, skipping"]


def test_the_authors_own_statistics_are_shown_behind_the_counted_ones() -> None:
    statistics = Statistics.of({"users_named": 12, "columns_added": ["name"], "note": "half"})
    assert counts(statistics.as_dict()) == "tables: 0, columns: 1, indexes: 0, users_named: 12, note: half"
    assert counts({}) == "tables: 0, columns: 0, indexes: 0"


HOLDER = Holder(4711, "async_migrations: 004_index", "10.0.0.7", "active", "CREATE INDEX\n  x", 12.4)

SPEAKING: list[tuple[events.Event, int, str]] = [
    (
        events.LedgerExtended("schema_migrations", ("checksum", "dirty")),
        logging.INFO,
        "✓ schema_migrations table extended by: checksum, dirty",
    ),
    (
        events.LedgerAwaited("schema_migrations", "It is held by pid 4711 (pg_dump), active for 40 s.", 1.2),
        logging.WARNING,
        "Waiting for the lock of schema_migrations (1 s so far). It is held by pid 4711 (pg_dump), active for 40 s.",
    ),
    (
        events.HistoryWarning("missing", "003_gone is 100% gone."),
        logging.WARNING,
        "003_gone is 100% gone.",
    ),
    (
        events.DatabaseAwaited("db:5432/shop", "connection refused", 3.2, 60.0),
        logging.WARNING,
        "Waiting for the database db:5432/shop: connection refused (3 s of 60 s)",
    ),
    (
        events.LockAwaited(str(HOLDER), HOLDER.migration, 2.6),
        logging.INFO,
        f"Waiting for another replica to migrate (3 s so far). {HOLDER}",
    ),
    (events.MigrationStarted("004_index", "Find faster"), logging.INFO, "▶ 004_index: Find faster"),
    (events.MigrationProgress("004_index", 50, 200), logging.DEBUG, "[004_index] 50 of 200 done"),
    (
        events.MigrationStarted("004_index", "Find faster", "downgrade", 2),
        logging.INFO,
        "◀ 004_index: Find faster (attempt 2)",
    ),
    (
        events.MigrationMessage("004_index", logging.WARNING, "50% of %s done"),
        logging.WARNING,
        "[004_index] 50% of %s done",
    ),
    (
        events.MigrationRetried("004_index", "deadlock detected", 1),
        logging.WARNING,
        "↻ 004_index: rolled back and tried again: deadlock detected",
    ),
    (events.MigrationReverted("004_index", 12), logging.INFO, "✓ 004_index: Reverted in 12ms"),
    (
        events.MigrationTaken("004_index"),
        logging.INFO,
        "⊘ 004_index: Applied by another replica in the meantime, skipping",
    ),
    (
        events.MigrationUnsure("004_index"),
        logging.WARNING,
        "? 004_index: Cancelled; whether it was committed is not known",
    ),
    (events.MigrationFailed("004_index", "no such table"), logging.ERROR, "✗ 004_index: Failed: no such table"),
    (
        events.StopAsked("004_index", 20),
        logging.WARNING,
        "Told to stop: 004_index may finish within 20 s, no other begins",
    ),
    (events.StopAsked("004_index", 0), logging.WARNING, "Told to stop"),
    (events.StopAsked(None, 20), logging.WARNING, "Told to stop"),
    (
        events.ConnectionLost("connection was closed"),
        logging.WARNING,
        "The connection was lost (connection was closed); connecting again and asking the ledger",
    ),
]


@pytest.mark.parametrize(("event", "level", "line"), SPEAKING, ids=lambda value: type(value).__name__)
def test_each_event_has_its_line(log: pytest.LogCaptureFixture, event: events.Event, level: int, line: str) -> None:
    tell(event)
    assert lines(log) == [line]
    assert [record.levelno for record in log.records] == [level]


def test_an_event_without_words_is_silent_on_purpose(log: pytest.LogCaptureFixture) -> None:
    tell(events.LockTaken(0.0, pooled=True))
    assert lines(log) == []
    every = {each for each in vars(events).values() if isinstance(each, type) and issubclass(each, events.Event)}
    in_blocks = {
        events.AlreadyApplied,
        events.LedgerCreated,
        events.LedgerMissing,
        events.MigrationApplied,
        events.MigrationsDiscovered,
        events.RunFinished,
        events.RunStarted,
    }
    assert every - {events.Event} == SILENT | in_blocks | {type(event) for event, _, _ in SPEAKING}


def test_a_downgrade_has_words_of_its_own(log: pytest.LogCaptureFixture) -> None:
    tell(events.RunStarted("downgrade"), finished(applied=["002_b", "001_a"], verb="downgrade"))
    assert lines(log)[1::3] == ["Starting database downgrade process", "Migration summary: 2 migration(s) reverted"]


def test_a_summary_sums_over_the_migrations() -> None:
    event = finished(Statistics(1, 2, 3), Statistics(0, 1, 0), applied=["001_a", "002_b"])
    assert summary(event) == (
        "Migration summary: 2 migration(s) applied, 1 table(s) created, 3 column(s) added, 3 index(es) created"
    )


def test_another_logger_may_be_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shop.database")
    StartupLog(logging.getLogger("shop.database"))(events.MigrationsDiscovered(3))
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("shop.database", "Discovered 3 migration file(s)")
    ]


def test_logging_is_never_configured() -> None:
    logger = logging.getLogger(LOGGER)
    before = (list(logger.handlers), logger.level, logger.propagate, logger.disabled, list(logging.root.handlers))
    tell(events.RunStarted(), events.AlreadyApplied(skipped(11)), finished())
    assert (
        list(logger.handlers),
        logger.level,
        logger.propagate,
        logger.disabled,
        list(logging.root.handlers),
    ) == before
