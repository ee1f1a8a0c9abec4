"""What is said of a comparison: to programs, and to people, grouped by table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from async_migrations.cli.answer import counted

if TYPE_CHECKING:
    from async_migrations.schema.answer import SchemaDifference
    from async_migrations.schema.difference import Difference
    from async_migrations.schema.suggestion import Suggestion

EQUAL = "The database has the schema of the models."
COLOURS = {"+": "green", "-": "red", "~": "yellow", ">": "cyan"}


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
