"""The file of passwords that libpq has, looked at before the driver does, which says in its own words what is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

from async_migrations.errors import ConfigurationError

FIELDS = 5


def objection(named: str | None) -> str | None:
    """Say why the driver leaves the file out; None if it reads it, or there is none.

    Args:
        named: the file that the database URL names, if it does; else it is PGPASSFILE or ~/.pgpass.

    Raises:
        ConfigurationError: the driver cannot read a line of it.
    """
    asked = named or os.environ.get("PGPASSFILE")
    path = Path(asked or Path("~/.pgpass").expanduser())
    try:
        if not path.is_file():
            return None
        if os.name == "posix" and path.stat().st_mode & 0o077:
            return f"The password file {path} is left out, since others may read it: chmod 600 {path}"
        _check(path, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError(f"The password file {path} is not UTF-8: save it as UTF-8.") from None
    except OSError as error:
        # A home of another user's, as a container may have it, is nobody's mistake.
        return f"The password file {path} is left out: {error.strerror}" if asked else None
    return None


def _check(path: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        if len(re.split(r"(?<!\\):", plain.replace(r"\\", ""), maxsplit=FIELDS - 1)) < FIELDS:
            raise ConfigurationError(
                f"The password file {path} cannot be read: line {number} is not host:port:database:user:password. "
                "Correct it there."
            )
