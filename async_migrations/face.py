"""The faces that an author sees of the engine's own connection, and the guard that watches it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction
from sqlalchemy.util import await_only

from async_migrations.cursor import Cursors, changes_schema, forget_plans
from async_migrations.errors import AuthorError, TransactionControlError
from async_migrations.events import Say
from async_migrations.script import reads_stdin
from async_migrations.session import BEGIN, Session
from async_migrations.sql import lock_timeout_unless_set, timeout, transaction_control

WHISPER = 0.2
"""Seconds between two words that go before an author's statements."""


class MigrationEngine(AsyncEngine):
    """The face of the migration's own connection that looks like the service's engine.

    Code in the seed's style opens `self.engine.connect()` and commits. On an engine of its own that would
    deadlock against the migration's transaction; here `commit()` releases a savepoint, and nothing escapes.
    In a non-transactional migration the same calls are real transactions.
    """

    def __init__(
        self,
        session: Session,
        engine: AsyncEngine,
        say: Say,
        ledger: tuple[str, str],
        note: Callable[[str, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]],
        *,
        transactional: bool,
        lock_timeout: float | None = None,
    ) -> None:
        # Not AsyncEngine's own initialiser: an AsyncSession bound to this engine takes `sync_engine` and must
        # get the migration's connection, never a second one.
        self.sync_engine = session.connection.sync_connection  # type: ignore[assignment] # a Connection serves
        self._session = session
        self._real = engine
        # Of a transaction of the author's own; that of the engine has one already.
        own = f"{BEGIN}; {lock_timeout_unless_set(timeout(lock_timeout))}"
        self._opening = None if transactional else own
        self.say = say
        # What auto schema is told by it: schema and table of the ledger, and who knows whether its calls are awaited.
        self.ledger, self.note = ledger, note

    @property
    def _proxied(self) -> Any:  # url, dialect, pool and the like are the real engine's
        return self._real.sync_engine

    def connect(self) -> Any:
        """Hand out the connection inside a savepoint; what is not committed at the end is rolled back."""
        return _Connecting(self._session, self._real, self._opening)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Hand out the connection inside a savepoint that is released at the end of the block."""
        async with self.connect() as connection:
            yield connection
            await connection.commit()

    async def dispose(self, close: bool = True) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        """Do nothing: the pool is not the migration's."""

    async def raw_connection(self) -> Any:
        """Refuse: a connection beside the migration's own would deadlock against it.

        Raises:
            TransactionControlError: always.
        """
        raise TransactionControlError(
            "self.engine.raw_connection() would open a second connection, which deadlocks against the "
            "migration's transaction. Use (await self.connection.get_raw_connection()).driver_connection."
        )


class FaceConnection(AsyncConnection):
    """The migration's connection inside a savepoint of its own, or in a real transaction that `opening` begins."""

    def __init__(self, session: Session, engine: AsyncEngine, opening: str | None) -> None:
        super().__init__(engine, session.connection.sync_connection)
        self._session = session
        self._opening = opening
        self._savepoint: AsyncTransaction | None = None
        self._done = False

    async def open(self) -> None:
        """Begin the savepoint."""
        if self._opening is None:
            self._savepoint = await super().begin_nested()
        else:
            await self._session.send(self._opening)
            self._session.adopt_transaction()

    async def commit(self) -> None:
        """Keep what was done so far, for as long as the migration's own transaction does."""
        await self._end("commit")
        await self.open()

    async def rollback(self) -> None:
        """Take back what was done since the last commit."""
        await self._end("rollback")
        await self.open()

    def begin(self) -> Any:
        """Begin a savepoint inside this one."""
        return super().begin_nested()

    async def close(self) -> None:
        """Take back what was not committed; the connection itself stays open."""
        if not self._done:
            self._done = True
            await self._end("rollback")

    async def _end(self, how: str) -> None:
        if self._opening is None:
            if self._savepoint is not None and self._savepoint.is_active:
                await getattr(self._savepoint, how)()
        elif how == "commit":
            await self._session.commit()
        else:
            await self._session.rollback()


class _Connecting:
    """What `engine.connect()` returns: awaitable, and an async context manager."""

    def __init__(self, session: Session, engine: AsyncEngine, opening: str | None) -> None:
        self._connection = FaceConnection(session, engine, opening)

    def __await__(self) -> Generator[Any, Any, FaceConnection]:
        return self._open().__await__()

    async def _open(self) -> FaceConnection:
        await self._connection.open()
        return self._connection

    async def __aenter__(self) -> FaceConnection:
        return await self._open()

    async def __aexit__(self, *exc: object) -> None:
        if not self._connection._session.is_closed:  # noqa: SLF001 - one noun in two classes
            await self._connection.close()


class Guard:
    """Watches the working connection for what would break a migration's transaction, and notes what it runs.

    The connection is in AUTOCOMMIT and the engine's frame lies around it, so that SQLAlchemy's own commit and
    rollback do nothing. A commit without effect is harmless; a rollback without effect would be a lie, so the
    next statement, or the end of the migration, says so.
    """

    def __init__(self, session: Session, *, pooled: bool) -> None:
        connection = session.connection
        self._session, self._pooled = session, pooled
        self._whispered = -WHISPER
        self._whisper: str | None = None
        self._watching = False
        self._transactional = True
        self.broken: TransactionControlError | None = None
        self.statement: str | None = None
        self.cancelled = False
        self._cursors = Cursors(self._note_cancelled)
        # For the rest of the session, which no pool gets back: to listen anew for each migration takes longer.
        event.listen(connection.sync_connection, "before_cursor_execute", self._before)
        event.listen(connection.sync_connection, "rollback", self._rolled_back)
        event.listen(connection.sync_connection, "set_connection_execution_options", self._set_options)

    @contextmanager
    def watch(self, *, transactional: bool) -> Iterator[Self]:
        """Watch one migration."""
        self._watching, self._transactional = True, transactional
        self.broken = self.statement = self._whisper = None
        self.cancelled = False
        self._whispered = -WHISPER
        try:
            yield self
        finally:
            self._watching = False

    def check(self) -> None:
        """Raise what the author was not told yet."""
        if self.broken is not None:
            raise self.broken

    def whisper(self, setting: str) -> None:
        """Have the server told a setting just before the author's next statement, but not again within WHISPER.

        Args:
            setting: as SET takes it, such as `application_name = 'x'`. It ends with the transaction, or outside of
                one with the migration; through a pooler, where it would not, it is not told.
        """
        self._whisper = setting

    def _before(self, connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's signature
        if not self._watching:
            return
        self.check()
        self.statement = statement
        keyword = transaction_control(statement) if self._transactional else None
        if keyword:
            raise TransactionControlError(
                f"The migration runs {keyword}, which would end the engine's own transaction. Take it out: the engine "
                "begins and commits. For a part that may fail use `async with self.connection.begin_nested()`; for "
                "what cannot run in a transaction set transactional = False."
            )
        if reads_stdin(statement):
            raise AuthorError(
                "The migration runs COPY … FROM STDIN, which waits for data that nobody sends. Use "
                "copy_records_to_table of (await self.connection.get_raw_connection()).driver_connection."
            )
        if changes_schema(statement):
            forget_plans(connection.dialect)
        if self._whisper is not None and time.monotonic() - self._whispered >= WHISPER:
            setting, self._whisper, self._whispered = self._whisper, None, time.monotonic()
            await_only(self._tell(setting))
        if not many:
            self._cursors.choose(cursor, statement, parameters)

    async def _tell(self, setting: str) -> None:
        if not self._session.in_transaction and self._pooled:
            return
        # In a transaction that failed already the author's own statement says so; this one has nothing to add.
        with suppress(Exception):
            await self._session.send(f"SET {'LOCAL ' if self._session.in_transaction else ''}{setting}")

    def _set_options(self, _connection: Any, options: dict[str, Any]) -> None:
        level = options.get("isolation_level")
        if not self._watching or level is None or (level == "AUTOCOMMIT" and not self._transactional):
            return
        asks = f"The migration asks for isolation_level={level!r}"
        raise TransactionControlError(
            f"{asks}, and the engine has begun its transaction already. For what cannot run in a transaction, or needs "
            "one of its own, set transactional = False; then BEGIN as it shall be."
            if self._transactional
            else f"{asks} outside any transaction. Instead run BEGIN ISOLATION LEVEL {level}, and COMMIT."
        )

    def _note_cancelled(self) -> None:
        self.cancelled = True

    def _rolled_back(self, _c: Any) -> None:
        if not (self._watching and self._transactional):
            return
        self.broken = TransactionControlError(
            "The migration called rollback() on its own connection or on a session bound to it. That cannot be "
            "honoured: the ledger's row is in the same transaction. Use `async with self.engine.begin()` or "
            "`self.connection.begin_nested()` for a part that may fail, or raise to fail the migration as a whole."
        )
