"""The file of services that libpq has: a name there stands for the parameters of a connection."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from async_migrations.errors import ConfigurationError


def read_service(name: str) -> dict[str, str]:
    """Return the parameters of a service, as PGSERVICEFILE or ~/.pg_service.conf has them.

    Not left to asyncpg: it passes over a service that is not there, and takes a % in a password for a reference.

    Args:
        name: of the service.

    Raises:
        ConfigurationError: the file cannot be read, or has no such service. The sentence repeats no line of it.
    """
    path = Path(os.environ.get("PGSERVICEFILE") or Path("~/.pg_service.conf").expanduser())
    services = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), strict=False, default_section="", interpolation=None
    )
    asked = f"The database URL says service={name}, and"
    try:
        services.read_string(path.read_text(encoding="utf-8"))
    except configparser.ParsingError as error:
        raise ConfigurationError(
            f"{asked} {path} cannot be read: line {_line(error)} is neither [service] nor key=value. Correct it there."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{asked} {path} cannot be read: {error.strerror}. Make it, or name another file with PGSERVICEFILE."
        ) from None
    except ValueError:
        raise ConfigurationError(f"{asked} {path} is not UTF-8: save it as UTF-8.") from None
    if not services.has_section(name):
        raise ConfigurationError(
            f"{asked} {path} has no such service. There is {', '.join(services.sections()) or 'none'}."
        )
    said = {**services[name]}
    return said if "database" not in said else {"dbname": said.pop("database"), **said}


def _line(error: configparser.ParsingError) -> int:
    # A line before the first [service] is told in another way than the others.
    found: int = error.errors[0][0] if getattr(error, "errors", ()) else getattr(error, "lineno", 1)
    return found
