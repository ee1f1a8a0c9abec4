"""The bytes of a migration's file."""

from __future__ import annotations

from pathlib import Path

from async_migrations.errors import unreadable


class FileProblem(Exception):  # noqa: N818 - a sentence on its way to a DiscoveryError
    """Why one file is no migration."""


def read_file(path: Path) -> bytes:
    """Read a migration's file.

    Raises:
        FileProblem: it cannot be read; as an OSError that would pass for a lost connection.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileProblem(unreadable(path, error)) from error
