"""The commands about the database: each is one method of the runner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from async_migrations.cli.answer import Answer, Code, counted, table
from async_migrations.cli.comparison import Wanted, looking
from async_migrations.cli.options import seconds
from async_migrations.cli.program import Program

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.migration import MigrationStatus, RepairReport, Report
    from async_migrations.plan import Finding, Plan

HELP = """Bring a PostgreSQL database up to date, exactly once whoever else tries.

TARGET is a number or a name: 3, 003 or 003_add_users. Options may stand before the command or after it, come from
the environment as ASYNC_MIGRATIONS_... or from [tool.async_migrations] in pyproject.toml; the first of these counts.
"""
EPILOG = """\b
Exit codes:
  0    done
  1    failed; the sentence on stderr says what is true now
  2    wrong usage or configuration; nothing was touched
  3    pending or drift (verify, status --check, diff, new --auto, schema dump --check)
  130  stopped by Ctrl-C; 143 by SIGTERM
"""
PATIENCE = 600.0
"""Seconds that `wait` waits if nothing else was said; the runner's wait_deadline."""

ALL_IS_WELL = "Files and ledger agree, and nothing is pending."


@click.group(
    cls=Program,
    help=HELP,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="async-migrations", message="%(version)s")
def main(**_: object) -> None:
    """Run `async-migrations`."""


@main.command()
@click.option("--to", "target", metavar="TARGET", help="The last migration to apply, included.")
def upgrade(project: Project, target: str | None) -> Answer:
    """Apply what is pending, or wait for the replica that does."""
    report = project.run(lambda runner: runner.run_migrations(target), models=True)
    return Answer({"command": "upgrade", "applied": report.applied, **_facts(report)})


@main.command()
@click.argument("target")
def downgrade(project: Project, target: str) -> Answer:
    """Revert, latest first, what is applied above TARGET; 0 reverts all."""
    report = project.run(lambda runner: runner.downgrade(target), models=True)
    return Answer({"command": "downgrade", "reverted": report.applied, **_facts(report)})


@main.command()
@click.option("--check", is_flag=True, help="Exit with 3 unless all is applied.")
def status(project: Project, *, check: bool) -> Answer:
    """Show where every migration stands."""
    found = project.run(lambda runner: runner.status())
    counts = Counter(str(each.state) for each in found)
    ignored = {name for name, choice in project.settings.options.items() if choice == "ignore"}
    current = counts.keys() <= {"applied", *ignored}
    document = {"command": "status", "current": current, "counts": dict(counts), "migrations": list(map(asdict, found))}
    return Answer(document, _status_text(found, counts), Code.NOT_CURRENT if check and not current else Code.DONE)


@main.command()
@click.option("--to", "target", metavar="TARGET", help="The last migration to apply, included.")
def plan(project: Project, target: str | None) -> Answer:
    """Show what upgrade would do; nothing is changed. Exit with 1 if it would be refused."""
    found = project.run(lambda runner: runner.plan(target))
    document = {
        "command": "plan",
        "pending": [{"name": each.name, "path": str(each.path)} for each in found.pending],
        "applied": found.applied,
        "findings": list(map(asdict, found.findings)),
    }
    stops = [f"error: {each.text}" for each in found.findings if each.choice == "error"]
    return Answer(document, _plan_text(project, found, stops), Code.FAILED if stops else Code.DONE)


@main.command()
@click.option("--models", is_flag=True, help="Compare the database with the models as well, as `diff` does.")
@looking
def verify(project: Project, *, models: bool, **options: Any) -> Answer:
    """Compare files and ledger; exit with 3 if they differ or something is pending.

    The options about scratch places, schemas and names belong to --models. With --replay no database of the project's
    is needed: the migrations are applied to an empty one, which goes again.
    """
    if not models:
        if any(options.values()):
            raise click.UsageError("This is an option of --models, which compares the database with the models.")
        return _verified(project.run(lambda runner: runner.verify()))
    from async_migrations.cli.comparison import comparison, subject
    from async_migrations.cli.differences import document, text

    project.models()  # before anything is asked of the database
    with subject(project, Wanted(**options)) as (there, how):
        answer = _verified(there.run(lambda runner: runner.verify()))
        with comparison(there, how) as compare:
            found = compare(())
    ok = answer.document["ok"] and not found
    facts = {**answer.document, "ok": ok, "models": document(found)}
    return Answer(facts, f"{answer.text}\n{text(found)}", Code.DONE if ok else Code.NOT_CURRENT)


@main.command()
@click.option("--deadline", type=seconds, metavar="SECONDS", help="Give up after so long.")
def wait(project: Project, deadline: float | None) -> Answer:
    """Wait until nothing is pending, without ever migrating."""
    if deadline is None:
        deadline = float(project.settings.options.get("wait_deadline", PATIENCE))
    waited = project.wait(deadline)
    return Answer({"command": "wait", "waited": waited}, f"Nothing is pending ({waited:.1f} s).")


@main.command()
@click.argument("names", nargs=-1, required=True)
def stamp(project: Project, names: tuple[str, ...]) -> Answer:
    """Record migrations as applied without running them."""
    report = project.run(lambda runner: runner.stamp(*names))
    return _recorded("stamp", report)


@main.command()
@click.argument("target")
def baseline(project: Project, target: str) -> Answer:
    """Adopt a database that has its schema: record all up to TARGET."""
    report = project.run(lambda runner: runner.baseline(target))
    return _recorded("baseline", report)


@main.command()
@click.argument("finished", metavar="[NAMES]...", nargs=-1)
def repair(project: Project, finished: tuple[str, ...]) -> Answer:
    """Accept changed files as they are, and clear what a dead run left.

    NAMES are migrations that began, did not finish, and were finished by hand: they are recorded as applied. Without
    that they run again from their beginning.
    """
    report = project.run(lambda runner: runner.repair(*finished))
    names = {"repaired": report.applied, "recorded": report.recorded, "removed": report.removed}
    return Answer({"command": "repair", **names}, _repaired(report))


@main.command()
@click.option("--yes", is_flag=True, help="End the session that holds it.")
def unlock(project: Project, *, yes: bool) -> Answer:
    """Show who holds the migration lock; end that session only with --yes."""
    holder = project.run(lambda runner: runner.unlock() if yes else runner.holder())
    document = {"command": "unlock", "holder": asdict(holder) if holder else None, "ended": yes and holder is not None}
    if holder is None:
        return Answer(document, "Nobody holds the migration lock.")
    ended = "Its session was ended." if yes else "To end its session: async-migrations unlock --yes"
    return Answer(document, f"{holder}\n{ended}")


def _facts(report: Report) -> dict[str, Any]:
    return {"waited": report.waited, "duration_ms": report.duration_ms, "statistics": report.statistics}


def _verified(found: Sequence[Finding]) -> Answer:
    ok = all(each.choice == "warn" for each in found)
    document = {"command": "verify", "ok": ok, "findings": [_finding(each) for each in found]}
    text = "\n".join(f"{each.kind}: {each.text}" for each in found)
    return Answer(document, text or ALL_IS_WELL, Code.DONE if ok else Code.NOT_CURRENT)


def _finding(finding: Finding) -> dict[str, str]:
    return {"kind": finding.kind, "name": finding.name, "text": finding.text}


def _recorded(command: str, report: Report) -> Answer:
    text = (
        f"Recorded as applied, without running: {', '.join(report.applied)}."
        if report.applied
        else "All of them were recorded already."
    )
    return Answer({"command": command, "recorded": report.applied}, text)


def _repaired(report: RepairReport) -> str:
    lines = (
        ("Repaired", [name for name in report.applied if name not in (*report.recorded, *report.removed)]),
        ("Recorded as applied, as finished by hand", report.recorded),
        ("Removed, to run from its beginning", report.removed),
    )
    said = [f"{what}: {', '.join(names)}." for what, names in lines if names]
    return "\n".join(said) or "There was nothing to repair."


def _status_text(found: Sequence[MigrationStatus], counts: Counter[str]) -> str:
    if not found:
        return "There are no migrations yet. The first: async-migrations new NAME"
    rows = [
        (
            each.name,
            str(each.state),
            f"{each.applied_at:%Y-%m-%d %H:%M:%S%z}" if each.applied_at else "",
            "" if each.execution_time_ms is None else f"{each.execution_time_ms} ms",
            each.applied_by or "",
        )
        for each in found
    ]
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    lines = table(("migration", "state", "applied at", "took", "by"), rows)
    return f"{lines}\n\n{counted(len(found), 'migration')}: {states}"


def _plan_text(project: Project, found: Plan, stops: Sequence[str]) -> str:
    pending = [f"  {project.path(each.path)}" for each in found.pending]
    number = counted(len(pending), "migration")
    if stops:
        head = ["Nothing would be applied: the files and the ledger disagree.", *stops]
        head += [f"Without that {number} would be applied:"] if pending else []
    else:
        head = [f"{number} would be applied:" if pending else "Nothing is pending."]
    return "\n".join([*head, *pending, *(f"{each.choice}: {each.text}" for each in found.warnings)])
