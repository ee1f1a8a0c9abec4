"""The database's URL, in any of the usual spellings -> what SQLAlchemy and asyncpg take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from async_migrations.errors import ConfigurationError

DRIVER = "postgresql+asyncpg"

OF_URL = {"user": "username", "password": "password", "dbname": "database"}
"""Parameters of libpq that SQLAlchemy has in the URL's own places, where it hides the password."""

OF_SQLALCHEMY = frozenset({"host", "port"})
"""Parameters that SQLAlchemy reads by itself: several hosts, a directory of sockets."""

OF_DSN = frozenset(
    {
        "gsslib",
        "krbsrvname",
        "passfile",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
    }
)
"""Parameters of libpq that asyncpg understands in a DSN only."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

FILES = frozenset({"sslcert", "sslcrl", "sslkey", "sslrootcert"})
"""Parameters that name a file; asyncpg's error for a missing one looks like a database that is not there yet."""

OF_SERVER = frozenset({"application_name", "options"})
"""Parameters that go to the server as they are."""

SECONDS = {"connect_timeout": "timeout", "timeout": "timeout", "command_timeout": "command_timeout"}
"""Parameters that asyncpg wants as numbers."""

NEEDLESS = frozenset(
    {
        "channel_binding",
        "client_encoding",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "max_cached_statement_lifetime",
        "pgbouncer",
        "prepared_statement_cache_size",
        "prepared_statement_name_func",
        "sslcompression",
        "statement_cache_size",
        "tcp_user_timeout",
    }
)
"""Parameters that change nothing here: the engine has its own keepalives and prepares no statement."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is.

    Attributes:
        url: for SQLAlchemy; its `repr` hides the password.
        connect_args: what else asyncpg is told; may hold a password.
        ignored: parameters of the URL that nobody here understands.
    """

    url: URL
    connect_args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ignored: tuple[str, ...] = ()


def read_address(given: str) -> Address:
    """Read a URL as people have it: `postgres://`, `postgresql://`, with a driver of any library, with `sslmode`.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL database. The sentence does not repeat it.
    """
    url = _parsed(given)
    query = {key: values[-1] if isinstance(values, tuple) else values for key, values in url.query.items()}
    kept = {key: value for key, value in url.query.items() if key in OF_SQLALCHEMY}
    places = {OF_URL[key]: value for key, value in query.items() if key in OF_URL}
    known = OF_SQLALCHEMY | OF_DSN | OF_SERVER | NEEDLESS | {*OF_URL, *SECONDS, "ssl", "sslmode"}
    return Address(
        url.set(drivername=DRIVER, query=kept, **places),  # type: ignore[arg-type] # the keys are OF_URL's
        _connect_args(query),
        tuple(key for key in query if key not in known),
    )


def _parsed(given: str) -> URL:
    scheme = given.partition(":")[0]
    if "://" not in given or scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ConfigurationError(
            f"The database URL begins with {scheme[:20]!r}; it must be postgresql://user@host:port/database."
            if "://" in given
            else "The database URL is no URL; it must look like postgresql://user@host:port/database."
        )
    # A part of an unescaped password would be read as host or database, and shown as such.
    if given.partition("?")[0].count("@") > 1:
        raise ConfigurationError(
            "The database URL has more than one @: in a user name or password write %40 for @, %2F for /, %3A for :."
        )
    try:
        return make_url(given)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read; it must look like postgresql://user:password@host:5432/database, with "
            "special characters of the password as %XX."
        ) from None


def _connect_args(query: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        SECONDS[key]: _seconds(key, value) for key, value in query.items() if key in SECONDS and value != "0"
    }
    if mode := query.get("ssl") or query.get("sslmode"):
        arguments["ssl"] = _ssl(mode)
    for key in FILES & query.keys():
        if not Path(query[key]).is_file():
            raise ConfigurationError(f"The database URL says {key}={query[key]}, and there is no such file.")
    if dsn := {key: value for key, value in query.items() if key in OF_DSN}:
        arguments["dsn"] = f"postgresql://?{urlencode(dsn)}"
    if server := {key: value for key, value in query.items() if key in OF_SERVER}:
        arguments["server_settings"] = server
    return arguments


def _ssl(mode: str) -> str:
    known = {"true": "require", "false": "disable"}.get(mode.lower(), mode)
    if known not in SSL_MODES:
        raise ConfigurationError(f"The database URL says {mode!r}, and SSL is one of {', '.join(SSL_MODES)}.")
    return known


def _seconds(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"The database URL says {key}={value!r}: it must be a number of seconds.") from None
