"""A server that somebody else runs, and what every server of tests can say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from async_migrations.errors import ConfigurationError, masked

LIBPQ_MODE = re.compile(r"(?<![^&])sslmode=")
"""What PostgreSQL's own library calls the parameter that is `ssl` to asyncpg under SQLAlchemy, with the same values."""


class DatabaseServer(Protocol):
    """A server of which the databases can be named."""

    def url(self, database: str = ..., *, driver: str = "asyncpg") -> str:
        """Return the URL of a database, with the right to create others."""


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server that was there before us and stays.

    Args:
        given: the URL of a database on it, in which we may work as one who may create databases; holds a password.

    Raises:
        ConfigurationError: it is no URL of PostgreSQL. The sentence does not repeat it.
    """

    given: str = field(repr=False)

    def __post_init__(self) -> None:
        scheme = self.given.partition("://")[0].partition("+")[0]
        # A second @ is part of a password, which would be shown as a host.
        unescaped = self.given.partition("?")[0].count("@") > 1
        if scheme not in {"postgres", "postgresql"} or "://" not in self.given or unescaped:
            raise ConfigurationError(
                "async_migrations_url is no URL of a PostgreSQL server: it must look like "
                "postgresql://user:password@host:5432/database, with special characters of the password as %XX, or be "
                "$NAME for an environment variable."
            )

    def url(self, database: str | None = None, *, driver: str = "asyncpg") -> str:
        """Return the URL of a database on this server.

        Args:
            database: its name; None for the one that was given.
            driver: the driver for SQLAlchemy; empty for a plain `postgresql://` URL.
        """
        parts = urlsplit(self.given)
        path = parts.path if database is None else f"/{quote(database, safe='')}"
        scheme = "+".join(filter(None, ("postgresql", driver)))
        query = LIBPQ_MODE.sub("ssl=", parts.query) if driver == "asyncpg" else parts.query
        return urlunsplit(parts._replace(scheme=scheme, path=path or "/", query=query))


def without_password(url: str) -> str:
    """Return a URL as it may be printed."""
    return masked(url)
