"""Who is at a ledger: the holder of its lock, what it is at, and who waits; read in one look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import MISSING
from async_migrations.lock import Holder, LockKey, Progress
from async_migrations.retry import sqlstate
from async_migrations.session import Session
from async_migrations.sql import quote_literal

NO_RIGHT = "42501"
HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"


@dataclass(frozen=True, slots=True)
class Build:
    """The index that the holder builds, as the server sees it.

    Attributes:
        index: its name, once it has one.
        table: the table's.
        phase: what the server is doing, in its own words.
        progress: blocks, or entries, or sessions waited for: done and of how many.
        waits_for: pid of the session that the build waits for.
    """

    index: str | None
    table: str | None
    phase: str
    progress: Progress | None
    waits_for: int | None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A replica that waits: its session as far as this role may see it."""

    pid: int
    host: str
    client: str | None
    connected: datetime | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who is at a ledger at one moment.

    Attributes:
        ledger: changes whenever a row of the ledger does; None while there is no ledger.
        holder: who holds the lock, without its statement, which may hold data.
        connected: since when.
        since: since when it is at the migration that it is at.
        build: the index that it builds.
        waiters: who waits, longest first. Behind a pooler nobody can be seen waiting.
    """

    ledger: str | None
    holder: Holder | None = None
    connected: datetime | None = None
    since: datetime | None = None
    build: Build | None = None
    waiters: tuple[Waiter, ...] = ()


async def look(session: Session, ledger: Ledger, key: LockKey) -> Fleet:
    """Read it in one round trip and one statement, so that no snapshot outlives it."""
    prints = f"(SELECT md5(string_agg(row::text, '' ORDER BY row::text)) FROM {ledger.sql} AS row)"
    try:
        rows = await session.read(_query(key, f"coalesce({prints}, '')"))
    except Exception as error:
        if sqlstate(error) == NO_RIGHT:
            await ledger.read(session)  # which says whom to ask for it
        if sqlstate(error) not in MISSING:
            raise
        rows = await session.read(_query(key, "NULL"))
    return _fleet(rows[0], key)


def _query(key: LockKey, prints: str) -> str:
    number = key.number & 0xFFFF_FFFF_FFFF_FFFF
    lock = (
        f"l.locktype = 'advisory' AND l.granted AND l.database = {HERE} AND l.objsubid = 1 "
        f"AND l.classid::bigint = {number >> 32} AND l.objid::bigint = {number & 0xFFFF_FFFF}"
    )
    holder = (
        "SELECT l.pid, a.application_name, host(a.client_addr) AS client, a.backend_start, a.xact_start, "
        "p.phase, p.index_relid::regclass::text AS index, p.relid::regclass::text AS table, p.lockers_done, "
        "p.lockers_total, p.current_locker_pid, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total "
        "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid) "
        f"LEFT JOIN pg_stat_progress_create_index AS p USING (pid) WHERE {lock} LIMIT 1"
    )
    waiters = (
        "SELECT a.pid, a.application_name, host(a.client_addr) AS client, a.backend_start FROM pg_stat_activity AS a "
        f"WHERE a.datid = {HERE} AND starts_with(a.application_name, {quote_literal(key.waiting)}) "
        f"AND a.pid NOT IN (SELECT l.pid FROM pg_locks AS l WHERE {lock})"
    )
    return (
        f"SELECT {prints} AS ledger, (SELECT to_jsonb(h) FROM ({holder}) AS h) AS holder, "
        f"(SELECT jsonb_agg(w ORDER BY w.backend_start, w.pid) FROM ({waiters}) AS w) AS waiters"
    )


def _fleet(row: dict[str, Any], key: LockKey) -> Fleet:
    waiters = tuple(
        Waiter(
            each["pid"],
            each["application_name"].removeprefix(key.waiting).strip(),
            each["client"],
            _time(each["backend_start"]),
        )
        for each in row["waiters"] or ()
    )
    found = row["holder"]
    if found is None:
        return Fleet(row["ledger"], waiters=waiters)
    return Fleet(
        row["ledger"],
        Holder(found["pid"], found["application_name"], found["client"]),
        _time(found["backend_start"]),
        _time(found["xact_start"]),
        _build(found),
        waiters,
    )


def _build(found: dict[str, Any]) -> Build | None:
    if found["phase"] is None:
        return None
    index = found["index"] if found["index"] not in {None, "-", "0"} else None
    kinds = ("blocks", "tuples") if "wait" not in found["phase"] else ("lockers",)
    pairs = ((found[f"{kind}_done"], found[f"{kind}_total"]) for kind in kinds)
    progress = next(((float(done), float(total)) for done, total in pairs if total), None)
    return Build(index, found["table"], found["phase"], progress, found["current_locker_pid"] or None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
