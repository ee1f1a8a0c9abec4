"""What a failed migration is told as: the statement, the line, what stays, what to do next."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from async_migrations import retry
from async_migrations.errors import MigrationFailedError, MigrationsError, masked
from async_migrations.loading import Loaded
from async_migrations.message import FailedStatementError
from async_migrations.session import SessionLostError


def failure(migration: Loaded, verb: str, error: Exception, applied: Sequence[str]) -> MigrationFailedError:
    """Say of a failed migration what failed, where, what stays and what to do.

    Args:
        migration: which.
        verb: upgrade or downgrade.
        error: what its work, or the engine around it, raised.
        applied: names that the same run applied before.
    """
    blamed = error if isinstance(error, FailedStatementError) else None
    cause = blamed.error if blamed else error
    path = (blamed.path if blamed else None) or migration.file.path
    line = (blamed.line if blamed else None) or _line_in(str(migration.file.path), error)
    code = None if isinstance(cause, MigrationsError) else retry.sqlstate(cause)
    statement = getattr(cause, "statement", None) or (blamed.statement if blamed and code else None)
    reason = retry.describe(cause) if code else masked(f"{_kind(cause)}{cause}")
    words: dict[str, str] = {}
    if not migration.is_transactional(verb):
        words = {
            "left": "It is not transactional: the steps that it finished stay, and the ledger marks it dirty.",
            "advice": "Mend the cause and start again: it goes on after its last finished step.",
        }
    return MigrationFailedError(
        migration.file.name,
        path,
        reason,
        verb=verb,
        statement=masked(statement) if statement else None,
        line=line,
        sqlstate=code,
        applied=applied,
        **words,
    )


def let_go(error: Exception) -> None:
    """Raise the loss of a session that the author's code, or its driver, has wrapped in something else."""
    for each in retry.causes(error):
        if isinstance(each, SessionLostError) and each is not error:
            raise each from error


def _line_in(path: str, error: BaseException) -> int | None:
    for each in retry.causes(error):
        lines = [frame.lineno for frame in traceback.extract_tb(each.__traceback__) if frame.filename == path]
        if lines:
            return lines[-1]
    return None


def _kind(error: Exception) -> str:
    return "" if isinstance(error, MigrationsError | TimeoutError) else f"{type(error).__name__}: "
