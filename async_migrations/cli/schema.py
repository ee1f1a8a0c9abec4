"""The commands about the schema: what it is, a picture of it, and in what it differs from the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from async_migrations.cli.answer import Answer, Code, Failure
from async_migrations.cli.commands import main
from async_migrations.cli.comparison import Wanted, compare, comparing, comparison, looking, subject
from async_migrations.cli.differences import document, text
from async_migrations.cli.program import Topic
from async_migrations.errors import MigrationsError

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.schema.names import Name
    from async_migrations.schema.snapshot import Snapshot

MODELS = click.option("--models", is_flag=True, help="Of the models, not of the database.")
OUTPUT = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it to a file."
)
NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")

Chosen = Callable[[str, "Name"], bool]


@main.command()
@comparing
def diff(project: Project, **options: Any) -> Answer:
    """Show in what the database differs from the models; exit with 3 if it does."""
    found = compare(project, Wanted(**options))
    code = Code.NOT_CURRENT if found else Code.DONE
    return Answer({"command": "diff", **document(found)}, text(found), code)


@main.group(cls=Topic)
def schema(**_: object) -> None:
    """Show the schema, write it down, draw it."""


@schema.command()
@NAMES
@MODELS
@looking
def show(project: Project, names: tuple[str, ...], *, models: bool, **options: Any) -> Answer:
    """Show the schema, or of it what is called NAME: users, public.users."""
    from async_migrations.schema.dump import facts, sections

    snapshot, chosen = _looked(project, Wanted(**options), names, models=models)
    shown = list(sections(snapshot, chosen))
    found = {"command": "schema show", **facts(snapshot, chosen)}
    if not shown:
        return _missing("show", names, found) if names else Answer(found, "There is nothing in it.")
    coloured = "\n\n".join("\n".join([click.style(lines[0], bold=True), *lines[1:]]) for lines in shown)
    return Answer(found, coloured)


@schema.command()
@MODELS
@OUTPUT
@click.option("--check", is_flag=True, help="Write nothing; exit with 3 if the file says something else.")
@looking
def dump(project: Project, output: Path | None, *, models: bool, check: bool, **options: Any) -> Answer:
    """Write the schema down as text that stays the same: a pull request then shows what a migration changes."""
    from async_migrations.schema.dump import text as dumped

    if check and output is None:
        raise click.UsageError("--check compares with a file: say which with --output FILE.")
    written = dumped(*_looked(project, Wanted(**options), (), models=models))
    if output is None:
        return Answer({"command": "schema dump", "text": written}, written.rstrip("\n"))
    output = project.called_from / output
    return _checked(project, output, written) if check else _kept(project, "dump", output, written.encode())


@schema.command()
@NAMES
@MODELS
@OUTPUT
@looking
def diagram(project: Project, names: tuple[str, ...], output: Path | None, *, models: bool, **options: Any) -> Answer:
    """Draw tables and their keys: Mermaid, or by FILE's ending .mmd, .dot, .svg or .png.

    SVG and PNG are drawn by Graphviz, if it is installed; SVG also with the extra `diagram`.
    """
    from async_migrations.cli.drawing import drawn, see_that_it_can_be_drawn

    ending = output.suffix if output else ".mmd"
    see_that_it_can_be_drawn(ending)
    snapshot, chosen = _looked(project, Wanted(**options), names, models=models)
    if names and not any(chosen("table", each.name) for each in snapshot.tables):
        return _missing("diagram", [f"table {each}" for each in names])
    picture = drawn(snapshot, chosen, ending)
    if output is None:
        return Answer({"command": "schema diagram", "text": picture.decode()}, picture.decode().rstrip("\n"))
    return _kept(project, "diagram", project.called_from / output, picture)


def _missing(command: str, names: Sequence[str], found: Mapping[str, Any] | None = None) -> Failure:
    text = f"There is no {' and no '.join(names)}."
    error = {"type": "NotFound", "message": text}
    return Failure({"command": f"schema {command}", **(found or {}), "error": error}, text, Code.FAILED)


def _looked(project: Project, wanted: Wanted, names: Sequence[str], *, models: bool) -> tuple[Snapshot, Chosen]:
    """Return a snapshot, and what says which things of it are shown."""
    from async_migrations.schema.comparison import read_schema

    if models:
        project.models()  # before anything is asked of the database
    with subject(project, wanted) as (there, how):
        if models:
            with comparison(there, how) as compare_with:
                snapshot = compare_with(()).wanted
        else:
            snapshot = there.use(lambda engine: read_schema(engine, deadline=there.patience))
    return snapshot, _chosen(project, how, names, snapshot)


def _chosen(project: Project, how: Wanted, names: Sequence[str], snapshot: Snapshot) -> Chosen:
    """Return what says which things are shown: those of these names, or all but ledgers and what is excluded."""
    from async_migrations.schema.names import parse_name
    from async_migrations.schema.scope import excluding, is_ledger

    asked = [parse_name(each) for each in names]
    ledgers = {each.name for each in snapshot.tables if is_ledger(each, project.ledger_table)}
    include = excluding(how.exclude) or (lambda _kind, _name: True)
    owners = {each.name: each.owner[0] for each in snapshot.sequences if each.owner}

    def chosen(kind: str, name: Name) -> bool:
        if asked:
            return any((name.schema, name.name)[-len(each) :] == each for each in asked)
        # A sequence goes where its table goes.
        table = owners.get(name, name)
        if (how.within and name.schema not in how.within) or not (include(kind, name) and include("table", table)):
            return False
        return table not in ledgers

    return chosen


def _checked(project: Project, path: Path, written: str) -> Answer:
    there, shown = _kept_text(path), project.path(path)
    facts = {"command": "schema dump", "path": shown, "current": there == written}
    if there == written:
        return Answer(facts, f"{shown} is current.")
    told = f"{shown} is not current:\n{_changes(there, written)}\nWrite it anew without --check."
    return Answer(facts, told, Code.NOT_CURRENT)


def _kept_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except OSError as error:
        raise MigrationsError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MigrationsError(
            f"{path} is not UTF-8 at byte {error.start}, and so no dump. Write it anew without --check."
        ) from error


def _kept(project: Project, command: str, path: Path, content: bytes) -> Answer:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise MigrationsError(f"{path} cannot be written: {error.strerror}.") from error
    current = {"current": True} if command == "dump" else {}
    return Answer({"command": f"schema {command}", "path": project.path(path), **current}, project.path(path))


def _changes(before: str, after: str) -> str:
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "the file", "the schema", lineterm="")
    return "\n".join(lines)
