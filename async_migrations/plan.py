"""Deciding: (known files, applied rows, target, policy) -> what to do. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from async_migrations.errors import ConfigurationError, HistoryError
from async_migrations.migration import AppliedRow, MigrationFile, State
from async_migrations.options import Choice, Policy
from async_migrations.sql import quote_literal

Target = int | str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement between files and ledger. `choice` is what the policy says of it."""

    kind: str
    name: str
    text: str
    choice: Choice


@dataclass(frozen=True, slots=True)
class Plan:
    """What would run, and what is odd.

    Attributes:
        pending: files to apply, in order.
        applied: names of the known files that are in the ledger, in order.
        findings: disagreements, those that the policy ignores left out.
        dirty: names of the pending ones that began once and did not finish.
    """

    pending: tuple[MigrationFile, ...]
    applied: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    dirty: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that only warn."""
        return tuple(each for each in self.findings if each.choice == "warn")

    def done(self) -> Plan:
        """Return the plan as it is when another replica has carried it out."""
        applied = sorted((*self.applied, *(file.name for file in self.pending)), key=number_of)
        return replace(self, pending=(), applied=tuple(applied), dirty=())

    def check(self) -> None:
        """Raise HistoryError if a policy says so."""
        problems = [each.text for each in self.findings if each.choice == "error"]
        if problems:
            raise HistoryError(problems)


def make_plan(
    known: Sequence[MigrationFile],
    rows: Sequence[AppliedRow],
    *,
    target: Target = None,
    policy: Policy | None = None,
    changed: Collection[str] = (),
) -> Plan:
    """Decide which migrations run.

    Args:
        known: the files, in order.
        rows: the ledger.
        target: last migration to apply, included: a number, a name, or None for all.
        policy: what to do about disagreements.
        changed: names of applied files whose meaning is another now.

    Raises:
        ConfigurationError: the target is no known migration.
    """
    policy = policy or Policy()
    done = {row.name for row in rows if not row.dirty}
    last = resolve_target(known, target).number if target is not None else None
    pending = tuple(f for f in known if f.name not in done and (last is None or f.number <= last))
    findings = [
        *_changed(known, changed, policy.changed),
        *_gone(known, rows, policy),
        *_out_of_order(known, pending, done, policy.out_of_order),
    ]
    applied = tuple(f.name for f in known if f.name in done)
    return Plan(
        pending,
        applied,
        tuple(each for each in findings if each.choice != "ignore"),
        tuple(f.name for f in pending if f.name in {row.name for row in rows if row.dirty}),
    )


def make_downgrade_plan(
    known: Sequence[MigrationFile], rows: Sequence[AppliedRow], target: int | str
) -> tuple[MigrationFile, ...]:
    """Decide which migrations are reverted, latest first, so that `target` is the last one applied.

    Args:
        known: the files, in order.
        rows: the ledger.
        target: the last migration that stays: a number or a name; 0 reverts all.

    Raises:
        ConfigurationError: the target is no known migration.
        HistoryError: an applied migration above the target has no file to revert it with.
    """
    last = 0 if _number(target) == 0 else resolve_target(known, target).number
    present = {row.name for row in rows}
    gone = [row.name for row in rows if row.name not in {f.name for f in known} and number_of(row.name) > last]
    if gone:
        advice = "is applied and has no file here to revert it with. Restore the file, or use the newer image for it."
        raise HistoryError([f"{name} {advice}" for name in gone], verb="reverted")
    return tuple(f for f in reversed(known) if f.name in present and f.number > last)


def resolve_target(known: Sequence[MigrationFile], target: int | str) -> MigrationFile:
    """Return the file that `target` names: 3, "3", "003" or "003_name".

    Raises:
        ConfigurationError: there is none.
    """
    number = _number(target)
    for each in known:
        if each.name == target or (number is not None and each.number == number):
            return each
    near = difflib.get_close_matches(str(target), [f.name for f in known], n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    span = f"from {known[0].name} to {known[-1].name}" if known else "none at all"
    raise ConfigurationError(f"There is no migration {target!r}; the files are {span}.{hint}")


def number_of(name: str) -> int:
    """Return the number that a migration's name begins with; 0 without one."""
    found = re.match(r"\d+", name)
    return int(found.group()) if found else 0


def states(
    known: Sequence[MigrationFile], rows: Sequence[AppliedRow], changed: Collection[str] = ()
) -> list[tuple[str, State]]:
    """Return where each migration stands, files and ledger together, in order."""
    by_name = {row.name: row for row in rows}
    highest = max((f.number for f in known), default=0)
    of_files = [(f.number, f.name, _state(by_name.get(f.name), f.name in changed)) for f in known]
    names = {f.name for f in known}
    of_rows = [
        (number_of(n), n, State.UNKNOWN if number_of(n) > highest else State.MISSING) for n in by_name if n not in names
    ]
    return [(name, state) for _, name, state in sorted(of_files + of_rows)]


def _state(row: AppliedRow | None, changed: bool) -> State:  # noqa: FBT001 - a private pair of facts
    if row is None:
        return State.PENDING
    if row.dirty:
        return State.DIRTY
    return State.CHANGED if changed else State.APPLIED


def _changed(known: Sequence[MigrationFile], changed: Collection[str], choice: Choice) -> list[Finding]:
    return [
        Finding(
            "changed",
            f.name,
            f"{f.path} was changed after it was applied. Restore it and put the change into a new migration; "
            "if it is harmless, accept the file as it is with `async-migrations repair`.",
            choice,
        )
        for f in known
        if f.name in changed
    ]


def _gone(known: Sequence[MigrationFile], rows: Sequence[AppliedRow], policy: Policy) -> list[Finding]:
    highest = max((f.number for f in known), default=0)
    names = {f.name for f in known}
    found = []
    for row in rows:
        if row.name in names:
            continue
        if number_of(row.name) > highest:
            text = (
                f"{row.name} is in the ledger and newer than every file here: a newer image has migrated this "
                "database. Nothing to do if this is a rollback of the image."
            )
            found.append(Finding("unknown", row.name, text, policy.unknown))
        else:
            text = (
                f"{row.name} is in the ledger and its file is gone. Restore the file, or remove its row from the "
                f"ledger: DELETE … WHERE migration_name = {quote_literal(row.name)};"
            )
            found.append(Finding("missing", row.name, text, policy.missing))
    return found


def _out_of_order(
    known: Sequence[MigrationFile], pending: Sequence[MigrationFile], done: Collection[str], choice: Choice
) -> list[Finding]:
    highest = max((f.number for f in known if f.name in done), default=0)
    return [
        Finding(
            "out_of_order",
            f.name,
            f"{f.name} is pending and comes before a migration that is applied already. If it is not on main yet, "
            f"move it behind the last one: `async-migrations renumber {f.name}`.",
            choice,
        )
        for f in pending
        if f.number < highest
    ]


def _number(target: int | str) -> int | None:
    if isinstance(target, int):
        return target
    return int(target) if target.isdecimal() else None
