"""The commands about the files of migrations: they write them and give them their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from async_migrations.cli.answer import Answer
from async_migrations.cli.commands import main
from async_migrations.cli.comparison import Wanted, comparing

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.runner import MigrationRunner


@main.command()
@click.argument("name")
@click.option("--sql", is_flag=True, help="Write plain SQL.")
@click.option("--auto", is_flag=True, help="Write what leads from the database to the models.")
@click.option("--allow-destructive", is_flag=True, help="With --auto: also what loses something.")
@click.option("--allow-pending", is_flag=True, help="With --auto: whatever is pending.")
@comparing
def new(project: Project, name: str, *, sql: bool, auto: bool, **options: Any) -> Answer:
    """Write the next migration and print its path; NAME is what it does.

    With --auto the database, on which nothing may be pending, is compared with the models, and several files are
    written where one transaction cannot do it. On a terminal it asks whether what is gone has a new name.
    """
    if auto:
        from async_migrations.cli.writing import write

        if sql:
            raise click.UsageError("--auto writes Python: leave --sql out.")
        allowed = {each: options.pop(each) for each in ("allow_destructive", "allow_pending")}
        return write(project, name, Wanted(**options), **allowed)
    if any(options.values()):
        raise click.UsageError("This is an option of --auto, which compares the database with the models.")
    from async_migrations import drafts

    path = drafts.create(project.settings.directory, name, sql=sql)
    shown = project.path(path)
    return Answer({"command": "new", "name": path.stem, "path": shown}, shown)


@main.command()
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only show what would be renamed.")
def renumber(project: Project, names: tuple[str, ...], *, dry_run: bool) -> Answer:
    """Give each number to one file only, after a merge.

    The applied one keeps its number if there is a database to ask, else the one that head.txt names. NAMES are
    migrations that move behind the last one in any case.
    """
    from async_migrations import numbering

    applied = project.run(_applied) if project.has_database else ()
    directory = project.settings.directory
    renames = numbering.renumber(directory, applied, names=names, dry_run=dry_run)
    document = {"command": "renumber", "dry_run": dry_run, "renames": [{"old": r.old, "new": r.new} for r in renames]}
    verb = "would become" if dry_run else "is now"
    lines = [f"{each.old} {verb} {each.new}" for each in renames]
    return Answer(document, "\n".join(lines) or "Each number is that of one migration.")


async def _applied(runner: MigrationRunner) -> tuple[str, ...]:
    # Not by status(): that needs a folder in order, and this one is about to be put in order.
    return tuple(row.name for row in await runner.applied())
