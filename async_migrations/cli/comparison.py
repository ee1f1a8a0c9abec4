"""Comparing a project's database, or what its migrations make, with its models: what is asked, and where it is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from async_migrations.cli.terminal import LOGGER
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from async_migrations.cli.project import Project
    from async_migrations.schema.answer import SchemaDifference

F = TypeVar("F", bound=Callable[..., Any])
Rename = tuple[str, str, str]

RENAME = click.option(
    "--rename",
    "renames",
    nargs=3,
    multiple=True,
    metavar="KIND OLD NEW",
    help="The same thing under another name, such as: --rename column public.users.age years.",
)
OPTIONS = (
    click.option(
        "--within",
        multiple=True,
        metavar="SCHEMA",
        help="Look at this schema, again for more.  [default: those that the models use]",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Leave alone what is called so, such as 'celery_*' or 'audit.*'; again for more.",
    ),
    click.option(
        "--scratch-url",
        metavar="URL",
        help="Create the models in this database, and roll that back.  [env: ASYNC_MIGRATIONS_SCRATCH_URL]",
    ),
    click.option("--scratch-embedded", is_flag=True, help="Create the models on a PostgreSQL of this command's own."),
    click.option(
        "--replay",
        is_flag=True,
        help="Look at what the migrations make of an empty database, which goes again, and not at the database.",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a look at the schema was asked for.

    Attributes:
        renames: hints.
        within: the schemas to look at; those of the models if there are none.
        exclude: patterns of names that are left alone.
        scratch_url: where the models are created and rolled back; may hold a password.
        scratch_embedded: whether that is a server of this command's own.
        replay: whether what the migrations make is looked at, and not the database.
    """

    renames: Sequence[Rename] = ()
    within: Sequence[str] = ()
    exclude: Sequence[str] = ()
    scratch_url: str | None = None
    scratch_embedded: bool = False
    replay: bool = False

    def with_settings(self, said: Mapping[str, Any]) -> Wanted:
        """Return the same, with what the environment and pyproject.toml say where the command line says nothing.

        Raises:
            ConfigurationError: the command line names two scratch places.
        """
        if self.scratch_url and self.scratch_embedded:
            raise ConfigurationError("--scratch-url and --scratch-embedded name two scratch places: give one of them.")
        chosen = bool(self.scratch_url or self.scratch_embedded)
        url = self.scratch_url if chosen else said.get("scratch_url")
        return replace(
            self,
            within=self.within or said.get("within", ()),
            exclude=self.exclude or said.get("exclude", ()),
            scratch_url=url,
            scratch_embedded=self.scratch_embedded if chosen else not url and said.get("scratch_embedded", False),
        )


def looking(command: F) -> F:
    """Give a command the options of a look at the schema; its callback takes them as `Wanted` names them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def comparing(command: F) -> F:
    """The same with `--rename`, for a command that compares."""
    return RENAME(looking(command))


@contextmanager
def subject(project: Project, wanted: Wanted) -> Iterator[tuple[Project, Wanted]]:
    """Yield the project whose database is looked at, and how; with `--replay` that is one of a moment's own.

    Raises:
        ConfigurationError: there is no database, or two scratch places.
        MigrationsError: a migration fails that is replayed; see `errors`.
    """
    completed = wanted.with_settings(project.settings.comparison)
    if not completed.replay:
        project.require_database()
        yield project, completed
        return
    from async_migrations.cli.replay import replayed

    with replayed(project, embedded=completed.scratch_embedded) as there:
        # Beside the replayed database there is a scratch place, whatever the server.
        yield there, replace(completed, scratch_embedded=False, replay=False)


@contextmanager
def comparison(project: Project, wanted: Wanted) -> Iterator[Callable[[Sequence[Rename]], SchemaDifference]]:
    """Yield what compares a database with the models, given hints; the scratch place stays open meanwhile.

    Args:
        project: whose database it is: of `subject`.
        wanted: of `subject`.

    Raises:
        ConfigurationError: there are no models.
        MigrationsError: see `compare_schema`.
    """
    from async_migrations.schema.comparison import compare_schema
    from async_migrations.schema.scope import excluding

    base = project.models()
    with _scratch(project, wanted) as (scratch_url, name):

        def compare(renames: Sequence[Rename]) -> SchemaDifference:
            found = project.use(
                lambda engine: compare_schema(
                    engine,
                    base,
                    renames=renames,
                    scratch_url=scratch_url,
                    schemas=wanted.within or None,
                    include=excluding(wanted.exclude),
                    ledger_table=project.ledger_table,
                    deadline=project.patience,
                )
            )
            found = replace(found, scratch=name) if name else found
            logging.getLogger(LOGGER).info("The models were created in %s, and rolled back", found.scratch)
            return found

        yield compare


def compare(project: Project, wanted: Wanted) -> SchemaDifference:
    """Compare once; see `comparison`."""
    with subject(project, wanted) as (there, how), comparison(there, how) as compare_with:
        return compare_with(how.renames)


@contextmanager
def _scratch(project: Project, wanted: Wanted) -> Iterator[tuple[str | None, str]]:
    """Yield URL and name of the scratch place that was asked for; None for the default, which has its own name."""
    if wanted.scratch_embedded:
        from async_migrations.schema.comparison import read_version
        from async_migrations.testing.server import temporary_server

        version = project.use(lambda engine: read_version(engine, deadline=project.patience))
        with temporary_server(version=version) as server:
            yield server.url(), f"a PostgreSQL {version} of this command's own"
    elif wanted.scratch_url:
        from async_migrations.cli.address import read_address

        yield read_address(wanted.scratch_url).url.render_as_string(hide_password=False), ""
    else:
        yield None, ""
