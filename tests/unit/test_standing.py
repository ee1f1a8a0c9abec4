"""How a run stands: events in, one value out."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import reduce

from async_migrations import events
from async_migrations.integrations.start import stopped
from async_migrations.standing import Phase, Standing, Watch, after

START = datetime(2026, 1, 1, tzinfo=UTC)
PENDING = events.MigrationsPending(("001_a", "002_b"))


def stand(*happened: events.Event) -> Standing:
    """Fold events that happen a second after each other."""
    begun = enumerate((events.RunStarted(), *happened))
    return reduce(lambda s, e: after(s, e[1], START + timedelta(seconds=e[0])), begun, Standing(Phase.FAILED, START))


def test_a_leader_is_at_one_of_those_that_are_pending() -> None:
    at_work = stand(PENDING, events.LockTaken(0.0, pooled=False), events.MigrationStarted("002_b", ""))
    assert (at_work.phase, at_work.migration, at_work.position, len(at_work.pending)) == ("migrating", "002_b", 2, 2)
    assert at_work.since == START + timedelta(seconds=3)


def test_progress_belongs_to_one_migration_and_one_try() -> None:
    halfway = (PENDING, events.MigrationStarted("001_a", ""), events.MigrationProgress("001_a", 1, 2))
    assert stand(*halfway).progress == (1, 2)
    assert stand(*halfway, events.MigrationRetried("001_a", "deadlock", 2)).progress is None
    assert stand(*halfway, events.MigrationStarted("002_b", "")).progress is None


def test_a_waiter_names_the_holder_and_since_when_it_waits() -> None:
    waits = [events.LockAwaited("pid 1", "001_a", 1.0), events.LockAwaited("pid 1", "001_a", 11.0)]
    waiting = stand(PENDING, *waits)
    assert (waiting.phase, waiting.migration, waiting.holder) == ("waiting", "001_a", "pid 1")
    assert (waiting.position, waiting.since) == (1, START + timedelta(seconds=2))
    moved = stand(PENDING, *waits, events.LockAwaited("pid 1", "002_b", 12.0))
    assert (moved.position, moved.since) == (2, START + timedelta(seconds=4))


def test_a_lost_connection_keeps_what_is_applied_and_what_was_pending() -> None:
    lost = (PENDING, events.MigrationApplied("001_a", 1), events.ConnectionLost("reset"))
    assert (stand(*lost).phase, stand(*lost).reason, stand(*lost).applied) == ("connecting", "reset", ("001_a",))
    again = stand(*lost, events.MigrationsPending(("002_b",)), events.MigrationStarted("002_b", ""))
    assert (again.phase, again.reason, again.position, again.pending) == ("migrating", None, 2, ("001_a", "002_b"))


def test_a_wait_for_the_database_counts_from_its_first_try() -> None:
    waits = [events.DatabaseAwaited("db:5432/x", reason, 1.0, 60.0) for reason in ("refused", "starting up")]
    assert stand(*waits) == Standing(Phase.CONNECTING, START + timedelta(seconds=1), reason="starting up")


def test_a_wait_for_the_ledgers_table_names_its_holder() -> None:
    waits = (PENDING, events.LockTaken(0.0, pooled=False), events.LedgerAwaited("l", "It is held by pid 1.", 1.0))
    assert (stand(*waits).phase, stand(*waits).reason) == ("migrating", "It is held by pid 1.")
    assert stand(*waits, events.MigrationStarted("001_a", "")).reason is None


def test_a_run_is_over_when_it_is_current_or_has_failed() -> None:
    assert not stand(PENDING).is_over
    assert stand(events.RunFinished((), 0.0, 1, {})).is_over
    failed = stand(PENDING, events.MigrationStarted("001_a", ""), events.MigrationFailed("001_a", "boom"))
    assert (failed.is_over, failed.migration, failed.reason) == (True, "001_a", "boom")


def test_what_became_of_a_cancelled_migration_may_be_unknown() -> None:
    cancelled = stand(PENDING, events.MigrationStarted("001_a", ""), events.MigrationUnsure("001_a"))
    assert (cancelled.unsure, cancelled.migration) == (True, "001_a")
    assert stopped("SIGTERM", cancelled).startswith("Stopped by SIGTERM. Whether 001_a was committed is not known: see")


def test_who_only_waits_is_waiting_from_the_beginning() -> None:
    begun = after(Standing(Phase.FAILED, START), events.RunStarted("wait"), START)
    assert (begun.phase, begun.holder) == ("waiting", None)
    told = after(after(begun, PENDING, START), events.LockAwaited("pid 1", "002_b", 1.0), START)
    assert (told.position, len(told.pending), told.holder) == (2, 2, "pid 1")


async def test_a_watch_wakes_who_waits_for_a_change() -> None:
    watch, seen = Watch(), []

    async def look() -> None:
        async for standing in watch.changes():
            seen.append(standing.phase)
            looked.set()
            if standing.is_over:
                return

    looked = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(look())
        await looked.wait()
        watch(events.LockTaken(0.0, pooled=False))
        watch.fail("no such folder")
    assert seen == [Phase.STARTING, Phase.FAILED]
    assert watch.now.reason == "no such folder"
