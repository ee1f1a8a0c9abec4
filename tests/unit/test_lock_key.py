"""The lock's key and its holder's face."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.lock import Holder, LockKey, application
from async_migrations.session import BEGIN

AT_LEISURE = settings(deadline=None)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)
KEYS = st.builds(LockKey, NAMES, NAMES, NAMES)

# What running services have agreed on. If one of these changes, an old and a new image would not meet at the
# same lock during a rollout: the code is wrong, and not the number.
GOLDEN = [
    (LockKey("shop", "public", "schema_migrations"), 5_897_807_583_167_389_444),
    (LockKey("shop", "public", "billing_migrations"), -6_598_493_246_588_076_004),
    (LockKey("Shöp", 'a"b', "x y"), 3_689_252_994_348_358_385),
]


@pytest.mark.parametrize(("key", "number"), GOLDEN)
def test_the_number_never_changes(key: LockKey, number: int) -> None:
    assert key.number == number


@AT_LEISURE
@given(KEYS)
def test_the_number_fits_what_the_lock_functions_take(key: LockKey) -> None:
    assert -(2**63) <= key.number < 2**63
    assert key.number == LockKey(key.database, key.schema, key.table).number


@AT_LEISURE
@given(KEYS, KEYS)
def test_two_ledgers_do_not_meet(one: LockKey, other: LockKey) -> None:
    assert (one == other) == (one.number == other.number) == (one.channel == other.channel)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LockKey("a", "bc", "d"), LockKey("ab", "c", "d")),
        (LockKey("a", "b", "cd"), LockKey("a", "bc", "d")),
        (LockKey("a", "b", "c"), LockKey("c", "b", "a")),
        (LockKey("a", "", "c"), LockKey("a", "c", "")),
    ],
)
def test_what_stands_where_counts(one: LockKey, other: LockKey) -> None:
    assert one.number != other.number


@AT_LEISURE
@given(KEYS)
def test_the_channel_is_a_plain_name_that_postgres_keeps_whole(key: LockKey) -> None:
    assert len(key.channel) <= 63
    assert key.channel.isidentifier()
    assert key.channel == key.channel.lower()
    assert key.notify == f'NOTIFY "{key.channel}"'
    assert int(key.channel.rpartition("_")[2], 16) == key.number % 2**64


FULL = Holder(
    pid=4711,
    application_name="async_migrations: 004_index",
    client="10.0.0.7",
    state="active",
    query="CREATE INDEX\n    CONCURRENTLY ix ON t (a)",
    seconds=12.4,
)


def test_a_holder_says_who_it_is_what_it_does_and_since_when() -> None:
    assert str(FULL) == (
        "The lock is held by pid 4711 (async_migrations: 004_index) from 10.0.0.7, at migration 004_index for 12 s, "
        "running: CREATE INDEX CONCURRENTLY ix ON t (a)."
    )


def test_an_idle_holder_is_not_said_to_run_its_last_statement() -> None:
    text = str(Holder(7, "psql", None, "idle", "SELECT pg_advisory_lock(1)", 3.0))
    assert text == "The lock is held by pid 7 (psql) from a local socket, idle for 3 s."


def test_a_holder_of_whom_a_role_may_see_nothing_is_still_named_by_its_pid() -> None:
    text = str(Holder(7, "psql", query="<insufficient privilege>"))
    assert text == "The lock is held by pid 7 (psql) from an address that this role may not see, state unknown."


def test_the_engines_own_frame_is_not_shown_as_the_authors_statement() -> None:
    text = str(Holder(7, "async_migrations: 004_index", "::1", "active", f"{BEGIN}; SET LOCAL lock_timeout = 5", 3.0))
    assert text.endswith("from ::1, at migration 004_index for 3 s.")


def test_a_long_statement_is_cut() -> None:
    assert len(str(Holder(7, "psql", "::1", "active", "SELECT 1, " * 1000, 0.0))) < 300


@pytest.mark.parametrize(
    ("application_name", "migration"),
    [
        ("async_migrations: 004_index", "004_index"),
        ("async_migrations: 004_index: b", "004_index: b"),
        ("async_migrations", None),
        ("shop", None),
        ("", None),
        (None, None),
    ],
)
def test_the_migration_is_read_from_the_application_name(application_name: str | None, migration: str | None) -> None:
    assert Holder(1, application_name).migration == migration


@pytest.mark.parametrize(
    ("progress", "ending"),
    [
        (None, ""),
        ((3, None), " (3)"),
        ((45, 100), " (45/100)"),
        ((0.5, 1), " (0.5/1)"),
        ((123_456_789, 1e12), " (123456789/1e+12)"),
    ],
)
@pytest.mark.parametrize("name", ["004_index", "004_" + "long_" * 30])
def test_what_a_session_is_at_and_how_far_survives_the_application_name(
    name: str, progress: tuple[float, float | None] | None, ending: str
) -> None:
    written = application(name, progress)
    assert len(written) <= 63
    assert written.endswith(ending)
    holder = Holder(1, written)
    assert holder.progress == progress
    assert name.startswith(holder.migration or "-")


def test_an_application_name_of_anybodys_is_no_progress() -> None:
    for name in ("async_migrations: 004_index (e)", "async_migrations: x (1e999)", "async_migrations: x (1/)", "shop"):
        assert Holder(1, name).progress is None


def test_a_waiter_of_one_ledger_is_none_of_another() -> None:
    key = LockKey("shop", "public", "schema_migrations")
    assert key.waiting != LockKey(key.database, key.schema, "other").waiting
    assert Holder(1, f"{key.waiting} host").migration is None
