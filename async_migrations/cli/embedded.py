"""A PostgreSQL of the project's own, for as long as a command runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from async_migrations.errors import ConfigurationError
from async_migrations.reporting import LOGGER
from async_migrations.sql import quote_identifier
from async_migrations.testing.server import Server

HOME = ".async-migrations"
VERSION = 18
LONGEST_NAME = 63
"""Bytes that a database's name may have."""


def default_directory(project: Path) -> Path:
    """Return where a project's server keeps its data; git is told to leave it alone.

    Args:
        project: the project's directory.

    Raises:
        ConfigurationError: it cannot be made.
    """
    home = project / HOME
    try:
        home.mkdir(exist_ok=True)
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The server's data cannot be kept in {home}: {error.strerror}. Name another place: --embedded=DIR."
        ) from None
    return home / f"postgres{VERSION}"


def database_name(project: str) -> str:
    """Return the name of a project's database: the project's own, as far as PostgreSQL takes it.

    Args:
        project: its name.
    """
    name = project.replace("\0", "").encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
    return name or "postgres"


@contextmanager
def embedded_server(directory: Path, database: str) -> Iterator[str]:
    """Run a server, or share the one that runs on the directory already.

    Args:
        directory: where the data lies; made if it is missing.
        database: whose URL is wanted; see `create_database`.

    Yields:
        The URL of the database.

    Raises:
        ServerError: it does not start.
    """
    with Server(directory, version=VERSION) as server:
        url = server.url(database, driver="")
        logging.getLogger(LOGGER).info("PostgreSQL %d runs at %s until this command ends", VERSION, url)
        yield url


async def create_database(url: str) -> None:
    """Create the database of an embedded server, unless it is there.

    Args:
        url: as `embedded_server` yields it.
    """
    import asyncpg

    server, _, database = url.rpartition("/")
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        name = unquote(database)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            # Another command may be a moment quicker.
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f"CREATE DATABASE {quote_identifier(name)}")
    finally:
        await connection.close()
