"""The commands about the schema: what it is, a picture of it, and in what it differs from the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from async_migrations.cli.answer import Answer, Code
from async_migrations.cli.commands import main
from async_migrations.cli.comparison import Wanted, compare, comparing, document, text
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
def show(project: Project, names: tuple[str, ...], *, models: bool) -> Answer:
    """Show the schema, or of it what is called NAME: users, public.users."""
    from async_migrations.schema.dump import sections

    snapshot, default = _snapshot(project, models=models), not names
    shown = list(sections(snapshot, _chosen(project, names)))
    if not shown:
        what = "There is nothing in it." if default else f"There is no {' and no '.join(names)}."
        return Answer({"command": "schema show", "things": []}, what, Code.DONE if default else Code.FAILED)
    things = [{"name": lines[0], "lines": lines[1:]} for lines in shown]
    coloured = "\n\n".join("\n".join([click.style(lines[0], bold=True), *lines[1:]]) for lines in shown)
    return Answer({"command": "schema show", "things": things}, coloured)


@schema.command()
@MODELS
@OUTPUT
@click.option("--check", is_flag=True, help="Write nothing; exit with 3 if the file says something else.")
def dump(project: Project, output: Path | None, *, models: bool, check: bool) -> Answer:
    """Write the schema down as text that stays the same: a pull request then shows what a migration changes."""
    from async_migrations.schema.dump import text as dumped

    if check and output is None:
        raise click.UsageError("--check compares with a file: say which with --output FILE.")
    written = dumped(_snapshot(project, models=models), _chosen(project, ()))
    if output is None:
        return Answer({"command": "schema dump", "text": written}, written.rstrip("\n"))
    output = project.called_from / output
    facts = {"command": "schema dump", "path": project.path(output)}
    if not check:
        _write(output, written.encode())
        return Answer({**facts, "current": True}, project.path(output))
    there = output.read_text(encoding="utf-8") if output.exists() else ""
    if there == written:
        return Answer({**facts, "current": True}, f"{project.path(output)} is current.")
    told = f"{project.path(output)} is not current:\n{_changes(there, written)}\nWrite it anew without --check."
    return Answer({**facts, "current": False}, told, Code.NOT_CURRENT)


@schema.command()
@NAMES
@MODELS
@OUTPUT
def diagram(project: Project, names: tuple[str, ...], output: Path | None, *, models: bool) -> Answer:
    """Draw tables and their keys: Mermaid, or by FILE's ending .mmd, .dot, .svg or .png.

    SVG and PNG are drawn by Graphviz, whose program `dot` must be installed.
    """
    from async_migrations.cli.drawing import drawn

    ending = output.suffix if output else ".mmd"
    picture = drawn(_snapshot(project, models=models), _chosen(project, names), ending)
    if output is None:
        return Answer({"command": "schema diagram", "text": picture.decode()}, picture.decode().rstrip("\n"))
    output = project.called_from / output
    _write(output, picture)
    return Answer({"command": "schema diagram", "path": project.path(output)}, project.path(output))


def _snapshot(project: Project, *, models: bool) -> Snapshot:
    if models:
        found = compare(project, Wanted())
        return found.wanted
    from async_migrations.schema.comparison import read_schema

    return project.use(read_schema)


def _chosen(project: Project, names: Sequence[str]) -> Callable[[str, Name], bool]:
    """Return what says which things are shown: those of these names, or all but the ledger."""
    from async_migrations.schema.names import parse_name

    asked = [parse_name(each) for each in names]
    ledger = parse_name(project.ledger_table)

    def chosen(_kind: str, name: Name) -> bool:
        parts = (name.schema, name.name)
        if asked:
            return any(parts[-len(each) :] == each for each in asked)
        return parts[-len(ledger) :] not in {ledger, (*ledger[:-1], f"{ledger[-1]}_id_seq")}

    return chosen


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise MigrationsError(f"{path} cannot be written: {error.strerror}.") from error


def _changes(before: str, after: str) -> str:
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "the file", "the schema", lineterm="")
    return "\n".join(lines)
