"""A session that makes and drops databases, and the names and locks by which such databases are known."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from async_migrations.errors import masked
from async_migrations.retry import describe, sqlstate
from async_migrations.sql import quote_identifier
from async_migrations.testing.binaries import ServerError
from async_migrations.testing.given import DatabaseServer

if TYPE_CHECKING:
    import asyncpg

EMPTY = "template0"
NO_RIGHT = "42501"
STRATEGIES_SINCE = 150000
DEADLINE = 600.0
"""Seconds for one statement; another worker's template may be a long history."""

OWNER, BUILD, USE = 0x616D0001, 0x616D0002, 0x616D0003
"""The first halves of our advisory locks: an owner of databases, the building of a template, its use."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What kind of server it is.

    Attributes:
        version: as `server_version_num` says it.
        fsync: whether its commits wait for the disk.
        oid: the number of the database in which we administer; advisory locks of two databases never meet.
        role: as whom we make databases, and own them.
    """

    version: int
    fsync: bool
    oid: int
    role: str = ""

    @property
    def strategy(self) -> Mapping[str, str]:
        """The fastest way to copy a template: where the disk is not waited for, copying files."""
        if self.version < STRATEGIES_SINCE:
            return {}
        return {"strategy": "wal_log" if self.fsync else "file_copy"}


class Admin:
    """One session, opened when it is first needed and again when it was lost.

    Args:
        server: where.
    """

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._one_at_a_time = anyio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None
        self._nature: Nature | None = None
        self._held: list[tuple[int, int]] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Have the session for oneself.

        Raises:
            ServerError: there is none, or the server refused what was asked in it.
        """
        import asyncpg

        async with self._one_at_a_time:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._server.url())
                for first, second in self._held:
                    await self._connection.execute(f"SELECT pg_advisory_lock_shared({first}, {second})")
            try:
                yield self._connection
            except asyncpg.PostgresError as error:
                raise ServerError(_refused(error)) from error

    async def execute(self, statement: str) -> None:
        """Run one statement."""
        async with self.session() as connection:
            await connection.execute(statement, timeout=DEADLINE)

    async def hold(self, kind: int, name: str) -> None:
        """Share a lock for as long as the session lives."""
        lock = lock_of(kind, name)
        async with self.session() as connection:
            await connection.execute(f"SELECT pg_advisory_lock_shared{lock}", timeout=DEADLINE)
            self._held.append(lock)

    async def let_go(self, kind: int, name: str) -> None:
        """Give back a lock that is shared."""
        lock = lock_of(kind, name)
        async with self.session() as connection:
            self._held.remove(lock)
            await connection.execute(f"SELECT pg_advisory_unlock_shared{lock}", timeout=DEADLINE)

    async def nature(self) -> Nature:
        """Return what kind of server it is; asked once."""
        if self._nature is None:
            async with self.session() as connection:
                row = await connection.fetchrow(
                    "SELECT current_setting('server_version_num')::int AS version, "
                    "current_setting('fsync') = 'on' AS fsync, oid::bigint AS oid, current_user AS role "
                    "FROM pg_database WHERE datname = current_database()"
                )
            assert row is not None  # noqa: S101 - we are connected to it
            self._nature = Nature(**dict(row))
        return self._nature

    async def settle(self) -> None:
        """Wait until nobody works in the session."""
        async with self._one_at_a_time:
            return

    async def close(self) -> None:
        """Close the session, if there is one."""
        async with self._one_at_a_time:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()


@asynccontextmanager
async def locked(connection: asyncpg.Connection[Any], kind: int, name: str, *, wait: bool) -> AsyncIterator[bool]:
    """Have a lock alone; yield whether we have it.

    Args:
        connection: whose session takes it.
        kind: `OWNER`, `BUILD` or `USE`.
        name: of what.
        wait: whether to wait for whoever has it now.
    """
    lock = lock_of(kind, name)
    if wait:
        await connection.execute(f"SELECT pg_advisory_lock{lock}", timeout=DEADLINE)
    have = wait or bool(await connection.fetchval(f"SELECT pg_try_advisory_lock{lock}"))
    try:
        yield have
    finally:
        with anyio.CancelScope(shield=True):
            if have and not connection.is_closed():
                await connection.execute(f"SELECT pg_advisory_unlock{lock}", timeout=DEADLINE)


async def connect(url: str) -> asyncpg.Connection[Any]:
    """Connect as SQLAlchemy would, whatever the URL says of TLS and the like, with nothing of it in between.

    Args:
        url: of the database; holds a password.

    Raises:
        ServerError: there is no connection; neither the sentence nor a cause shows the password.
    """
    import asyncpg
    from sqlalchemy import make_url

    try:
        place = make_url(url)
        _, arguments = place.get_dialect()().create_connect_args(place)
        known = {key: value for key, value in arguments.items() if not key.startswith("prepared_")}
        connection: asyncpg.Connection[Any] = await asyncpg.connect(**known)
    except Exception as error:
        # Without the cause: pytest prints the arguments of its frames, and they are the credentials.
        raise ServerError(
            f"No connection to {masked(url)}: {describe(error)}. See that the server runs and can be reached from "
            "here, or correct the URL."
        ) from None
    return connection


def _refused(error: asyncpg.PostgresError) -> str:
    code = sqlstate(error)
    advice = " Give this role CREATEDB, or use one that has it." if code == NO_RIGHT else ""
    return f"The server of the tests refused us: {describe(error)} (SQLSTATE {code}).{advice}"


def lock_of(kind: int, name: str) -> tuple[int, int]:
    """Return the two halves of an advisory lock."""
    return kind, zlib.crc32(name.encode()) - (1 << 31)


def create_statement(name: str, options: Mapping[str, str]) -> str:
    """Write CREATE DATABASE.

    Args:
        name: of the new one.
        options: those of CREATE DATABASE, such as `owner`; a copy of the empty template by default.
    """
    written = {"template": EMPTY, **options}
    clauses = " ".join(f"{option} {quote_identifier(value)}" for option, value in written.items())
    return f"CREATE DATABASE {quote_identifier(name)} {clauses}"


def drop_statement(name: str) -> str:
    """Write DROP DATABASE, for whoever is connected to it."""
    return f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)"
