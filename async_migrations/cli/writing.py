"""`new --auto`: compare, ask about probable renames, write the files and show them."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from async_migrations.cli.answer import Answer, Code, counted
from async_migrations.cli.comparison import EQUAL, Wanted, compare, described, flag, grouped, summary
from async_migrations.cli.terminal import LOGGER
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.schema.answer import SchemaDifference
    from async_migrations.schema.generate.written import WrittenMigrations


def write(project: Project, name: str, wanted: Wanted, *, allow_destructive: bool) -> Answer:
    """Write the migrations that lead from the project's database to its models.

    Raises:
        ConfigurationError: there are no models or no database; migrations are pending.
        MigrationsError: see `compare_schema` and `write_migrations`.
    """
    project.require_database()
    project.models()  # before anything is asked of the database
    _refuse_pending(project)
    found = _with_renames(project, wanted)
    if not found:
        return Answer({"command": "new", "paths": [], "left_out": []}, f"{EQUAL} Nothing was written.")
    written = found.write_migrations(project.settings.directory, name, allow_destructive=allow_destructive)
    document = {
        "command": "new",
        "paths": [project.path(path) for path in written],
        "left_out": [described(each) for each in written.left_out],
    }
    for each in found.notes:
        logging.getLogger(LOGGER).warning("Note: %s", each)
    if written.left_out:
        logging.getLogger(LOGGER).warning("%s", _left_out(written))
    return Answer(document, _shown(project, written), Code.DONE if written else Code.FAILED)


def _refuse_pending(project: Project) -> None:
    pending = project.run(lambda runner: runner.plan()).pending
    if pending:
        names = ", ".join(each.name for each in pending[:5]) + (", …" if len(pending) > 5 else "")  # noqa: PLR2004
        raise ConfigurationError(
            f"{counted(len(pending), 'migration')} of the folder {'is' if len(pending) == 1 else 'are'} pending "
            f"({names}), and would be written a second time. Nothing was written. First: async-migrations upgrade"
        )


def _with_renames(project: Project, wanted: Wanted) -> SchemaDifference:
    """Compare; ask about each probable rename, and compare again with those that are."""
    from async_migrations.schema.suggestion import suggestions

    refused: set[tuple[str, str, str]] = set()
    while True:
        found = compare(project, wanted)
        open_questions = [each for each in suggestions(found.operations) if each.rename not in refused]
        if not open_questions:
            return found
        if not project.asks:
            for each in open_questions:
                logging.getLogger(LOGGER).warning("%s. If so, give %s", each, flag(each))
            return found
        if not refused and not wanted.renames:
            click.echo("\n".join([*grouped(found.operations), "", summary(found.operations)]), err=True)
        # One kind at a time: what a table's columns are called now is seen when the table is known.
        asked = [each for each in open_questions if each.rename[0] == open_questions[0].rename[0]]
        agreed = []
        for each in asked:
            kind, old, new = each.rename
            if click.confirm(f"Is {kind.replace('_', ' ')} {old} called {new} now?", err=True):
                agreed.append(each.rename)
            else:
                refused.add(each.rename)
        wanted = replace(wanted, renames=(*wanted.renames, *agreed))


def _left_out(written: WrittenMigrations) -> str:
    lines = ["Left out, since something would be lost; with --allow-destructive it is written:"]
    return "\n".join([*lines, *(f"  {each}" for each in written.left_out)])


def _shown(project: Project, written: WrittenMigrations) -> str:
    """The files: on a terminal with what is in them, for a program their paths alone."""
    if not written:
        return "Nothing was written."
    if not sys.stdout.isatty():
        return "\n".join(project.path(path) for path in written)
    parts = [f"{click.style(project.path(path), bold=True)}\n\n{path.read_text(encoding='utf-8')}" for path in written]
    return "\n".join(parts).rstrip()
