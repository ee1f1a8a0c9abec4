"""How long a comparison waits: none of its waits is without an end, whatever the server or the network does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import anyio

from async_migrations.connector import SHORTEST_TRY
from async_migrations.errors import SchemaError
from async_migrations.ledger.holders import look_at_holder
from async_migrations.retry import LOCK_NOT_AVAILABLE
from async_migrations.session import RELEASE_DEADLINE, Session
from async_migrations.sql import qualified

SELECT_LOCKED = """SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_locks AS l
 JOIN pg_catalog.pg_class AS c ON c.oid = l.relation JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 LEFT JOIN pg_catalog.pg_stat_activity AS a USING (pid) WHERE l.locktype = 'relation' AND l.granted
 AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'f') AND l.pid IS DISTINCT FROM pg_backend_pid()
 AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
 ORDER BY a.xact_start LIMIT 1"""


def set_lock_timeout(deadline: float) -> str:
    """Write the statement that ends a wait for a lock, for the open transaction; 0 would be no end at all."""
    return f"SET LOCAL lock_timeout = {int(max(deadline, SHORTEST_TRY) * 1000)}"


def answered(deadline: float) -> AbstractContextManager[anyio.CancelScope]:
    """Bound what is asked of the server: whoever stays silent, a TimeoutError ends it.

    It leaves the server time to end a wait for a lock by itself, which says more.

    Args:
        deadline: seconds that a wait for a lock may take.
    """
    return anyio.fail_after(max(deadline, SHORTEST_TRY) + RELEASE_DEADLINE)


async def roll_back(driver: Any, word: str = "ROLLBACK") -> None:
    """Roll back, also when cancelled; if that cannot be confirmed, cut the connection.

    Args:
        driver: asyncpg's connection.
        word: the statement or statements.
    """
    with anyio.move_on_after(RELEASE_DEADLINE, shield=True) as scope:
        if not driver.is_closed():
            await driver.execute(word)
    if scope.cancelled_caught:
        driver.terminate()


@asynccontextmanager
async def naming_who_locks(session: Session, deadline: float, outcome: str) -> AsyncIterator[None]:
    """Say which table could not be read for its lock, and who holds that.

    PostgreSQL opens a table to print its defaults and checks, and waits for whoever has locked it against everybody:
    a migration at work, a VACUUM FULL.

    Args:
        session: outside a transaction, when an error comes.
        deadline: seconds that were waited.
        outcome: what is true now, as a sentence.

    Raises:
        SchemaError: a lock was not to be had in time.
    """
    try:
        yield
    except Exception as error:
        # Not one further down: an error that has a sentence keeps it.
        if getattr(error, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        locked, advice = "A table", "Try again."
        with anyio.move_on_after(RELEASE_DEADLINE):  # a table of the catalog may be what is locked
            locked, advice = await _who_locks(session) or (locked, advice)
        raise SchemaError(
            f"{locked} is locked, and the schema could not be read for {deadline:g} s. {outcome} {advice}"
        ) from error


async def _who_locks(session: Session) -> tuple[str, str] | None:
    """Return the table that is locked, and who locks it and what ends that."""
    found = await session.read(SELECT_LOCKED)
    if not found:
        return None
    name = qualified(found[0]["schema"], found[0]["name"])
    busy = await look_at_holder(session, name)
    return f"The table {name}", f"{busy} Try again when that has ended, or {busy.ending}."
