"""Replaying a project's migrations on an empty database that goes again, to see what they make."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from async_migrations.cli.answer import counted
from async_migrations.cli.terminal import LOGGER
from async_migrations.errors import SchemaError
from async_migrations.retry import sqlstate

if TYPE_CHECKING:
    from async_migrations.cli.project import Project

MAY_NOT = "42501"


@contextmanager
def replayed(project: Project, *, embedded: bool) -> Iterator[Project]:
    """Yield the project on an empty database to which all of its migrations were applied.

    Args:
        project: the project.
        embedded: whether that database is on a server of this command's own; otherwise it is beside the project's,
            and what a killed command has left there goes as well.

    Raises:
        ConfigurationError: it is not known where the project's database is.
        MigrationsError: a migration fails; see `errors`.
    """
    with _empty_database(project, embedded=embedded or project.embedded is not None) as (url, where):
        settings = replace(project.settings, database_url=url)
        there = replace(project, settings=settings, embedded=None)
        number = _apply(there)
        logging.getLogger(LOGGER).info("%s replayed %s", counted(number, "migration"), where)
        yield there


def _apply(project: Project) -> int:
    from async_migrations.runner import MigrationRunner

    if not project.settings.directory.exists():
        return 0
    base = project.models() if project.settings.base else None
    # Without the start-up log: nothing is applied that stays.
    report = project.use(
        lambda engine: MigrationRunner(engine, base, **project.settings.options, observers=()).run_migrations()
    )
    return len(report.applied)


@contextmanager
def _empty_database(project: Project, *, embedded: bool) -> Iterator[tuple[str, str]]:
    """Yield the URL of an empty database, and where it is."""
    if embedded:
        from async_migrations.testing.server import temporary_server

        with temporary_server() as server:
            yield server.url(driver=""), f"on a PostgreSQL {server.version} of this command's own"
        return
    project.require_database()
    from async_migrations.cli.address import written_out
    from async_migrations.schema.comparison import read_version
    from async_migrations.testing.databases import databases_of
    from async_migrations.testing.given import GivenServer

    project.use(
        lambda engine: read_version(engine, deadline=project.patience)
    )  # says what is wrong, if the database is not there
    with databases_of(
        GivenServer(written_out(project.settings.database_url or "")), lasting=True, ahead=0
    ) as databases:
        try:
            name = databases.create().result()
        except Exception as error:
            if sqlstate(error) != MAY_NOT:
                raise
            raise SchemaError(
                "The migrations cannot be replayed: this role may not create a database. Nothing was changed. With "
                "--scratch-embedded they are replayed on a PostgreSQL of this command's own."
            ) from error
        yield databases.server.url(name, driver=""), f"in the database {name}, which goes again"
