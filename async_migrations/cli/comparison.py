"""Comparing the project's database with its models: the options of it, and what is said of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import click

from async_migrations.cli.answer import counted
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.schema.answer import SchemaDifference
    from async_migrations.schema.difference import Difference
    from async_migrations.schema.suggestion import Suggestion

F = TypeVar("F", bound=Callable[..., Any])
EQUAL = "The database has the schema of the models."
COLOURS = {"+": "green", "-": "red", "~": "yellow", ">": "cyan"}
Rename = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a comparison was asked for.

    Attributes:
        renames: hints.
        within: the schemas to compare; those of the models if there are none.
        scratch_url: where the models are created and rolled back.
        scratch_embedded: whether that is a server of this command's own.
    """

    renames: Sequence[Rename] = ()
    within: Sequence[str] = ()
    scratch_url: str | None = None
    scratch_embedded: bool = False


def comparing(command: F) -> F:
    """Give a command the options of a comparison; its callback takes them as `renames`, `within` and so on."""
    for option in reversed(
        (
            click.option(
                "--rename",
                "renames",
                nargs=3,
                multiple=True,
                metavar="KIND OLD NEW",
                help="The same thing under another name, such as: --rename column public.users.age years.",
            ),
            click.option(
                "--within",
                multiple=True,
                metavar="SCHEMA",
                help="Compare this schema, again for more.  [default: those that the models use]",
            ),
            click.option(
                "--scratch-url", metavar="URL", help="Create the models in this database, and roll that back."
            ),
            click.option(
                "--scratch-embedded", is_flag=True, help="Create the models on a PostgreSQL of this command's own."
            ),
        )
    ):
        command = option(command)
    return command


def compare(project: Project, wanted: Wanted) -> SchemaDifference:
    """Compare the project's database with its models.

    Raises:
        ConfigurationError: there are no models, no database, or two scratch places.
        MigrationsError: see `compare_schema`.
    """
    from async_migrations.schema.comparison import compare_schema

    project.require_database()
    base = project.models()
    with _scratch(project, wanted) as scratch_url:
        return project.use(
            lambda engine: compare_schema(
                engine,
                base,
                renames=wanted.renames,
                scratch_url=scratch_url,
                schemas=wanted.within or None,
                ledger_table=project.ledger_table,
            )
        )


def document(found: SchemaDifference) -> dict[str, Any]:
    """Return what programs are told."""
    from async_migrations.schema.suggestion import suggestions

    return {
        "equal": not found,
        "differences": [described(each) for each in found.operations],
        "renames": [list(each.rename) for each in suggestions(found.operations)],
        "notes": list(found.notes),
        "scratch": found.scratch,
    }


def described(each: Difference) -> dict[str, Any]:
    """Return one difference for programs."""
    return {
        "kind": type(each).__name__,
        "verb": each.verb.name.lower(),
        "group": str(each.group),
        "text": str(each),
        "destructive": each.destructive,
    }


def text(found: SchemaDifference) -> str:
    """Return what people are told: the differences grouped by table, then what was left alone."""
    from async_migrations.schema.suggestion import suggestions

    notes = [click.style(f"Note: {each}", dim=True) for each in found.notes]
    if not found:
        return "\n".join([EQUAL, *notes])
    lines = list(grouped(found.operations))
    lines += ["", summary(found.operations), *notes]
    lines += [f"{each}? Then: {flag(each)}" for each in suggestions(found.operations)]
    return "\n".join(lines)


def grouped(operations: Iterable[Difference]) -> Iterator[str]:
    """Yield a line for each table or other thing, and under it one for each of its differences."""
    ordered = sorted(operations, key=lambda each: str(each.group))
    for group, members in groupby(ordered, key=lambda each: str(each.group)):
        yield click.style(group, bold=True)
        for each in members:
            sign = click.style(each.verb.value, fg=COLOURS[each.verb.value], bold=True)
            yield f"  {sign} {each}{click.style('  (loses something)', fg='red') if each.destructive else ''}"


def summary(operations: Sequence[Difference]) -> str:
    """Count the differences."""
    losing = sum(each.destructive for each in operations)
    told = f", {losing} of them {'loses' if losing == 1 else 'lose'} something" if losing else ""
    return f"{counted(len(operations), 'difference')}{told}."


def flag(suggestion: Suggestion) -> str:
    """Return the option that says a rename, as a shell takes it."""
    import shlex

    return f"--rename {shlex.join(suggestion.rename)}"


@contextmanager
def _scratch(project: Project, wanted: Wanted) -> Iterator[str | None]:
    """Yield the URL of the scratch place that was asked for; None for the default."""
    if wanted.scratch_url and wanted.scratch_embedded:
        raise ConfigurationError("--scratch-url and --scratch-embedded name two scratch places: give one of them.")
    if wanted.scratch_embedded:
        from async_migrations.schema.comparison import read_version
        from async_migrations.testing.server import temporary_server

        with temporary_server(version=project.use(read_version)) as server:
            yield server.url()
    elif wanted.scratch_url:
        from async_migrations.cli.address import read_address

        yield read_address(wanted.scratch_url).url.render_as_string(hide_password=False)
    else:
        yield None
