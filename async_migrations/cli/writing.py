"""`new --auto`: compare, ask about probable renames, write the files and show them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from async_migrations.cli.answer import Answer, Code, Failure, counted, failure
from async_migrations.cli.comparison import Rename, Wanted, comparison, subject
from async_migrations.cli.differences import EQUAL, described, flag, grouped, summary
from async_migrations.cli.terminal import LOGGER
from async_migrations.errors import HistoryError

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.schema.answer import SchemaDifference
    from async_migrations.schema.generate.written import WrittenMigrations


def write(project: Project, name: str, wanted: Wanted, *, allow_destructive: bool, allow_pending: bool) -> Answer:
    """Write the migrations that lead from the project's database to its models.

    Args:
        project: the project.
        name: what the migrations do.
        wanted: how to compare.
        allow_destructive: whether what loses something is written as well.
        allow_pending: whether migrations may be pending, whose changes would be written again.

    Raises:
        ConfigurationError: there are no models or no database.
        MigrationsError: see `compare_schema` and `write_migrations`.
    """
    from async_migrations.schema.suggestion import suggestions

    project.models()  # before anything is asked of the database
    with subject(project, wanted) as (there, how):
        if not allow_pending and (refused := _refused_for_pending(there)):
            return refused
        with comparison(there, how) as compare:
            found = _with_renames(project, compare, how.renames)
    if not found:
        return Answer({"command": "new", "paths": [], "left_out": [], "renames": []}, f"{EQUAL} Nothing was written.")
    written = found.write_migrations(project.settings.directory, name, allow_destructive=allow_destructive)
    document = {
        "command": "new",
        "paths": [project.path(path) for path in written],
        "left_out": [described(each) for each in written.left_out],
        "renames": [list(each.rename) for each in suggestions(found.operations)],
    }
    for each in found.notes:
        logging.getLogger(LOGGER).warning("Note: %s", each)
    if written.left_out:
        logging.getLogger(LOGGER).warning("%s", left_out(written))
    return Answer(document, _shown(project, written), Code.DONE if written else Code.FAILED)


def _refused_for_pending(project: Project) -> Failure | None:
    if not project.settings.directory.exists():
        return None  # the first ones are about to be written
    pending = project.run(lambda runner: runner.plan()).pending
    if not pending:
        return None
    names = ", ".join(each.name for each in pending[:5]) + (", …" if len(pending) > 5 else "")  # noqa: PLR2004
    problem = (
        f"{counted(len(pending), 'migration')} of the folder {'is' if len(pending) == 1 else 'are'} pending ({names}), "
        "and would be written a second time. First: async-migrations upgrade. Or compare with what the files make: "
        "--replay. With --allow-pending it is written all the same."
    )
    error = HistoryError([problem], verb="written")
    return failure(error, str(error), Code.NOT_CURRENT)


def _with_renames(
    project: Project, compare: Callable[[Sequence[Rename]], SchemaDifference], renames: Sequence[Rename]
) -> SchemaDifference:
    """Compare; ask about each probable rename, and compare again with those that are."""
    from async_migrations.schema.suggestion import suggestions

    refused: set[Rename] = set()
    agreed = list(renames)
    while True:
        found = compare(agreed)
        probable = [each for each in suggestions(found.operations) if each.rename not in refused]
        if not probable:
            return found
        if not project.asks:
            for each in probable:
                logging.getLogger(LOGGER).warning("%s. If so, give %s", each, flag(each))
            return found
        if len(agreed) == len(renames) and not refused:
            click.echo("\n".join([*grouped(found.operations), "", summary(found.operations)]), err=True)
        # One kind at a time: what a table's columns are called now is seen when the table is known.
        for each in probable:
            if each.rename[0] == probable[0].rename[0]:
                (agreed.append if _is_renamed(each.rename) else refused.add)(each.rename)


def _is_renamed(rename: Rename) -> bool:
    kind, old, new = rename
    return click.confirm(f"Is {kind.replace('_', ' ')} {old} called {new} now?", err=True)


def left_out(written: WrittenMigrations) -> str:
    """Say which differences the files do not follow, and whether allowing a loss would change that."""
    lossy = [each for each in written.left_out if each not in written.refused]
    titles = {
        "Left out, since something would be lost; with --allow-destructive it is written:": lossy,
        "Left out, since PostgreSQL refuses it as things are:": written.refused,
    }
    return "\n".join(
        line for title, told in titles.items() if told for line in (title, *(f"  {each}" for each in told))
    )


def _shown(project: Project, written: WrittenMigrations) -> str:
    """The files: on a terminal with what is in them, for a program their paths alone."""
    if not written:
        return "Nothing was written."
    if not sys.stdout.isatty():
        return "\n".join(project.path(path) for path in written)
    parts = [f"{click.style(project.path(path), bold=True)}\n\n{path.read_text(encoding='utf-8')}" for path in written]
    return "\n".join(parts).rstrip()
