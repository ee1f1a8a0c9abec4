"""A database through `pg_dump | psql`."""

import subprocess
from pathlib import Path

from async_migrations.testing.server import Server, ServerError, find_binaries

NEWEST = 18


def restore(server: Server, version: int, source: str, url: str) -> None:
    """Send a database through pg_dump and psql into another one.

    Args:
        server: where the database is.
        version: its major version.
        source: the name of the database.
        url: of an empty one.
    """
    load(version, url, dump(server, version, source))


def dump(server: Server, version: int, source: str) -> bytes:
    """Return what pg_dump says of a database."""
    command = [str(_clients(version) / "pg_dump"), server.url(source, driver="")]
    return subprocess.run(command, check=True, capture_output=True).stdout


def load(version: int, url: str, script: bytes) -> None:
    """Send what pg_dump has said through psql into an empty database."""
    target = url.replace("postgresql+asyncpg", "postgresql")
    command = [str(_clients(version) / "psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", target]
    subprocess.run(command, check=True, input=script, capture_output=True)


def _clients(version: int) -> Path:
    """Find the programs of this version, or of the next one that has them: some packages bring the server alone."""
    for each in range(version, NEWEST + 1):
        try:
            programs = find_binaries(each)
        except ServerError:
            continue
        if (programs / "pg_dump").exists():
            return programs
    raise ServerError(f"There is no pg_dump for PostgreSQL {version}.")
