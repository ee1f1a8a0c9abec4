"""Every exception of the package.

    MigrationsError
    ├── ConfigurationError          an option, a URL or a target that cannot be right
    ├── DiscoveryError              the folder of migrations is not in order
    ├── DatabaseUnavailableError    no connection by the deadline
    ├── LedgerError                 the ledger cannot be read, made or written
    │   └── ForeignLedgerError      the table belongs to another tool
    ├── HistoryError                files and ledger disagree, and a policy says error
    ├── LockWaitError               another replica held the lock until the deadline
    ├── NotCurrentError             the ledger did not become current by the deadline
    ├── IrreversibleError           a downgrade was asked of a migration that has none
    ├── MigrationFailedError        one migration failed; says what stays and what to do
    ├── RunStoppedError             the run was told to stop; says what is applied
    ├── NotStartedError             a service did not start, because of one of the others or of a signal
    ├── SchemaError                 a schema cannot be read or compared
    │   ├── MetadataRefusedError        PostgreSQL refuses something of the metadata
    │   └── RenameError                 a hint about a rename that cannot be true
    └── AuthorError                 what a migration's own code did wrong
        ├── TransactionControlError     a commit or rollback that cannot be honoured
        ├── StatisticsError             `upgrade()` returned what cannot be counted
        ├── AutoSchemaError             a change that auto schema must not guess
        └── NameConflictError           something else has the name that was wanted
            └── IndexConflictError          an index of this name is another index

Each message says what is true now and what to do next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

CREDENTIALS = re.compile(
    r"""(?i)(://[^\s/@:'"]*:)\S+(?=@)"""
    r"""|(\w*passw(?:or)?d['"]?\s*[=:]\s*|\bpassword\s+(?='))(?:'[^']*'?|"[^"]*"?|[^\s&'",}]+)"""
)
"""What a driver or an author's own code may repeat of a URL, a connection string or a statement, cut off perhaps."""

PARAMETERS = re.compile(r"\s*(?:\[parameters: .*\]|\(Background on this error at: \S+\))", re.DOTALL)
"""What SQLAlchemy adds to an error's text: the values of its statement, which may be anybody's data, and a link."""


class MigrationsError(Exception):
    """The root: whoever catches it catches everything that this package raises on purpose."""


class ConfigurationError(MigrationsError):
    """An option, a URL or a target cannot be right; nothing was touched."""


class DiscoveryError(MigrationsError):
    """The folder of migrations is not in order; nothing was touched.

    Attributes:
        problems: one sentence each, with the file and the fix.
    """

    def __init__(self, directory: Path, problems: Sequence[str]) -> None:
        self.directory = directory
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"Nothing was touched: the migrations in {directory} are not in order.\n{lines}")


class DatabaseUnavailableError(MigrationsError):
    """The database could not be reached, or refused us, until the deadline."""

    def __init__(self, where: str, reason: str, advice: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"No connection to {where}: {reason}. {advice}")


class LedgerError(MigrationsError):
    """The ledger cannot be read, made or written."""


class ForeignLedgerError(LedgerError):
    """The ledger's table exists and belongs to another tool."""

    def __init__(self, table: str, owner: str, columns: Sequence[str]) -> None:
        self.table = table
        self.owner = owner
        super().__init__(
            f"The table {table} is not a ledger of this engine: it has the columns {', '.join(columns)}, "
            f"as {owner} makes them. Nothing was touched. Give this engine a table of its own: "
            'MigrationRunner(..., table="async_schema_migrations"), or table = "async_schema_migrations" '
            "under [tool.async_migrations] in pyproject.toml."
        )


class HistoryError(MigrationsError):
    """Files and ledger disagree, and the policy for it is "error"; nothing was applied.

    Attributes:
        problems: one sentence each, with the file and the fix.
    """

    def __init__(self, problems: Sequence[str], *, verb: str = "applied") -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"Nothing was {verb}: the files and the ledger disagree.\n{lines}")


class LockWaitError(MigrationsError):
    """Another replica held the migration lock, or a migration's row, until the deadline.

    Attributes:
        waited: seconds.
        holder: what is known of who held it.
        advice: what to do.
        applied: names that the same run applied before, in order.
    """

    def __init__(self, waited: float, holder: str, advice: str, applied: Sequence[str] = ()) -> None:
        self.waited = waited
        self.holder = holder
        self.advice = advice
        self.applied = tuple(applied)
        done = f"nothing after {applied[-1]}" if applied else "nothing"
        super().__init__(f"Waited {waited:.0f} s for the migration lock and applied {done}. {holder} {advice}".strip())


class NotCurrentError(MigrationsError):
    """The ledger did not become current by the deadline.

    Attributes:
        pending: names of the migrations that it lacks.
        holder: who holds the migration lock, where somebody does.
    """

    def __init__(self, deadline: float, pending: Sequence[str], holder: str = "") -> None:
        self.pending = tuple(pending)
        self.holder = holder
        advice = (
            f"{holder} If it is at work, wait longer; if it is stuck, end it with `async-migrations unlock --yes`."
            if holder
            else "Nobody has applied them: see that a replica or a job with the right to migrate runs "
            "`async-migrations upgrade`, or wait longer."
        )
        super().__init__(
            f"After {deadline:g} s the database still lacks {len(self.pending)} migration(s), the next is "
            f"{self.pending[0]}. {advice}"
        )


class IrreversibleError(MigrationsError):
    """A downgrade was asked of a migration that has none; nothing was reverted."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"Nothing was reverted: {', '.join(self.names)} cannot be downgraded. Give each an async "
            "downgrade() method (for a .sql file, a .down.sql file beside it), or write a new migration "
            "that undoes it."
        )


class MigrationFailedError(MigrationsError):
    """One migration failed. What was applied before it stays.

    Attributes:
        migration: its name.
        path: its file.
        statement: the SQL that failed, where one did.
        line: 1-based line of the failure in the file, where it is known.
        sqlstate: the five characters of PostgreSQL's error code, where there is one.
        applied: names that the same run applied before, in order.
    """

    def __init__(  # noqa: PLR0913 - each is a fact that the sentence needs
        self,
        migration: str,
        path: Path | None,
        reason: str,
        *,
        verb: str = "upgrade",
        statement: str | None = None,
        line: int | None = None,
        sqlstate: str | None = None,
        applied: Sequence[str] = (),
        left: str = "Nothing of it stays.",
        advice: str = "Mend the file and start again: it runs from its beginning.",
        stays: str = "stays so",
    ) -> None:
        self.migration = migration
        self._verb = verb
        self.path = path
        self.reason = reason
        self.statement = statement
        self.line = line
        self.sqlstate = sqlstate
        self.applied = tuple(applied)
        code = f" (SQLSTATE {sqlstate})" if sqlstate else ""
        where = f"{path}" + (f", line {line}" if line else "")
        lines = [f"The {verb} of {migration} failed: {reason.rstrip('.')}{code}. {left}", f"  file: {where}"]
        if statement:
            lines.append(f"  statement: {shorten(statement)}")
        lines.append(
            f"  {'applied' if verb == 'upgrade' else 'reverted'} before it in this run: "
            + (f"{', '.join(self.applied)} ({stays})" if self.applied else "nothing")
        )
        lines.append(f"  next: {advice}")
        super().__init__("\n".join(lines))

    def elsewhere(self, stays: str, left: str) -> MigrationFailedError:
        """Return the same failure, of a database that is not the one that is migrated.

        Args:
            stays: what became of what was applied before, in a few words.
            left: what became of the migration's own work, as a sentence.
        """
        return MigrationFailedError(
            self.migration,
            self.path,
            self.reason,
            verb=self._verb,
            statement=self.statement,
            line=self.line,
            sqlstate=self.sqlstate,
            applied=self.applied,
            left=left,
            advice="Mend the file and replay it again.",
            stays=stays,
        )


class NotStartedError(MigrationsError):
    """A service did not start; the message is the sentence of the error or of the signal that stopped it."""


class RunStoppedError(MigrationsError):
    """The run was told to stop, `MigrationRunner.stop()`; what was applied before stays.

    Attributes:
        applied: what this run applied, or reverted, in order.
        migration: the one that was cancelled and rolled back; None if the one at work could finish, or none was.
        unsure: whether nobody could say that it was rolled back and not committed.
    """

    def __init__(self, applied: Sequence[str], migration: str | None, *, unsure: bool = False) -> None:
        self.applied = tuple(applied)
        self.migration = migration
        self.unsure = unsure
        cancelled = of_cancelled(migration, unsure=unsure)
        done = f"Done before: {', '.join(self.applied)} (stays so)." if applied else "Nothing was done before."
        super().__init__(f"The run was told to stop.{cancelled} {done} The next start goes on from there.")


class SchemaError(MigrationsError):
    """A schema cannot be read, or cannot be compared with the metadata; nothing was changed."""


class MetadataRefusedError(SchemaError):
    """PostgreSQL refuses something of the metadata.

    Attributes:
        thing: what it refuses, such as "table public.users".
        reason: PostgreSQL's own words.
        statement: the SQL that it refused.
        sqlstate: the five characters of its error code, where there is one.
    """

    def __init__(self, thing: str, reason: str, statement: str, sqlstate: str | None, advice: str) -> None:
        self.thing = thing
        self.reason = reason
        self.statement = statement
        self.sqlstate = sqlstate
        code = f" (SQLSTATE {sqlstate})" if sqlstate else ""
        super().__init__(
            f"PostgreSQL refuses {thing} of the metadata: {reason.rstrip('.')}{code}. Nothing was compared.\n"
            f"  statement: {shorten(statement)}\n  next: {advice}"
        )


class RenameError(SchemaError):
    """A hint about a rename cannot be true; nothing was compared.

    Attributes:
        problems: one sentence each, with the hint and what is there instead.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"Nothing was compared: these hints about renames cannot be true.\n{lines}")


class AuthorError(MigrationsError):
    """What a migration's own code did wrong; the engine wraps it in a MigrationFailedError."""


class TransactionControlError(AuthorError):
    """A commit or rollback inside a migration that cannot be honoured."""


class StatisticsError(AuthorError):
    """`upgrade()` returned something that is no statistics."""


class AutoSchemaError(AuthorError):
    """A change that auto schema sees and must not guess."""


class NameConflictError(AuthorError):
    """Something else has the name that was wanted, and was left as it is."""


class IndexConflictError(NameConflictError):
    """An index of this name exists and is another index."""


def unreadable(path: Path, error: OSError) -> str:
    """Say that a migration's file cannot be read, and what to do."""
    advice = "Restore or remove it" if isinstance(error, FileNotFoundError) else "Mend or remove it"
    return f"{path.name} cannot be read: {error.strerror or error}. {advice}."


def of_cancelled(migration: str | None, *, unsure: bool) -> str:
    """Say what became of the migration at which a run was stopped; nothing if there was none."""
    if migration is None:
        return ""
    if unsure:
        return f" Whether {migration} was committed is not known: see `async-migrations status`."
    return f" {migration} was cancelled."


def masked(text: str) -> str:
    """Return `text`, which others wrote, without passwords and without the values of a statement."""
    return CREDENTIALS.sub(r"\1\2***", PARAMETERS.sub("", text))


def shorten(text: str, limit: int = 300) -> str:
    """Return `text` on one line, cut to `limit` characters: enough to find a statement again."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
