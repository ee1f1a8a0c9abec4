"""The database's URL, in any of the usual spellings -> what SQLAlchemy and asyncpg take."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode

from async_migrations.connector import DriverConnector, where
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVER = "postgresql+asyncpg"
USUAL_PORT, LAST_PORT = 5432, 65535

URL_PARTS = re.compile(
    r"[\w+]+://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>\d*))?(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.ASCII | re.DOTALL,
)
"""What SQLAlchemy reads a URL with; a test compares the two."""

OF_URL = {"user": "user", "password": "password", "dbname": "database"}
"""Parameters of libpq that have a place of their own in the URL, where the password is hidden."""

OF_PLACE = frozenset({"host", "port"})
"""Parameters for what the URL's own place cannot hold: several hosts, a directory of sockets."""

OF_DSN = frozenset(
    {
        "gsslib",
        "krbsrvname",
        "passfile",
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

SESSIONS = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
"""What target_session_attrs can be."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

FILES = frozenset({"sslcert", "sslcrl", "sslkey", "sslrootcert"})
"""Parameters that name a file; asyncpg's error for a missing one looks like a database that is not there yet."""

OF_SERVER = frozenset({"application_name", "options"})
"""Parameters that go to the server as they are."""

SECONDS = {"connect_timeout": "timeout", "timeout": "timeout", "command_timeout": "command_timeout"}
"""Parameters that asyncpg wants as numbers."""

UNPREPARED = {"statement_cache_size": 0}
"""For asyncpg: behind a transaction pooler a prepared statement meets another session's of the same name."""

UNREADABLE = (
    "The database URL cannot be read; it must look like postgresql://user:password@host:5432/database, with special "
    "characters of the password as %XX."
)

UNESCAPED = (
    "The database URL has an @ where none can stand: in a user name, a password or a database's name write %40 for @, "
    "%2F for /, %3A for : and %3F for ?; between user name and password stands a colon."
)

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

KNOWN = OF_PLACE | OF_DSN | OF_SERVER | NEEDLESS | {*OF_URL, *SECONDS, "service", "ssl", "sslmode"}
"""Every parameter that is understood."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is.

    Attributes:
        host: its name or address; None if it is among `places`, or the driver's choice.
        port: None for the usual one.
        database: its name; None for the user's own.
        user: None for that of the process.
        password: None without.
        places: several hosts and ports, or a directory of sockets, as SQLAlchemy has them in a URL's query.
        connect_args: what else asyncpg is told; may hold a password.
        ignored: parameters of the URL that nobody here understands.
        passfile: the file of passwords that the URL names, if it does.
    """

    host: str | None = None
    port: int | None = None
    database: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    places: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    connect_args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ignored: tuple[str, ...] = ()
    passfile: str | None = None

    @property
    def url(self) -> URL:
        """The same for SQLAlchemy, without `connect_args`; its `repr` hides the password."""
        from sqlalchemy import URL

        return URL.create(DRIVER, self.user, self.password, self.host, self.port, self.database, self.places)

    @property
    def connector(self) -> DriverConnector:
        """The same for asyncpg alone, called as SQLAlchemy calls it."""
        hosts, ports = self._hosts()
        several = len(hosts) > 1
        said: dict[str, Any] = {
            "host": hosts if several else hosts[0],
            "port": [port or USUAL_PORT for port in ports] if several else ports[0],
            "database": self.database,
            "user": self.user,
            "password": self.password,
        }
        arguments = {key: value for key, value in said.items() if value}
        return DriverConnector(
            where(",".join(hosts), ports[0], self.database), {**arguments, **self.connect_args, **UNPREPARED}
        )

    def _hosts(self) -> tuple[list[str], list[int | None]]:
        """Return hosts and ports, as many; they are written `host=a,b&port=1,2` or `host=a:1&host=b:2`."""
        hosts = _listed(self.places.get("host")) or [self.host or ""]
        ports = _listed(self.places.get("port")) or [str(self.port or "")]
        if "port" not in self.places and "host" in self.places:
            parts = [(host, "", "") if "/" in host else host.partition(":") for host in hosts]
            hosts, ports = [part[0] for part in parts], [part[2] for part in parts]
        return hosts, [int(port) if port else None for port in ports] * (len(hosts) if len(ports) == 1 else 1)


def read_address(given: str) -> Address:
    """Read a URL as people have it: `postgres://`, `postgresql://`, with a driver of any library, with `sslmode`.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL database. The sentence does not repeat it.
    """
    parts = _parts(given)
    # PostgreSQL's own library takes a + as it is.
    listed = parse_qs((parts.pop("query") or "").replace("+", "%2B"))
    said = {key: unquote(value) for key, value in parts.items() if value}
    if service := listed.pop("service", None):
        from async_migrations.cli.service import read_service

        _complete(said, listed, read_service(service[-1]))
    query = {key: values[-1] for key, values in listed.items()}
    said |= {place: query[key] for key, place in OF_URL.items() if key in query}
    return Address(
        said.get("host") or said.get("ipv6"),
        _port(said["port"]) if "port" in said else None,
        said.get("database"),
        said.get("user"),
        said.get("password"),
        _places(listed),
        _connect_args(query),
        tuple(key for key in query if key not in KNOWN),
        query.get("passfile"),
    )


def written_out(given: str) -> str:
    """Return a URL without its service, and with what that says: for whoever hands it to a driver as it is."""
    query = parse_qs(_parts(given)["query"] or "")
    if "service" not in query:
        return given
    address = read_address(given)
    from async_migrations.cli.service import read_service

    rest = {key: value for key, value in read_service(query["service"][-1]).items() if key not in {*OF_URL, *OF_PLACE}}
    kept = {key: values for key, values in query.items() if key != "service" and key not in OF_URL}
    url = address.url.set(drivername="postgresql").update_query_dict({**rest, **kept})
    return url.render_as_string(hide_password=False)


def _complete(said: dict[str, str], listed: dict[str, list[str]], service: Mapping[str, str]) -> None:
    """Add what a service says and the URL does not."""
    # Several hosts and a directory of sockets have no place in the URL's own, and their ports go along.
    elsewhere = "host" in listed or ("host" not in said and {",", "/"} & {*service.get("host", "")})
    for key, value in service.items():
        place = OF_URL.get(key, key)
        if place in said or key in listed:
            continue
        if key in OF_URL or (key in OF_PLACE and not elsewhere and (key == "host" or value.isdecimal())):
            said[place] = value
        else:
            listed[key] = [value]


def _parts(given: str) -> dict[str, str | None]:
    scheme = given.partition(":")[0]
    if "://" not in given or scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ConfigurationError(
            f"The database URL begins with {scheme[:20]!r}; it must be postgresql://user@host:port/database."
            if "://" in given
            else "The database URL is no URL; it must look like postgresql://user@host:port/database."
        )
    if "\0" in unquote(given):
        raise ConfigurationError("The database URL holds a NUL character (%00), and nothing of a database's can.")
    place, query = _divided(given)
    found = URL_PARTS.fullmatch(place)
    # A part of an unescaped password would be read as host or database, and shown as such.
    if place.count("@") > 1 or (found and "@" in f"{found['ipv6']}{found['host']}{found['database']}"):
        raise ConfigurationError(UNESCAPED)
    if found is None:
        raise ConfigurationError(UNREADABLE)
    return {**found.groupdict(), **({"query": query} if query else {})}


def _divided(given: str) -> tuple[str, str]:
    """Divide a URL at its query; a ? before an @ belongs to a password, unless a parameter may hold that @."""
    place, _, query = given.partition("?")
    with_at = (each.partition("=") for each in query.split("&") if "@" in each)
    if all(key in KNOWN for key, _, _ in with_at):
        return place, query
    return given, ""


def _places(listed: Mapping[str, Sequence[str]]) -> dict[str, str | tuple[str, ...]]:
    places = {key: values for key, values in listed.items() if key in OF_PLACE}
    hosts, ports = (len(_listed(tuple(places.get(key, ())))) for key in ("host", "port"))
    for port in _listed(tuple(places.get("port", ()))):
        _port(port)
    if ports > 1 and hosts != ports:
        raise ConfigurationError(f"The database URL names {hosts} hosts and {ports} ports: give each host its port.")
    return {key: values[0] if len(values) == 1 else tuple(values) for key, values in places.items()}


def _port(text: str) -> int:
    digits = text.lstrip("0")
    if not digits.isdecimal() or len(digits) > len(str(LAST_PORT)) or int(digits) > LAST_PORT:
        raise ConfigurationError(f"The database URL says port=…, and a port is a number from 1 to {LAST_PORT}.")
    return int(digits)


def _listed(values: str | tuple[str, ...] | None) -> list[str]:
    together = (values,) if isinstance(values, str) else values or ()
    return [each for value in together for each in value.split(",")]


def _connect_args(query: Mapping[str, str]) -> dict[str, Any]:
    limits = {SECONDS[key]: _seconds(key, value) for key, value in query.items() if key in SECONDS}
    # To libpq 0 and what is below it is no limit.
    arguments: dict[str, Any] = {key: seconds for key, seconds in limits.items() if seconds > 0}
    if mode := query.get("ssl") or query.get("sslmode"):
        arguments["ssl"] = _ssl(mode)
    for key in FILES & query.keys():
        if not Path(query[key]).is_file():
            raise ConfigurationError(f"The database URL says {key}={query[key]}, and there is no such file.")
    if (wanted := query.get("target_session_attrs", "any")) not in SESSIONS:
        raise ConfigurationError(
            f"The database URL says target_session_attrs={wanted!r}, and it is one of {', '.join(SESSIONS)}."
        )
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
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise ConfigurationError(f"The database URL says {key}={value!r}: it must be a number of seconds.")
    return seconds
