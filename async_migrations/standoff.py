"""A migration outside a transaction that waits for the engine's own books."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio

from async_migrations.errors import LedgerError
from async_migrations.ledger import Ledger
from async_migrations.session import RELEASE_DEADLINE, Session
from async_migrations.sql import quote_literal

LOOK = 0.5
"""Seconds between two looks."""

ANEW = "SELECT pg_stat_clear_snapshot()"
"""Within a transaction PostgreSQL shows one state of pg_stat_activity again and again."""

MAINTENANCE = re.compile(r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:VACUUM|REINDEX|CLUSTER|REPACK)\b")
"""What may have the ledger's table for a while, and leaves its rows as they are."""


@dataclass(slots=True)
class Standoff:
    """Ends what PostgreSQL sees no deadlock in: the migration waits for the books, which are only idle.

    VACUUM FULL, REINDEX SCHEMA and a new replication slot wait for every transaction, also for the one in which the
    books keep the migration's row locked. They are let pass: the lock is taken anew with the next record. Whatever
    else wants the ledger would take it away, and is cancelled.

    Args:
        books: the session that keeps the row locked.
        worker: the migration's session.
        ledger: the ledger.
        pooled: whether a pooler stands between, so that nobody knows the migration's backend.

    Attributes:
        at: what the migration has sent last; behind a pooler its backend is known by that.
        turn: is held by whoever speaks on the books' session.
    """

    books: Session
    worker: Session
    ledger: Ledger
    pooled: bool
    at: str = ""
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    _refused: LedgerError | None = None
    _pid: int = field(init=False)

    def __post_init__(self) -> None:
        self._pid = self.worker.driver.get_server_pid()

    @asynccontextmanager
    async def ended(self) -> AsyncIterator[None]:
        """Look again and again while the migration works.

        Raises:
            LedgerError: the migration wanted the ledger itself.
        """
        raised: BaseException | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            try:
                yield
            except BaseException as error:  # raised below, where the group does not wrap it
                raised = error
                await self._outlive()
            group.cancel_scope.cancel()
        if self._refused and isinstance(raised, Exception):
            raise self._refused from raised
        if raised:
            raise raised

    async def _watch(self) -> None:
        while True:
            await anyio.sleep(LOOK)
            # Whole or not at all: a word that is cancelled would end the books' transaction. If the books are lost,
            # the next record says so.
            with anyio.CancelScope(shield=True), suppress(Exception):
                async with self.turn:
                    await self._look()

    async def _look(self) -> None:
        await self.books.send(ANEW)
        rows = await self.books.read(
            "SELECT a.pid, a.query, EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid "
            f"AND l.relation = to_regclass({quote_literal(self.ledger.sql)})) AS wants_ledger "
            "FROM pg_stat_activity AS a WHERE a.wait_event_type = 'Lock' AND a.datname = current_database() "
            f"AND {self._is_worker} AND pg_backend_pid() = ANY (pg_blocking_pids(a.pid)) LIMIT 1"
        )
        for row in rows:
            if not row["wants_ledger"] or MAINTENANCE.match(row["query"]):
                await self.books.rollback()
            elif not self.pooled or (row["query"] and self.at.startswith(row["query"])):
                self._refused = LedgerError(
                    f"The migration wants a lock on the ledger {self.ledger.sql}, or on its rows: it drops, alters or "
                    "rewrites it. Its statement was cancelled. The ledger is the engine's alone; leave it out of the "
                    "migration."
                )
                await self.books.send(f"SELECT pg_cancel_backend({row['pid']})")

    async def _outlive(self) -> None:
        """Keep the row locked until the migration's last statement has ended: what waited for it would still run."""
        await self.worker.quiet()
        if self.pooled or not self.worker.is_closed:
            return
        ended = f"{ANEW}; SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS a WHERE {self._is_worker}"
        with anyio.move_on_after(RELEASE_DEADLINE, shield=True), suppress(Exception):
            async with self.turn:
                while await self.books.send(ended) != "SELECT 0":  # noqa: ASYNC110 - nothing tells us but the server
                    await anyio.sleep(0.05)

    @property
    def _is_worker(self) -> str:
        return "true" if self.pooled else f"a.pid = {self._pid}"
