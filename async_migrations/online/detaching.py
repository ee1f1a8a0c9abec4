"""Detaching a partition beside running queries, so that a second try finds its way."""

from __future__ import annotations

import hashlib
import logging

import anyio

from async_migrations.online import looks
from async_migrations.online.bench import LONGEST_PAUSE, PATIENCE, PAUSE
from async_migrations.online.relations import RelationBench
from async_migrations.retry import is_retryable, persist
from async_migrations.sql import quote_identifier

FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between two looks at whoever is waited for."""


class DetachingBench(RelationBench):
    """Detaches partitions concurrently."""

    async def _detach_concurrently(self, statement: str, child: str, parent: str) -> None:
        """Detach beside running queries, and leave no CHECK behind.

        PostgreSQL leaves one that says what the partition could hold, unless there is one already: so it is given one
        of a name that a second try finds.
        """
        await self._refuse_transaction()
        name = quote_identifier(check_name(child, parent))
        if await looks.parentage(self._wire, child, parent) == (True, False):
            if (bound := await looks.missing_bound(self._wire, child, name)) is not None:
                await self._run(f"ALTER TABLE {child} ADD CONSTRAINT {name} CHECK ({bound}) NOT VALID")
            await self._run(f"ALTER TABLE {child} VALIDATE CONSTRAINT {name}")
            await self._outlast(parent)
            await persist(
                lambda: self._begin(statement, child, parent),
                retry_on=is_retryable,
                on_retry=lambda _, attempt: self._say(
                    logging.INFO, f"A lock was not granted in time; attempt {attempt}"
                ),
                deadline=PATIENCE,
                pause=PAUSE,
                longest_pause=LONGEST_PAUSE,
            )
        if await looks.parentage(self._wire, child, parent) == (True, True):
            await self._outlast(parent, snapshots=True)
            await self._run(f"{statement} FINALIZE")
        if await looks.missing_bound(self._wire, child, name) is None:
            await self._run(f"ALTER TABLE {child} DROP CONSTRAINT IF EXISTS {name}")

    async def _begin(self, statement: str, child: str, parent: str) -> None:
        """Detach, or get as far as the half from which FINALIZE goes on.

        PostgreSQL waits for whoever has the parent open, for whom nobody queues, and then for the partition's ACCESS
        EXCLUSIVE lock, for which everybody does. `lock_timeout` would end either wait, and has no place here: SET
        stays behind on a pooled backend, and SET LOCAL needs a transaction, in which there is no CONCURRENTLY. So the
        statement is cancelled; that the first wait is short by now, `_outlast` has seen to.
        """
        if await looks.parentage(self._wire, child, parent) != (True, False):
            return
        whole = f"{statement} CONCURRENTLY"
        with anyio.move_on_after(int(self._lock_timeout.removesuffix("ms")) / 1000 or None) as scope:
            await self._wire.run(whole)
        if scope.cancelled_caught:
            from asyncpg import LockNotAvailableError

            error = LockNotAvailableError("canceled, since a lock was not granted in time")
            error.statement = whole  # type: ignore[attr-defined]  # as Wire.run has it
            raise error

    async def _outlast(self, parent: str, *, snapshots: bool = False) -> None:
        """Wait for the transactions that have the parent open now, idle, so that nobody queues behind the wait.

        FINALIZE waits for all old snapshots of the database while it keeps everybody from the partition; so
        `snapshots` are waited for before.
        """
        left, pause = await looks.openers(self._wire, parent, snapshots=snapshots), FIRST_LOOK
        if left:
            who = ", ".join(sorted({process for process, _ in left}))
            self._say(logging.INFO, f"Process {who} has {parent} open, or an old snapshot; waiting for it")
        while left:
            await anyio.sleep(pause)
            pause = min(2 * pause, LAST_LOOK)
            left &= await looks.openers(self._wire, parent, snapshots=snapshots)


def check_name(child: str, parent: str) -> str:
    """Return the name of the CHECK that says what a partition could hold, by the quoted names of both tables."""
    return f"partition_{hashlib.sha256(f'{parent} {child}'.encode()).hexdigest()[:16]}"
