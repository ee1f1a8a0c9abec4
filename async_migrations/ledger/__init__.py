"""The ledger: the table `schema_migrations`, read in one round trip, written in the migration's own frame."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio

from async_migrations.errors import ForeignLedgerError, LedgerError
from async_migrations.ledger.holders import LedgerBusyError, look_at_holder
from async_migrations.ledger.statements import MISSING, Statements
from async_migrations.migration import AppliedRow, MigrationFile
from async_migrations.retry import UNAVAILABLE, describe, is_cut_short, is_retryable, persist, sqlstate
from async_migrations.session import Facts, Session
from async_migrations.sql import quote_identifier, quote_literal, timeout

if TYPE_CHECKING:
    from async_migrations.events import Emit

CREATE = """CREATE TABLE {table} (
    id SERIAL PRIMARY KEY,
    migration_name VARCHAR(255) UNIQUE NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    description TEXT,
    execution_time_ms INTEGER"""

EXTENSION = {
    "checksum": "TEXT",  # of what the file means
    "raw_checksum": "TEXT",  # of its bytes
    "applied_by": "TEXT",  # user, host and process
    "run_id": "TEXT",  # the one run that claimed the row
    "dirty": "BOOLEAN NOT NULL DEFAULT FALSE",  # non-transactional, began, did not finish
    "steps": "JSONB",  # checksums of the finished steps of such a migration
    "statistics": "JSONB",
}
"""Our columns beside the seed's: all nullable or with defaults, so that a manual INSERT keeps working."""

FOREIGN = {
    frozenset({"version"}): "Rails, Ecto or dbmate",
    frozenset({"version", "inserted_at"}): "Ecto",
    frozenset({"version", "dirty"}): "golang-migrate",
    frozenset({"filename"}): "Sequel",
}
NEEDED = {
    "applied_at": "TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP",
    "description": "TEXT",
    "execution_time_ms": "INTEGER",
}
"""What every ledger has had from the first: a table without is somebody else's, and is not altered."""

TABLES = frozenset({"r", "p"})
"""The relkinds of a table, plain or partitioned."""

OF_ITS_OWN = 'Give this engine a table of its own: table="…" for MigrationRunner, --table for the command.'
"""What to do about a relation that cannot be a ledger."""

EXISTS_ALREADY = frozenset({"42P07", "42710", "23505", "42P06", "42701"})
"""What a lost race for CREATE says; IF NOT EXISTS does not prevent it."""

RACES = 3
"""How many such races one runner can lose: for the schema, for the table, for its columns."""

LOCK_TIMEOUT = "1s"
"""What a change waits for the table's lock at once: whoever else wants the ledger queues behind it."""


@dataclass(frozen=True, slots=True)
class Ledger(Statements):
    """One ledger.

    Args:
        table: its name.
        schema: its schema; None until the server has said which one it is.
    """

    async def read(self, session: Session) -> tuple[AppliedRow, ...]:
        """Read all rows, in the order in which they were applied; a table that is not there has none.

        Raises:
            ForeignLedgerError: the rows are another tool's.
            LedgerError: this role may not read them, or they are no migrations.
        """
        try:
            # Without rows there is one of NULLs, whose names tell another tool's table.
            rows = await session.read(f"SELECT l.* FROM (SELECT) AS one LEFT JOIN {self.sql} AS l ON TRUE")
        except Exception as error:
            if sqlstate(error) in MISSING:
                return ()
            if sqlstate(error) == "42501":
                raise LedgerError(
                    f"The ledger {self.sql} cannot be read: {describe(error)}. "
                    f"GRANT SELECT ON {self.sql} to this role, or use the role that migrates."
                ) from error
            raise
        _refuse_foreign(self.sql, rows[0].keys())
        found = [row for row in rows if row["migration_name"] is not None]
        if not all(isinstance(row["migration_name"], str) for row in found):
            raise LedgerError(f"{self.sql} is no ledger: its migration_name is no text. {OF_ITS_OWN}")
        return tuple(_row(each) for each in sorted(found, key=lambda row: row.get("id") or 0))

    async def has(
        self,
        session: Session,
        name: str,
        run_id: str | None = None,
        *,
        dirty: bool = False,
        patience: float | None = None,
    ) -> bool:
        """Tell whether the ledger says that this migration is applied.

        Args:
            session: any session.
            name: which.
            run_id: the run that must have applied it; None for any.
            dirty: whether to ask for a row that says instead that it began and did not finish.
            patience: seconds to wait for the table's lock, outside a transaction; None for as long as the session does.
        """
        wanted = f"SELECT 1 FROM {self.sql} WHERE migration_name = {quote_literal(name)} AND dirty = {dirty}"
        if run_id is not None:
            wanted += f" AND run_id = {quote_literal(run_id)}"
        limit = f"SET LOCAL lock_timeout = {timeout(patience)}; " if patience is not None else ""
        return await session.send(limit + wanted) == "SELECT 1"

    async def matches(self, session: Session, digest: str) -> bool:
        """Tell in one round trip whether the ledger holds exactly these files and no more, each applied as it is.

        Args:
            session: any session.
            digest: of the names and the raw checksums, as `digest_of` makes it.
        """
        listed = "string_agg(l.migration_name || ' ' || l.raw_checksum, E'\\n' ORDER BY l.migration_name COLLATE \"C\")"
        compared = (
            f"SELECT encode(sha256(convert_to({listed}, 'UTF8')), 'hex') = {quote_literal(digest)} "
            "AND count(*) = count(l.raw_checksum) AND NOT bool_or(l.dirty) AS same "
            # A name that the ledger does not have means the other table's: no error in the server's log at each start.
            "FROM (SELECT NULL::text AS raw_checksum, FALSE AS dirty) AS lacking "
            f"CROSS JOIN LATERAL (SELECT migration_name, raw_checksum, dirty FROM {self.sql}) AS l"
        )
        try:
            # The tag says it: rows would have to come through COPY.
            return await session.send(f"SELECT 1 FROM ({compared}) AS compared WHERE same") == "SELECT 1"
        except Exception as error:
            if sqlstate(error) is None or sqlstate(error) in UNAVAILABLE or is_cut_short(error):
                raise
            return False  # no table, another tool's, or an older one: reading it says which

    async def exists(self, session: Session) -> bool:
        """Tell whether there is anything of the ledger's name."""
        wanted = f"SELECT 1 WHERE to_regclass({quote_literal(self.sql)}) IS NOT NULL"
        return await session.send(wanted) == "SELECT 1"

    async def resolve(self, session: Session, facts: Facts) -> Ledger:
        """Return the same ledger with its schema known, so that no later search_path can move it.

        Raises:
            LedgerError: the search path has no schema to put it in.
        """
        if self.schema is not None:
            return self
        found = await session.read(
            f"SELECT relnamespace::regnamespace::text AS quoted, n.nspname AS schema FROM pg_class AS c "
            f"JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({quote_literal(self.sql)})"
        )
        schema = found[0]["schema"] if found else facts.schema
        if schema is None:
            raise LedgerError(
                f"The search path of {facts.role} names no schema that exists, so there is no place for the "
                f'ledger. Pass schema="…" to MigrationRunner, or ALTER ROLE {quote_identifier(facts.role)} '
                "SET search_path."
            )
        return Ledger(self.table, schema)

    async def ensure(self, session: Session, facts: Facts, emit: Emit, *, deadline: float) -> None:
        """Create the table, or give an older one the columns that it lacks. Call it under the lock.

        Args:
            session: holds the lock.
            facts: what the server says of it.
            emit: is told what is done, and whom it waits for.
            deadline: seconds to try for, while something else has the table's lock: a backup, say.

        Raises:
            ForeignLedgerError: the table belongs to another tool.
            LedgerError: no right to create or to extend it, it is no table or lacks what every ledger has, its name
                column is not unique, or its lock was not to be had by the deadline.
        """
        from async_migrations.events import LedgerAwaited

        started = anyio.current_time()

        def again(error: Exception, _attempt: int) -> None:
            emit(LedgerAwaited(self.table, str(error), anyio.current_time() - started))

        try:
            await persist(
                lambda: self._ensure(session, facts, emit),
                retry_on=lambda error: isinstance(error, LedgerBusyError),
                on_retry=again,
                deadline=deadline,
                pause=0.1,
                longest_pause=5.0,
            )
        except LedgerBusyError as error:
            raise LedgerError(
                f"The ledger {self.sql} is not ready, and in {anyio.current_time() - started:.0f} s its table's lock "
                f"was not to be had. {error} Nothing was applied. Start again when that has ended (a backup reads "
                f"every table), {error.ending}, or raise retry_deadline."
            ) from error

    async def _ensure(self, session: Session, facts: Facts, emit: Emit) -> None:
        for lost in range(RACES + 1):
            try:
                await self._make(session, facts, emit)
            except Exception as error:
                # Another runner was quicker, perhaps with another ledger: then only the schema is there.
                if sqlstate(error) not in EXISTS_ALREADY or lost == RACES:
                    raise
            else:
                return

    async def _make(self, session: Session, facts: Facts, emit: Emit) -> None:
        from async_migrations.events import LedgerCreated, LedgerExtended, LedgerMissing

        shape = await self._shape(session)
        if not shape:
            emit(LedgerMissing(self.table))
            await self._change(session, facts, await self._creation(session))
            emit(LedgerCreated(self.table))
            return
        lacking = self._lacking(shape)
        if lacking:
            added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column} {EXTENSION[column]}" for column in lacking)
            await self._change(session, facts, f"ALTER TABLE {self.sql} {added}")
            emit(LedgerExtended(self.table, lacking))

    def _lacking(self, shape: Mapping[str, bool]) -> tuple[str, ...]:
        _refuse_foreign(self.sql, shape)
        needed = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in NEEDED.items() if name not in shape)
        if needed:
            raise LedgerError(
                f"{self.sql} lacks columns that every ledger has. Nothing was applied. If it is a ledger: ALTER TABLE "
                f"{self.sql} {needed}; If it is not: {OF_ITS_OWN[0].lower()}{OF_ITS_OWN[1:]}"
            )
        if not shape["migration_name"]:
            raise LedgerError(
                f"The ledger {self.sql} has no unique index on migration_name, so that two replicas could both "
                f"apply a migration. Nothing was applied. First: ALTER TABLE {self.sql} ADD UNIQUE (migration_name);"
            )
        return tuple(column for column in EXTENSION if column not in shape)

    async def _creation(self, session: Session) -> str:
        wanted = quote_literal(self.schema)
        known = await session.read(f"SELECT 1 AS found FROM pg_namespace WHERE nspname = {wanted}")
        # IF NOT EXISTS asks for the right to create schemas even where there is nothing to create.
        schema = "" if known else f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(self.schema or '')}; "
        columns = "".join(f",\n    {name} {kind}" for name, kind in EXTENSION.items())
        return schema + CREATE.format(table=self.sql) + columns + "\n)"

    async def _shape(self, session: Session) -> dict[str, bool]:
        """Return the columns of the table, and of each whether a unique index holds it alone."""
        rows = await session.read(
            "SELECT a.attname AS name, EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid "
            "AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 "
            "AND i.indkey[0] = a.attnum) AS unique, c.relkind AS kind "
            "FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
            f"WHERE a.attrelid = to_regclass({quote_literal(self.sql)}) AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum"
        )
        if rows and rows[0]["kind"] not in TABLES:
            raise LedgerError(f"{self.sql} is no table, as a ledger has to be. Nothing was applied. {OF_ITS_OWN}")
        return {row["name"]: row["unique"] for row in rows}

    async def _change(self, session: Session, facts: Facts, script: str) -> None:
        try:
            await session.begin(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'", script)
            await session.commit()
        except Exception as error:
            code = sqlstate(error)
            if is_retryable(error):
                raise await look_at_holder(session, self.sql) from error
            if code == "25006":
                raise self.unwritten(error) from error
            if code == "42501":
                raise LedgerError(
                    f"The ledger {self.sql} is not ready and {facts.role} cannot make it so: {describe(error)} "
                    f"(SQLSTATE {code}). Nothing was applied. {await self._permission(session, facts, script)}"
                ) from error
            raise

    async def _permission(self, session: Session, facts: Facts, script: str) -> str:
        """Say what lets a change be made that this role may not make: only its owner alters a table."""
        owners = await session.read(
            f"SELECT relowner::regrole::text AS owner FROM pg_class WHERE oid = to_regclass({quote_literal(self.sql)})"
        )
        if owners:
            return f"It belongs to the role {owners[0]['owner']}: let that one run {script}; or migrate."
        return (
            f"GRANT USAGE, CREATE ON SCHEMA {quote_identifier(self.schema or 'public')} TO "
            f"{quote_identifier(facts.role)}; or let the role that owns the schema migrate."
        )


def digest_of(files: Iterable[MigrationFile]) -> str:
    """Hash names and raw checksums, in the byte order of the names, as `Ledger.matches` has the server do."""
    listed = sorted((file.name.encode(), file.raw_checksum) for file in files)
    return hashlib.sha256(b"\n".join(name + b" " + checksum.encode() for name, checksum in listed)).hexdigest()


def _refuse_foreign(table: str, columns: Any) -> None:
    names = list(columns)
    if "migration_name" not in names:
        owner = FOREIGN.get(frozenset(names), "another tool")
        raise ForeignLedgerError(table, owner, names)


def _row(row: Mapping[str, Any]) -> AppliedRow:
    steps: Sequence[str] = row.get("steps") or ()
    return AppliedRow(
        name=row["migration_name"],
        applied_at=_moment(row.get("applied_at")),
        description=row.get("description"),
        execution_time_ms=row.get("execution_time_ms"),
        checksum=row.get("checksum"),
        raw_checksum=row.get("raw_checksum"),
        applied_by=row.get("applied_by"),
        run_id=row.get("run_id"),
        dirty=bool(row.get("dirty")),
        steps=tuple(steps),
        statistics=row.get("statistics") or {},
    )


def _moment(said: str | None) -> datetime | None:
    """Return a time of the server's; None for what Python has no time for: infinity, a year BC or behind 9999."""
    if not said:
        return None
    try:
        moment = datetime.fromisoformat(said)
        moment.astimezone(UTC)  # as whoever shows it will: at either end of Python's years it may have no such time
    except (ValueError, OverflowError):
        return None
    return moment
