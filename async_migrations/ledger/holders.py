"""Who stands in the way of a look at the ledger's table, or of a change of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from async_migrations.errors import LedgerError
from async_migrations.retry import is_cut_short
from async_migrations.session import Session
from async_migrations.sql import quote_literal

FIRST_LOOK = 5.0
"""Seconds after which a look at the ledger is begun anew; each later one may take twice as long."""

PAUSE = 0.1
"""Seconds after which a look is begun anew that the role's own limit on statements or on locks has ended."""

T = TypeVar("T")


class LedgerBusyError(Exception):
    """The table's lock is not to be had now; the change is tried again.

    Args:
        holder: a sentence about who has it.
        ending: what would end that, for a sentence.
        is_held: whether anybody has it, as far as this role may see.
    """

    def __init__(self, holder: str, ending: str, *, is_held: bool = True) -> None:
        super().__init__(holder)
        self.ending = ending
        self.is_held = is_held


async def look_at_holder(session: Session, table: str) -> LedgerBusyError:
    """Find out who has had a lock on a table for longest, as far as this role may see.

    Args:
        session: one outside a transaction.
        table: its quoted name.
    """
    rows = await session.read(
        "SELECT l.pid, a.application_name AS name, a.state, "
        "extract(epoch FROM clock_timestamp() - a.xact_start)::float AS seconds "
        "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'relation' AND l.granted "
        f"AND l.relation = to_regclass({quote_literal(table)}) AND l.pid IS DISTINCT FROM pg_backend_pid() "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "ORDER BY a.xact_start LIMIT 1"
    )
    if not rows:
        return LedgerBusyError("Nobody holds it at this moment.", "see who does in pg_locks", is_held=False)
    pid, name, state, seconds = rows[0].values()
    if pid is None:  # a transaction that was prepared has no session
        return LedgerBusyError("It is held by a prepared transaction.", "see pg_prepared_xacts, and end it")
    since = f" for {seconds:.0f} s" if seconds is not None else ""
    return LedgerBusyError(
        f"It is held by pid {pid} ({name or 'no application_name'}), {state or 'state unknown'}{since}.",
        f"end it with SELECT pg_terminate_backend({pid})",
    )


async def patiently(
    session: Session,
    table: str,
    look: Callable[[], Awaitable[T]],
    awaited: Callable[[str, float], None],
    *,
    deadline: float,
) -> T:
    """Await a look at the ledger, also while another session has locked its table: a wait has an end and a face.

    A role's own timeouts are made for requests: a look that one of them ends is begun anew.

    Args:
        session: on which `look` looks.
        table: the ledger's quoted name.
        look: reads the table.
        awaited: is told who holds its lock, and the seconds that were waited.
        deadline: seconds to wait at most.

    Raises:
        LedgerError: the table was locked until the deadline, or nobody answered.
    """
    started, limit = anyio.current_time(), FIRST_LOOK
    while True:
        left = deadline - (anyio.current_time() - started)
        with anyio.move_on_after(min(limit, max(left, 1.0))):
            return await _whole(look)
        busy, waited = await look_at_holder(session, table), anyio.current_time() - started
        silent = f"Nobody holds it, and there was no answer in {waited:.0f} s."
        awaited(str(busy) if busy.is_held else silent, waited)
        if waited >= deadline:
            why = (
                f"another session has locked its table. {busy} Start again when that has ended, or {busy.ending}."
                if busy.is_held
                else "nobody has locked its table, and there was no answer. See how busy the server and the network to "
                "it are, and start again, or wait longer."
            )
            raise LedgerError(f"The ledger {table} could not be read for {waited:.0f} s: {why}")
        limit *= 2


async def _whole(look: Callable[[], Awaitable[T]]) -> T:
    """Await `look`, begun anew as often as a limit on statements or on locks ends it."""
    while True:
        try:
            return await look()
        except Exception as error:
            if not is_cut_short(error):
                raise
        await anyio.sleep(PAUSE)
