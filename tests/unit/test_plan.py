"""Deciding what runs: examples by hand, and laws over any history."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.errors import ConfigurationError, HistoryError
from async_migrations.migration import AppliedRow, MigrationFile, State
from async_migrations.options import CHOICES, Choice, Policy
from async_migrations.plan import Plan, make_downgrade_plan, make_plan, number_of, resolve_target, states

AT_LEISURE = settings(deadline=None)
KINDS = ("changed", "missing", "out_of_order", "unknown")


def file(name: str) -> MigrationFile:
    return MigrationFile(number_of(name), name, Path("migrations") / f"{name}.py", "raw")


def files(*names: str) -> list[MigrationFile]:
    return [file(name) for name in names]


def rows(*names: str) -> list[AppliedRow]:
    return [AppliedRow(name) for name in names]


def names(plan: Sequence[MigrationFile]) -> list[str]:
    return [each.name for each in plan]


KNOWN = files("001_users", "002_settings", "003_tokens", "004_logins")


# --- what is pending


def test_nothing_applied_means_that_all_is_pending_in_order() -> None:
    assert names(make_plan(KNOWN, []).pending) == ["001_users", "002_settings", "003_tokens", "004_logins"]


def test_the_ledger_is_a_set_and_not_a_maximum() -> None:
    plan = make_plan(KNOWN, rows("001_users", "004_logins"))
    assert names(plan.pending) == ["002_settings", "003_tokens"]
    assert plan.applied == ("001_users", "004_logins")


@pytest.mark.parametrize("target", [3, "3", "003", "0003", "003_tokens"])
def test_a_target_is_a_number_or_a_name_and_included(target: int | str) -> None:
    assert names(make_plan(KNOWN, rows("001_users"), target=target).pending) == ["002_settings", "003_tokens"]


def test_a_target_that_is_applied_still_brings_what_is_missing_below_it() -> None:
    assert names(make_plan(KNOWN, rows("002_settings"), target=2).pending) == ["001_users"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (9, ["9", "from 001_users to 004_logins"]),
        (0, ["0", "from 001_users to 004_logins"]),
        (-1, ["-1"]),
        ("003_token", ["'003_token'", "Did you mean 003_tokens?"]),
        ("setings", ["'setings'", "Did you mean 002_settings?"]),
        ("", ["''"]),
        ("²", ["'²'"]),
    ],
)
def test_a_target_that_is_none_is_told_what_there_is(target: int | str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as failed:
        make_plan(KNOWN, [], target=target)
    assert [word for word in words if word not in str(failed.value)] == []


def test_a_target_in_an_empty_folder_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="the files are none at all"):
        resolve_target([], 1)


def test_a_dirty_row_is_pending_again_and_said_to_be_dirty() -> None:
    plan = make_plan(KNOWN, [AppliedRow("001_users"), AppliedRow("002_settings", dirty=True)])
    assert names(plan.pending) == ["002_settings", "003_tokens", "004_logins"]
    assert plan.dirty == ("002_settings",)


@pytest.mark.parametrize("row", ["004_logins", "003_gone"])
def test_the_dirty_ones_are_among_the_pending(row: str) -> None:
    assert make_plan(KNOWN, [AppliedRow(row, dirty=True)], target=2).dirty == ()


# --- what is odd, and the policy for it


def findings(kind: str, policy: Policy | None = None) -> Plan:
    """Return a plan with exactly one disagreement, of the kind that is named."""
    match kind:
        case "changed":
            return make_plan(KNOWN, rows(*names(KNOWN)), policy=policy, changed={"002_settings"})
        case "missing":
            return make_plan(KNOWN, rows("001_users", "002_it's_gone"), policy=policy)
        case "out_of_order":
            return make_plan(KNOWN, rows("001_users", "003_tokens"), policy=policy)
        case _:
            return make_plan(KNOWN, rows(*names(KNOWN), "005_newer"), policy=policy)


@pytest.mark.parametrize(
    ("kind", "choice", "name", "words"),
    [
        (
            "changed",
            "error",
            "002_settings",
            ["migrations/002_settings.py was changed after it was applied", "new migration", "async-migrations repair"],
        ),
        (
            "missing",
            "warn",
            "002_it's_gone",
            ["its file is gone", "Restore the file", "DELETE", "migration_name = '002_it''s_gone';"],
        ),
        (
            "out_of_order",
            "warn",
            "002_settings",
            ["is pending and comes before", "`async-migrations renumber 002_settings`"],
        ),
        ("unknown", "warn", "005_newer", ["newer than every file here", "a newer image", "Nothing to do if"]),
    ],
)
def test_each_kind_has_its_default_its_sentence_and_its_fix(
    kind: str, choice: Choice, name: str, words: list[str]
) -> None:
    (found,) = findings(kind).findings
    assert (found.kind, found.choice, found.name) == (kind, choice, name)
    assert name.partition("'")[0] in found.text
    assert [word for word in words if word not in found.text] == []


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_each_choice(kind: str, choice: Choice) -> None:
    plan = findings(kind, Policy(**{kind: choice}))
    assert [each.choice for each in plan.findings] == ([] if choice == "ignore" else [choice])
    assert [each.kind for each in plan.warnings] == ([kind] if choice == "warn" else [])
    if choice == "error":
        with pytest.raises(HistoryError) as failed:
            plan.check()
        assert failed.value.problems == (plan.findings[0].text,)
        assert str(failed.value).startswith("Nothing was applied: the files and the ledger disagree.")
    else:
        plan.check()


def test_an_error_lists_every_problem() -> None:
    plan = make_plan(KNOWN, rows("002_settings", "009_x"), policy=Policy(unknown="error", out_of_order="error"))
    with pytest.raises(HistoryError) as failed:
        plan.check()
    assert len(failed.value.problems) == 2
    assert all(f"  - {problem}" in str(failed.value) for problem in failed.value.problems)


def test_a_late_number_beside_an_applied_one_of_the_same_folder_is_not_unknown() -> None:
    assert [each.kind for each in make_plan(KNOWN, rows("003_old_name")).findings] == ["missing"]


def test_a_row_by_hand_that_has_no_number_is_missing_and_not_newer() -> None:
    assert [each.kind for each in make_plan(KNOWN, rows("hotfix")).findings] == ["missing"]


def test_a_pending_end_is_in_order() -> None:
    assert make_plan(KNOWN, rows("001_users", "002_settings")).findings == ()


def test_a_number_with_four_digits_is_newer_than_one_with_three() -> None:
    known = files("998_a", "999_b", "1000_c")
    assert make_plan(known, rows("998_a", "999_b")).findings == ()
    assert [each.kind for each in make_plan(known, rows("1001_d")).findings] == ["unknown"]


# --- downgrade


@pytest.mark.parametrize("target", [2, "2", "002_settings"])
def test_a_downgrade_goes_back_to_its_target_latest_first(target: int | str) -> None:
    assert names(make_downgrade_plan(KNOWN, rows(*names(KNOWN)), target)) == ["004_logins", "003_tokens"]


@pytest.mark.parametrize("target", [0, "0", "000"])
def test_a_downgrade_to_zero_reverts_all(target: int | str) -> None:
    assert names(make_downgrade_plan(KNOWN, rows("001_users", "003_tokens"), target)) == ["003_tokens", "001_users"]


def test_a_downgrade_takes_a_dirty_migration_back_too() -> None:
    assert names(make_downgrade_plan(KNOWN, [AppliedRow("003_tokens", dirty=True)], 2)) == ["003_tokens"]


def test_a_downgrade_past_a_migration_without_a_file_is_refused() -> None:
    with pytest.raises(HistoryError, match="003_gone is applied and has no file here"):
        make_downgrade_plan(KNOWN, rows("001_users", "003_gone"), 2)
    assert make_downgrade_plan(KNOWN, rows("001_users", "003_gone"), 3) == ()


def test_a_refused_downgrade_says_what_is_true_and_what_to_do() -> None:
    with pytest.raises(HistoryError) as failed:
        make_downgrade_plan(KNOWN, rows("003_gone"), 2)
    assert str(failed.value).startswith("Nothing was reverted")
    assert "Restore" in str(failed.value)


def test_a_downgrade_to_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no migration 7"):
        make_downgrade_plan(KNOWN, [], 7)


# --- where each migration stands


def test_states_lists_files_and_rows_together_in_order() -> None:
    found = states(
        KNOWN,
        [
            AppliedRow("001_users"),
            AppliedRow("002_settings"),
            AppliedRow("002_was_deleted"),
            AppliedRow("003_tokens", dirty=True),
            AppliedRow("017_newer"),
        ],
        changed={"002_settings"},
    )
    assert found == [
        ("001_users", State.APPLIED),
        ("002_settings", State.CHANGED),
        ("002_was_deleted", State.MISSING),
        ("003_tokens", State.DIRTY),
        ("004_logins", State.PENDING),
        ("017_newer", State.UNKNOWN),
    ]


@pytest.mark.parametrize(("name", "number"), [("001_a", 1), ("1000_b", 1000), ("hotfix", 0), ("", 0), ("x1", 0)])
def test_number_of_a_name(name: str, number: int) -> None:
    assert number_of(name) == number


# --- laws


@dataclass(frozen=True)
class World:
    """A folder, a ledger, and a target that is in the folder."""

    known: list[MigrationFile]
    rows: list[AppliedRow]
    target: int | None

    @property
    def done(self) -> set[str]:
        return {row.name for row in self.rows if not row.dirty}

    def after(self, applied: Sequence[MigrationFile]) -> list[AppliedRow]:
        kept = [row for row in self.rows if row.name not in names(applied)]
        return kept + rows(*names(applied))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    numbers = sorted(draw(st.sets(st.integers(1, 1500), max_size=12)))
    known = files(*(f"{n:03d}_m" for n in numbers))
    strangers = [f"{n:03d}_gone" for n in draw(st.sets(st.integers(1, 1600), max_size=3))]
    in_ledger = draw(st.lists(st.sampled_from([*names(known), *strangers]), unique=True)) if known or strangers else []
    ledger = [AppliedRow(name, dirty=draw(st.booleans())) for name in in_ledger]
    return World(known, ledger, draw(st.sampled_from([None, *numbers])))


POLICIES = st.builds(Policy, *[st.sampled_from(CHOICES)] * 4)


@AT_LEISURE
@given(worlds())
def test_what_a_plan_applies_is_not_planned_again(world: World) -> None:
    first = make_plan(world.known, world.rows, target=world.target)
    assert make_plan(world.known, world.after(first.pending), target=world.target).pending == ()


@AT_LEISURE
@given(worlds())
def test_a_plan_is_in_order_and_holds_all_that_is_not_done_up_to_its_target(world: World) -> None:
    plan = make_plan(world.known, world.rows, target=world.target)
    last = world.target or 10_000
    assert list(plan.pending) == sorted(plan.pending, key=lambda f: f.number)
    assert names(plan.pending) == [f.name for f in world.known if f.name not in world.done and f.number <= last]
    assert set(plan.applied) == {f.name for f in world.known} & world.done
    if world.target is not None:
        (wanted,) = (f for f in world.known if f.number == world.target)
        assert (wanted in plan.pending) != (wanted.name in plan.applied)


@AT_LEISURE
@given(worlds(), st.integers(0, 12))
def test_a_run_that_dies_on_the_way_is_continued_where_it_stopped(world: World, applied: int) -> None:
    whole = make_plan(world.known, world.rows).pending
    rest = make_plan(world.known, world.after(whole[:applied])).pending
    assert rest == whole[applied:]


@AT_LEISURE
@given(worlds())
def test_a_dirty_file_is_always_pending(world: World) -> None:
    dirty = {row.name for row in world.rows if row.dirty} & set(names(world.known))
    assert dirty <= set(names(make_plan(world.known, world.rows).pending))


@AT_LEISURE
@given(worlds())
def test_the_order_of_the_rows_decides_nothing(world: World) -> None:
    plan, other = make_plan(world.known, world.rows), make_plan(world.known, world.rows[::-1])
    assert (plan.pending, plan.applied) == (other.pending, other.applied)
    assert set(plan.findings) == set(other.findings)


@AT_LEISURE
@given(worlds(), POLICIES)
def test_a_policy_decides_what_is_said_and_never_what_runs(world: World, policy: Policy) -> None:
    plan, usual = make_plan(world.known, world.rows, policy=policy), make_plan(world.known, world.rows)
    assert (plan.pending, plan.applied, plan.dirty) == (usual.pending, usual.applied, usual.dirty)
    assert all(each.choice == getattr(policy, each.kind) != "ignore" for each in plan.findings)


@AT_LEISURE
@given(worlds())
def test_each_name_has_one_finding_of_a_kind_at_most(world: World) -> None:
    loud = Policy("error", "error", "error", "error")
    plan = make_plan(world.known, world.rows, policy=loud)
    keys = [(each.kind, each.name) for each in plan.findings]
    assert len(keys) == len(set(keys))
    strangers = {row.name for row in world.rows} - set(names(world.known))
    assert {each.name for each in plan.findings if each.kind in {"missing", "unknown"}} == strangers


@AT_LEISURE
@given(worlds())
def test_states_has_each_name_once_and_agrees_with_the_plan(world: World) -> None:
    found = states(world.known, world.rows)
    plan = make_plan(world.known, world.rows)
    assert [name for name, _ in found] == sorted({*names(world.known), *(r.name for r in world.rows)}, key=by_number)
    pending = [name for name, state in found if state in {State.PENDING, State.DIRTY}]
    assert pending == names(plan.pending)


def by_number(name: str) -> tuple[int, str]:
    return number_of(name), name


@AT_LEISURE
@given(worlds())
def test_a_downgrade_undoes_an_upgrade_from_its_target_in_reverse(world: World) -> None:
    world = World(world.known, [row for row in world.rows if row.name in names(world.known)], world.target)
    target = world.target or 0
    back = make_downgrade_plan(world.known, world.rows, target)
    assert list(back) == sorted(back, key=lambda f: -f.number)
    assert all(f.number > target for f in back)
    kept = [row for row in world.rows if row.name not in names(back)]
    assert make_downgrade_plan(world.known, kept, target) == ()
    assert {row.name for row in kept} == {row.name for row in world.rows if number_of(row.name) <= target}


@AT_LEISURE
@given(worlds())
def test_every_name_and_number_of_a_file_finds_it(world: World) -> None:
    for each in world.known:
        for target in (each.name, each.number, str(each.number), f"{each.number:05d}"):
            assert resolve_target(world.known, target) is each
