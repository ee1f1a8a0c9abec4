"""The options of every command, which may stand before its name or after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import click
from click.core import ParameterSource

from async_migrations.cli.settings import CHOICES, SETTINGS, Setting
from async_migrations.errors import masked

EMBEDDED = "--embedded"


def seconds(text: str) -> float:
    """Read a number of seconds.

    Raises:
        click.BadParameter: it is not finite, or below 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise click.BadParameter(f"{masked(text)!r} is no number of seconds, 0 or more.")
    return number


@cache
def shared_options(*, of_group: bool) -> tuple[click.Parameter, ...]:
    """Return the options that every command takes; made once, since a dozen commands share twenty.

    Args:
        of_group: whether they stand before the command's name: there they read their environment variables and
            are shown in the help.
    """
    hidden = not of_group
    return (
        click.Option(
            ["-C", "project"],
            type=click.Path(exists=True, file_okay=False),
            metavar="DIR",
            help="Work in this directory: its pyproject.toml, its modules.",
            hidden=hidden,
        ),
        click.Option(
            ["--database-url"],
            metavar="URL",
            help="The database, such as postgresql://user@host:5432/name.  [env: DATABASE_URL]",
            hidden=hidden,
        ),
        click.Option(
            [EMBEDDED],
            metavar="[=DIR]",
            help="Run a PostgreSQL of the project's own meanwhile, its data in .async-migrations or in DIR.",
            hidden=hidden,
        ),
        *(_option(setting, of_group=of_group) for setting in SETTINGS),
        click.Option(["--json", "as_json"], is_flag=True, help="Write one JSON document to stdout.", hidden=hidden),
        click.Option(["-v", "--verbose"], is_flag=True, help="Say more, tracebacks of bugs too.", hidden=hidden),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say warnings and errors only.", hidden=hidden),
    )


def said(context: click.Context | None) -> dict[str, Any]:
    """Return the shared options that were given, on the command line or in the environment."""
    if context is None:
        return {}
    names = [each.name for each in shared_options(of_group=True) if each.name]
    return {
        name: context.params[name]
        for name in names
        if name in context.params and context.get_parameter_source(name) not in {None, ParameterSource.DEFAULT}
    }


def with_default_directory(arguments: Sequence[str]) -> list[str]:
    """Write a bare `--embedded` as `--embedded=`, or it would take the next word, which is the command, for DIR."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [f"{EMBEDDED}=" if each == EMBEDDED else each for each in arguments[:end]] + list(arguments[end:])


def _option(setting: Setting, *, of_group: bool) -> click.Option:
    kinds: dict[str, Any] = {"text": str, "policy": click.Choice(CHOICES), "seconds": seconds}
    return click.Option(
        [setting.flag],
        type=kinds[setting.kind],
        metavar={"text": "TEXT", "policy": "|".join(CHOICES), "seconds": "SECONDS"}[setting.kind],
        help=setting.help,
        envvar=setting.variable if of_group else None,
        hidden=not of_group,
    )
