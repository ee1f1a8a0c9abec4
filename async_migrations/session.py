"""One working connection: its settings, the frame of a transaction, pooler or not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from async_migrations.retry import describe, is_confused
from async_migrations.rows import read_rows, unhurried
from async_migrations.sql import quote_identifier, quote_literal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

RELEASE_DEADLINE = 5.0
"""Seconds that a shielded rollback or close may take before the connection is cut."""

HELD_SETTINGS: Mapping[str, str] = {
    # So that the marks of a SQL file's message arrive.
    "client_min_messages": "notice",
    # A role's own timeouts are made for requests; ours are set for each migration.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # A node that vanished without a word is noticed after 5 + 3 * 2 seconds, not after two hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
}
OWN_KEEPALIVE = (
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 5),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 2),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 11_000),
)
"""The same for our own kernel, which notices a server that vanished; not every platform has all of them."""

CLIENT_CHECK = "SET client_connection_check_interval = '500ms'"
FACTS = """SELECT pg_backend_pid() AS pid, current_database() AS database, current_schema() AS schema,
 current_user AS role, current_setting('role') AS set_role, pg_is_in_recovery() AS standby,
 current_setting('default_transaction_read_only')::boolean AS read_only,
 current_setting('server_version_num')::integer AS version,
 current_setting('application_name') AS application_name,
 coalesce(current_setting('idle_session_timeout', true), '0') <> '0' AS impatient"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says of a session."""

    pid: int
    database: str
    schema: str | None
    role: str
    set_role: str
    standby: bool
    read_only: bool
    version: int
    application_name: str
    impatient: bool


class SessionLostError(Exception):
    """The connection is gone in the middle of work; the run connects again and asks the ledger."""


class TakenOverError(SessionLostError):
    """Another runner is at the migration now; the run begins again and waits for it."""


class Session:
    """A connection in AUTOCOMMIT, and what the engine says over it in the simple query protocol.

    The simple protocol sends many statements as one message, leaves no portal that would keep a snapshot, and
    needs no prepared statement, which behind a transaction pooler outlives its backend.

    Args:
        driver: asyncpg's connection.
        connection: SQLAlchemy's connection around it; None where no migration will ask for it.

    Attributes:
        answered: whether the server has, so that the connection was no dead one out of a pool.
    """

    def __init__(self, driver: Any, connection: AsyncConnection | None = None) -> None:
        self.driver = driver
        self._connection = connection
        self._held = False
        self.answered = False
        self.on_notice: Callable[[Any], None] | None = None
        self._replay = ""
        self._socket_before: list[tuple[int, int, int]] = []
        self._keep_alive()

    @property
    def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection, which migrations work with."""
        assert self._connection is not None  # noqa: S101 - a session of the bare driver only reads the ledger
        return self._connection

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return bool(self.driver.is_closed())

    @property
    def in_transaction(self) -> bool:
        """Whether the server's last word was "in a transaction"."""
        return not self.is_closed and bool(self.driver.is_in_transaction())

    async def send(self, script: str) -> str:
        """Run `script`, any number of statements, in one round trip; return the last command tag.

        The driver's command_timeout does not hold for it, nor for `read`.
        """
        try:
            tag = str(await self.driver.execute(script, timeout=unhurried(self.driver)))
        except Exception as error:
            raise self._judged(error) from error
        self.answered = True
        return tag

    async def read(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of `query`, values as JSON has them, in one round trip."""
        try:
            rows = await read_rows(self.driver, query)
        except Exception as error:
            raise self._judged(error) from error
        self.answered = True
        return rows

    async def transaction_id(self) -> str:
        """Ask for the id of the open transaction; `has_committed` takes it, on any session."""
        (row,) = await self.read("SELECT pg_current_xact_id()::text AS id")
        return str(row["id"])

    async def has_committed(self, transaction_id: str) -> bool:
        """Tell whether a transaction was committed, also one whose COMMIT got no answer."""
        (row,) = await self.read(f"SELECT pg_xact_status({quote_literal(transaction_id)}::xid8) AS status")
        return bool(row["status"] == "committed")

    def judge_closed(self, error: Exception) -> bool:
        """Tell whether `error` means that the connection is gone; one that lost count is cut."""
        if not self.is_closed and is_confused(error):
            self.cut()
        return self.is_closed

    def _judged(self, error: Exception) -> Exception:
        return SessionLostError(describe(error)) if self.judge_closed(error) else error

    async def facts(self) -> Facts:
        """Ask the server who we are and where."""
        (row,) = await self.read(FACTS)
        return Facts(**row)

    def is_pooled(self, facts: Facts) -> bool:
        """Tell whether something stands between us and the backend that answers.

        A pooler invents the pid of BackendKeyData; a direct connection is told the backend's own.
        """
        return bool(self.driver.get_server_pid() != facts.pid)

    async def outlast_idling(self, facts: Facts) -> None:
        """Have the server keep a direct session that waits, although its role's sessions end when they are idle."""
        if facts.impatient and not self.is_pooled(facts):
            await self.send("SET idle_session_timeout = 0")

    def hold(self) -> None:
        """Keep the connection out of its pool for good: it must not pass on our settings, our lock or leftovers."""
        self._held = True

    def unhold(self) -> None:
        """Let the connection go back to its pool after all: nothing was left on it."""
        self._held = False

    def listen(self) -> None:
        """Pass what the server says meanwhile to `on_notice`, for the rest of the session."""
        self.driver.add_log_listener(lambda _, notice: self.on_notice(notice) if self.on_notice else None)

    async def hear(self, channel: str, ring: Callable[..., None], *also: str) -> None:
        """Run `also` and listen, in one round trip, where the driver's own way takes two; it is told all the same."""
        await self.send("; ".join([*also, f"LISTEN {quote_identifier(channel)}"]))
        self.driver._listeners.setdefault(channel, set())  # noqa: SLF001 - or add_listener would send LISTEN itself
        await self.driver.add_listener(channel, ring)

    async def hush(self, channel: str, *also: str) -> None:
        """Run `also` and stop listening, in one round trip as well."""
        await self.send("; ".join([*also, f"UNLISTEN {quote_identifier(channel)}"]))
        self.driver._listeners.pop(channel, None)  # noqa: SLF001 - or a later add_listener would send no LISTEN

    async def settle(self, **also: str) -> None:
        """Give a direct session the settings of a lock holder and `also` (never through a pooler: they would leak)."""
        # Asked one by one: a look at pg_settings builds all of its four hundred rows, and takes twice as long.
        settings = {**HELD_SETTINGS, **also}.items()
        given = (
            f"CASE WHEN current_setting({quote_literal(name)}, true) IS NOT NULL "
            f"THEN set_config({quote_literal(name)}, {quote_literal(value)}, false) END"
            for name, value in settings
        )
        await self.send(f"SELECT {', '.join(given)}")
        with suppress(Exception):  # not every server's platform can watch its clients
            await self.send(CLIENT_CHECK)

    async def remember(self, facts: Facts) -> None:
        """Note the session's settings, so that a migration's own SET does not outlive it."""
        set_here = (
            "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'role' "
            "AND setting IS DISTINCT FROM reset_val"
        )
        # Whom the service's listener has made of us comes first: it takes the role back.
        whom = "SELECT 'session_authorization' AS name, session_user::text AS setting"
        rows = [] if self.is_pooled(facts) else [*await self.read(f"{whom} UNION ALL ({set_here})")]
        given = [(row["name"], row["setting"]) for row in rows]
        settings = [*given[:1], ("role", facts.set_role), *given[1:]]
        replay = ", ".join(f"set_config({quote_literal(k)}, {quote_literal(v)}, false)" for k, v in settings)
        self._replay = f"SELECT {replay}"

    @property
    def replay(self) -> str:
        """The statement that gives the session back its own settings, after a RESET; allowed inside a transaction."""
        return self._replay

    async def begin(self, *statements: str) -> str:
        """Open a transaction with `statements` in it, in one round trip; return the last command tag."""
        tag = await self._send_or_roll_back("; ".join([BEGIN, *statements]))
        self.adopt_transaction()
        return tag

    async def commit(self, *statements: str) -> None:
        """Run `statements` and COMMIT, in one round trip; on an error everything is rolled back."""
        await self._send_or_roll_back("; ".join([*statements, "COMMIT"]))
        self._mark(None)

    async def transact(self, message: str) -> None:
        """Send one message that begins and commits by itself; on an error everything is rolled back."""
        await self._send_or_roll_back(message)

    async def rollback(self) -> None:
        """Roll back what is open; if that cannot be confirmed, cut the connection."""
        if self.in_transaction:
            await self._roll_back()

    async def _send_or_roll_back(self, message: str) -> str:
        try:
            return await self.send(message)
        except BaseException:
            # Cancelled in the middle, the driver does not know yet whether the message's BEGIN has run.
            await self._roll_back()
            raise

    async def quiet(self) -> None:
        """Wait until what was cancelled has ended on the server; if that cannot be confirmed, cut the connection."""
        await self._confirm("SELECT 1")

    async def _roll_back(self) -> None:
        self._mark(None)
        # That there was nothing to roll back is no news to anybody.
        heard, self.on_notice = self.on_notice, None
        await self._confirm("ROLLBACK")
        self.on_notice = heard

    async def _confirm(self, word: str) -> None:
        with anyio.move_on_after(RELEASE_DEADLINE, shield=True) as scope:
            try:
                if not self.is_closed:
                    await self.send(word)
            except Exception:
                self.cut()
        if scope.cancelled_caught:
            self.cut()

    def adopt_transaction(self) -> None:
        """Tell asyncpg that a transaction is open.

        It hands out server-side cursors, and savepoints for its own `transaction()`, only when it knows of one; it
        offers no public way to say so for a BEGIN that it did not send itself.
        """
        self._mark(self.driver.transaction())

    def cut(self) -> None:
        """Close the socket without a word; the server rolls back and frees our locks."""
        self.driver.terminate()

    async def close(self) -> None:
        """Give the connection back, or close it if it was held; shielded, with a deadline."""
        with anyio.move_on_after(RELEASE_DEADLINE, shield=True) as scope:
            with suppress(Exception):
                if self._connection is None:
                    await self.driver.close()
                    return
                if self.is_closed:
                    await self._warn_pool()
                if self._held or self.is_closed or self.in_transaction:
                    await self._connection.invalidate()
                else:
                    self._keep_as_before()
                await self._connection.close()
        if scope.cancelled_caught:
            self.cut()

    async def _warn_pool(self) -> None:
        """Have SQLAlchemy meet the dead connection: its pool then renews all others that are as old.

        After a failover all of them are dead, and one by one each would cost a try.
        """
        with suppress(Exception):
            await self.connection.exec_driver_sql("SELECT 1")  # never sent

    @property
    def _socket(self) -> Any:
        transport = getattr(self.driver, "_transport", None)
        return transport.get_extra_info("socket") if transport else None

    def _keep_alive(self) -> None:
        connection = self._socket
        if connection is None or connection.family == getattr(socket, "AF_UNIX", None):
            return
        for layer, option, value in OWN_KEEPALIVE:
            # uvloop says ValueError where the connection has ended while it lay in its pool.
            with suppress(OSError, AttributeError, ValueError):
                place = getattr(socket, layer), getattr(socket, option)
                self._socket_before.append((*place, connection.getsockopt(*place)))
                connection.setsockopt(*place, value)

    def _keep_as_before(self) -> None:
        """Give the socket its own options back, before the connection goes back into its pool."""
        for option in self._socket_before:
            with suppress(OSError, ValueError):
                self._socket.setsockopt(*option)

    def _mark(self, transaction: Any) -> None:
        self.driver._top_xact = transaction  # noqa: SLF001 - see adopt_transaction


BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
UNLIMITED = (
    "SELECT set_config('transaction_timeout', '0', true) WHERE current_setting('transaction_timeout', true) <> '0'"
)
"""What lifts a role's limit on whole transactions, which PostgreSQL has since 17."""

KEEP_OPEN = f"SET LOCAL idle_in_transaction_session_timeout = 0; {UNLIMITED}"
"""What lets a transaction stay open that waits for something else, also through a pooler."""

UNCONFIRMED = "SET LOCAL synchronous_commit = local"
"""What has a COMMIT not wait for a standby: what the standby confirms later comes after it in the WAL."""

RESET = "RESET SESSION AUTHORIZATION; RESET ALL"
