"""What the engine says to the ledger: statements, written and not sent."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from async_migrations.errors import LedgerError
from async_migrations.retry import causes, describe, sqlstate
from async_migrations.sql import qualified, quote_literal

CLAIM, INSERT, COMPLETE, RESTORE = (f"async_migrations_{what}" for what in ("claim", "insert", "complete", "restore"))
"""What the prepared statements of a session are called."""

LOST = "async_migrations: the row is lost: "
"""What the completion of a claim that is not ours fails with."""

MISSING = frozenset({"42P01", "3F000"})
"""undefined_table, invalid_schema_name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the ledger is told when a migration begins."""

    name: str
    description: str
    checksum: str
    raw_checksum: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements about one ledger, in the order of a row's life.

    Args:
        table: its name.
        schema: its schema; None until the server has said which one it is.
    """

    table: str
    schema: str | None = None

    @property
    def sql(self) -> str:
        """The quoted name."""
        return qualified(self.schema, self.table)

    def claim(self, claim: Claim, returning: str, *, fence: bool = True, prepared: bool = False) -> str:
        """Return the statement that claims a row: the tag is INSERT 0 1 for the one runner that got it.

        A second runner blocks here on the unique index until the first commits or rolls back. Without `fence`
        the loser is told by a unique violation, which stops the message that the statement is part of.

        Args:
            claim: what the row says.
            returning: expressions that are evaluated once the row is there.
            fence: whether the loser is told by the tag.
            prepared: whether the session has run `prepare` with the same `returning`, which saves the server the
                parsing and planning.
        """
        values = self._values(claim)
        if prepared:
            return f"EXECUTE {CLAIM if fence else INSERT} ({', '.join(values.values())})"
        return self._claim(values, returning, fence=fence)

    def complete(
        self, name: str, duration_ms: int | None, statistics: Mapping[str, Any], *, prepared: bool = False
    ) -> str:
        """Return the statement that completes the claim of this very transaction, and fails if it is not ours.

        A row that the transaction itself wrote has its xid as xmin; after a COMMIT of the author's own it does
        not, and an impossible cast stops the message before the real COMMIT. Without `duration_ms` the server
        measures from BEGIN. `prepared` is as in `claim`.
        """
        values = quote_literal(name), quote_literal(duration_ms), quote_literal(json.dumps(dict(statistics)))
        if prepared:
            return f"EXECUTE {COMPLETE} ({', '.join(values)})"
        name_, duration, counted = values
        return self._complete(name_, f"{duration}::integer", f"{counted}::jsonb")

    def prepare(self, returning: str) -> tuple[str, ...]:
        """Return the statements that prepare `claim` and `complete` for a session."""
        columns = self._values(Claim("", "", "", "", ""))
        values = dict(zip(columns, (f"${number}" for number, _ in enumerate(columns, 1)), strict=True))
        types = ", ".join(["text"] * len(columns))
        return (
            f"PREPARE {CLAIM} ({types}) AS {self._claim(values, returning, fence=True)}",
            f"PREPARE {INSERT} ({types}) AS {self._claim(values, returning, fence=False)}",
            f"PREPARE {COMPLETE} (text, integer, jsonb) AS {self._complete('$1', '$2', '$3')}",
        )

    def is_deallocated(self, error: Exception) -> bool:
        """Tell whether `error` says that the session lost what `prepare` gave it: a migration ran DEALLOCATE ALL."""
        ours = (CLAIM, INSERT, COMPLETE, RESTORE)
        return sqlstate(error) == "26000" and any(f'"{name}"' in describe(error) for name in ours)

    def _claim(self, values: Mapping[str, str], returning: str, *, fence: bool) -> str:
        alias = self._alias
        conflict = f"ON CONFLICT (migration_name) DO UPDATE SET {_assign(values)} WHERE {alias}.dirty " if fence else ""
        return f"INSERT INTO {self.sql} AS {alias} {_insert(values)} {conflict}RETURNING {returning}"

    def _complete(self, name: str, duration: str, statistics: str) -> str:
        measured = "(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000)::integer"
        values = {"execution_time_ms": f"coalesce({duration}, {measured})", "statistics": statistics}
        return self._finish(name, values, "xmin = pg_current_xact_id()::xid")

    def begin_steps(self, claim: Claim) -> str:
        """Return the statements that record that a non-transactional migration began."""
        values = {**self._values(claim), "dirty": "TRUE", "applied_at": "NULL"}
        return f"INSERT INTO {self.sql} {_insert(values)} ON CONFLICT (migration_name) DO NOTHING"

    def fence(self, name: str) -> str:
        """Return the statement that locks the row of a migration that began: SELECT 1 for one runner only.

        SKIP LOCKED, since a runner that waits inside a statement holds a snapshot, and the other's concurrent
        index build would wait for it for ever.
        """
        return f"SELECT 1 FROM {self.sql} WHERE migration_name = {quote_literal(name)} AND dirty FOR UPDATE SKIP LOCKED"

    def add_steps(self, name: str, steps: Sequence[str]) -> str:
        """Return the statement that records finished steps."""
        added = quote_literal(json.dumps(list(steps)))
        return (
            f"UPDATE {self.sql} SET steps = coalesce(steps, '[]') || {added}::jsonb "
            f"WHERE migration_name = {quote_literal(name)} AND dirty"
        )

    def complete_steps(self, claim: Claim, duration_ms: int, statistics: Mapping[str, Any]) -> str:
        """Return the statement that ends a non-transactional migration, in the name of who ends it."""
        counted = f"{quote_literal(json.dumps(dict(statistics)))}::jsonb"
        values = {**self._said(claim), "execution_time_ms": str(duration_ms), "statistics": counted}
        return self._finish(quote_literal(claim.name), values, "dirty")

    def release(self, name: str, returning: str = "1") -> str:
        """Return the statement that takes a row away: DELETE 1 for the one runner that got it."""
        return f"DELETE FROM {self.sql} WHERE migration_name = {quote_literal(name)} RETURNING {returning}"

    def soil(self, name: str) -> str:
        """Return the statement that marks a row as begun again, without steps; who is at it keeps its row."""
        free = f"SELECT id FROM {self.sql} WHERE migration_name = {quote_literal(name)} FOR UPDATE SKIP LOCKED"
        return f"UPDATE {self.sql} SET dirty = TRUE, steps = NULL WHERE id IN ({free})"

    def soil_clean(self, name: str) -> str:
        """Return the statement that marks an applied row as begun again, before a non-transactional downgrade."""
        return self.soil(name).replace(" FOR UPDATE", " AND NOT dirty FOR UPDATE")

    def realign(self, name: str, checksum: str, raw_checksum: str) -> str:
        """Return the statement that accepts a file as it is now."""
        return (
            f"UPDATE {self.sql} SET checksum = {quote_literal(checksum)}, raw_checksum = {quote_literal(raw_checksum)} "
            f"WHERE migration_name = {quote_literal(name)}"
        )

    def record(self, claim: Claim) -> str:
        """Return the statement that records a migration as applied without running it."""
        return f"INSERT INTO {self.sql} {_insert(self._values(claim))} ON CONFLICT (migration_name) DO NOTHING"

    def is_taken(self, error: Exception) -> bool:
        """Tell whether `error` may say that another runner's row is there already; `Ledger.has` knows.

        A migration that writes to the ledger, and a sequence that lags behind its rows, give the same error.
        """
        return any(
            sqlstate(each) == "23505"
            and getattr(each, "table_name", None) == self.table
            and getattr(each, "schema_name", None) == self.schema
            for each in causes(error)
        )

    def explain(self, error: Exception) -> Exception:
        """Return what a failed completion means, if it is about the ledger; otherwise `error` itself."""
        words = describe(error)
        if LOST in words:
            what = "is not this transaction's any more"
        elif sqlstate(error) in MISSING and f"{self.schema}.{self.table}" in words:
            what = "is gone with its table"
        elif self.is_taken(error):
            return self.refused(words)
        else:
            return error
        return LedgerError(
            f"The migration's row in {self.sql} {what}: the migration dropped or rewrote the ledger, or ended the "
            "engine's transaction. The ledger is the engine's alone; leave it out of the migration."
        )

    def unwritten(self, error: Exception) -> Exception:
        """Return what an error means of the engine's own writing to the ledger; `error` itself if that is plain."""
        words = describe(error)
        match sqlstate(error):
            case "42501":
                mend = (
                    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {self.sql} to this role, and USAGE on its sequence; "
                    "or use the role that migrates."
                )
            case "25006":
                mend = "Let the role that migrates write: ALTER ROLE … SET default_transaction_read_only = off;"
            case _:
                return self.explain(error)
        return LedgerError(f"The ledger {self.sql} cannot be written: {words}. {mend}")

    def refused(self, words: str) -> LedgerError:
        """Return the error of a ledger that takes no row although it has none for the migration."""
        table = quote_literal(self.sql)
        return LedgerError(
            f"The ledger {self.sql} did not take the migration's row: {words}. If the migration writes to the ledger, "
            "take that out: the engine does it. If a trigger is on the ledger, drop it. If the ids of the ledger were "
            "copied from elsewhere, its sequence lags behind: "
            f"SELECT setval(pg_get_serial_sequence({table}, 'id'), (SELECT max(id) FROM {self.sql}));"
        )

    def _finish(self, name: str, values: Mapping[str, str], ours: str) -> str:
        values = {"applied_at": "clock_timestamp()", "dirty": "FALSE", "steps": "NULL", **values}
        return (
            f"WITH done AS (UPDATE {self.sql} SET {_assign(values)} WHERE migration_name = {name} AND {ours} "
            f"RETURNING 1) SELECT CASE count(*) WHEN 1 THEN 1 ELSE ('{LOST}' || count(*))::integer END FROM done"
        )

    @property
    def _alias(self) -> str:
        return "ledger"

    def _values(self, claim: Claim) -> dict[str, str]:
        return {"migration_name": quote_literal(claim.name), **self._said(claim)}

    def _said(self, claim: Claim) -> dict[str, str]:
        return {
            "description": quote_literal(claim.description),
            "checksum": quote_literal(claim.checksum),
            "raw_checksum": quote_literal(claim.raw_checksum),
            "applied_by": quote_literal(whoami()),
            "run_id": quote_literal(claim.run_id),
        }


@cache
def whoami() -> str:
    """Name this process for the ledger: user, host, process id."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}:{os.getpid()}"


def _insert(values: Mapping[str, str]) -> str:
    return f"({', '.join(values)}) VALUES ({', '.join(values.values())})"


def _assign(values: Mapping[str, str]) -> str:
    return ", ".join(f"{column} = {value}" for column, value in values.items())
