"""Replaying a project's migrations on an empty database that goes again, to see what they make."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from async_migrations.cli.answer import counted
from async_migrations.cli.cluster import reaches_others
from async_migrations.cli.terminal import LOGGER
from async_migrations.errors import MigrationFailedError, SchemaError
from async_migrations.retry import sqlstate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_migrations.cli.project import Project
    from async_migrations.migration import Report

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
        SchemaError: a migration changes what all databases of the project's server share.
        MigrationsError: a migration fails; see `errors`.
    """
    alone = embedded or project.embedded is not None
    with _empty_database(project, embedded=alone) as (url, where):
        settings = replace(project.settings, database_url=url)
        there = replace(project, settings=settings, embedded=None)
        number = _apply(there, alone=alone)
        logging.getLogger(LOGGER).info("%s replayed %s", counted(number, "migration"), where)
        yield there


def _see_that_nothing_stays(directory: Path) -> None:
    from async_migrations.discovery import discover
    from async_migrations.script import read_script
    from async_migrations.source import FileProblem

    for file in discover(directory).files if directory.exists() else ():
        # What is wrong with a file says the run, before it applies anything.
        with suppress(FileProblem):
            if file.is_sql:
                _refuse_what_stays(read_script(file.path).text, file.path.name)


def _refuse_what_stays(script: str, name: str = "") -> None:
    if found := reaches_others(script):
        line, words = found
        raise SchemaError(
            f"{f'{name}, line {line}: ' if name else ''}{words} changes what all databases of the server share, and "
            "would stay when the replayed database goes. It was not run. With --scratch-embedded the migrations are "
            "replayed on a PostgreSQL of this command's own."
        )


def _apply(project: Project, *, alone: bool) -> int:
    from sqlalchemy import event

    from async_migrations.runner import MigrationRunner

    if not project.settings.directory.exists():
        return 0
    base = project.models() if project.settings.base else None

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        _refuse_what_stays(statement)

    async def apply(engine: AsyncEngine) -> Report:
        if not alone:
            event.listen(engine.sync_engine, "before_cursor_execute", look)
        # Without the start-up log: nothing is applied that stays.
        return await MigrationRunner(engine, base, **project.settings.options, observers=()).run_migrations()

    try:
        return len(project.use(apply).applied)
    except MigrationFailedError as error:
        raise error.elsewhere("in a database that is gone", "It was replayed in a database that is gone.") from error


@contextmanager
def _empty_database(project: Project, *, embedded: bool) -> Iterator[tuple[str, str]]:
    """Yield the URL of an empty database, and where it is."""
    if embedded:
        from async_migrations.testing.server import temporary_server

        with temporary_server() as server:
            yield server.url(driver=""), f"on a PostgreSQL {server.version} of this command's own"
        return
    project.require_database()
    _see_that_nothing_stays(project.settings.directory)
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
