"""The bench that all operations work at: the connection, the two ways to run, what is said and counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from sqlalchemy import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from async_migrations.errors import TransactionControlError
from async_migrations.events import Say
from async_migrations.online.wire import Wire
from async_migrations.retry import is_retryable, persist

PATIENCE, PAUSE, LONGEST_PAUSE = 120.0, 0.2, 5.0
"""Seconds for all tries of such a statement, and between two of them: the first pause, and no more than."""


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "as it is"


KEEP: Final = Keep.KEEP
"""Leave it as it is, where None means: take it away."""


class Bench:
    """What the rooms of `self.op` share; `Operations` puts the rooms together.

    Args:
        connection: the migration's connection, in AUTOCOMMIT.
        transactional: whether the engine holds a transaction open on it.
        say: logs (level, message) with the migration's name.
        lock_timeout: seconds that a statement outside a transaction waits for a table's lock, while later queries
            queue behind it, before it steps back and tries again; None for ever.
    """

    def __init__(
        self, connection: AsyncConnection, *, transactional: bool, say: Say, lock_timeout: float | None = 5.0
    ) -> None:
        self._wire = Wire(connection)
        self._lock_timeout = "0" if lock_timeout is None else f"{max(1, round(lock_timeout * 1000)):d}ms"
        self._transactional = transactional
        self._say = say
        self._counted: Counter[str] = Counter()

    @property
    def _again(self) -> bool:
        """Whether an earlier try may have done some of this."""
        return not self._transactional

    @property
    def statistics(self) -> dict[str, int]:
        """What was done here so far, in numbers: `tables_created`, `columns_added` and `indexes_created`.

        A migration that returns nothing is counted by them.
        """
        return dict(self._counted)

    @property
    def _dialect(self) -> Dialect:
        return self._wire.connection.dialect

    async def _run(self, *statements: str) -> None:
        """Run statements together: all of them, or none.

        Outside a transaction a lock that is not granted soon is asked for again later, so that the service's own
        queries do not queue behind the wait.
        """
        if self._transactional:
            for statement in statements:
                await self._wire.run(statement)
            return
        await self._refuse_transaction()
        if statements:
            await self._persist(self._together(*statements))

    async def _persist(self, message: str) -> None:
        await persist(
            lambda: self._wire.run(message),
            retry_on=is_retryable,
            on_retry=lambda _, attempt: self._say(logging.INFO, f"A lock was not granted in time; attempt {attempt}"),
            deadline=PATIENCE,
            pause=PAUSE,
            longest_pause=LONGEST_PAUSE,
        )

    def _together(self, *statements: str) -> str:
        """Write statements as one message, which the server runs in one transaction."""
        return ";\n".join([f"SET LOCAL lock_timeout = '{self._lock_timeout}'", *statements])

    async def _do(
        self, what: str, *statements: str, done: Callable[[], Awaitable[bool]] | None = None, count: str | None = None
    ) -> bool:
        """Run statements and say so; outside a transaction only if an earlier try has not done it.

        Args:
            what: the work as a noun, for the log.
            statements: SQL that is run together.
            done: looks whether it is done already; None if a second time does no harm.
            count: the statistic that it adds one to.

        Returns:
            Whether it was done now.
        """
        if done is not None and not self._transactional and await done():
            self._say(logging.INFO, f"✓ {what}: done already")
            return False
        await self._run(*statements)
        self._say(logging.INFO, f"✓ {what}")
        if count is not None:
            self._counted[count] += 1
        return True

    def _if_again(self, done: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]] | None:
        """Return a look that is worth something at a second try only: at the first what is missing is a mistake."""
        return done if self._again else None

    async def _refuse_transaction(self) -> None:
        if await self._wire.in_transaction():
            raise TransactionControlError(
                "self.op was called while a transaction of the migration's own is open on self.connection, in a "
                "migration with transactional = False. Leave the block that began it (commit, or roll back) before "
                "the call, or send SQL with self.execute."
            )
