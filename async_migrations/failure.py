"""What a failed migration is told as: the statement, the line, what stays, what to do next."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from itertools import chain

from async_migrations import retry
from async_migrations.errors import MigrationFailedError, MigrationsError, masked
from async_migrations.loading import Loaded
from async_migrations.message import FailedStatementError
from async_migrations.session import SessionLostError

BEGUN = {
    "left": "It is not transactional: the steps that it finished stay, and the ledger marks it dirty.",
    "advice": "Mend the cause and start again: it goes on after its last finished step.",
}
"""What is said of a migration without a transaction."""

NOT_BEGUN = {
    "left": "This run did not begin it, and the ledger says of it what it said before.",
    "advice": "Mend the cause and start again.",
}
"""What is said of one whose row could not be had."""

UNSURE = {
    "left": "Whether it was committed is not known: the ledger did not answer.",
    "advice": "See `async-migrations status`. Where it is not done, mend the file and start again.",
}
"""What is said of one in a transaction whose deadline may have met its COMMIT."""


ROLE_LIMIT = (
    "Through a pooler the engine cannot lift the role's own limit from a statement outside a transaction. Let another "
    "role migrate (ALTER ROLE … SET statement_timeout = 0), or past the pooler; then start again."
)
"""What is said where such a statement took too long for the role."""


def failure(
    migration: Loaded,
    verb: str,
    error: Exception,
    applied: Sequence[str],
    *,
    begun: bool = False,
    pooled: bool = False,
    unsure: bool = False,
) -> MigrationFailedError:
    """Say of a failed migration what failed, where, what stays and what to do.

    Args:
        migration: which.
        verb: upgrade or downgrade.
        error: what its work, or the engine around it, raised.
        applied: names that the same run applied before.
        begun: whether the ledger marks it as begun, if it is not transactional.
        pooled: whether a pooler stands between.
        unsure: whether nobody could say that it is not committed.
    """
    blamed = error if isinstance(error, FailedStatementError) else None
    cause = blamed.error if blamed else error
    # What an author's own error says of a group is more than the group says, unless PostgreSQL has spoken.
    causes = retry.leaves(cause) if isinstance(cause, ExceptionGroup) or _code(cause) else [cause]
    path = (blamed.path if blamed else None) or migration.file.path
    line = (blamed.line if blamed else None) or _line_in(str(migration.file.path.absolute()), [*causes, error])
    code = next(filter(None, map(_code, causes)), None)
    said = (getattr(each, "statement", None) for each in causes)
    statement = next(filter(None, said), blamed.statement if blamed and code else None)
    reason = masked("; ".join(dict.fromkeys(map(_reason, causes))))
    words = UNSURE if unsure else {}
    if not migration.is_transactional(verb):
        words = BEGUN if begun else NOT_BEGUN
        if pooled and code == "57014":
            words = {**words, "advice": ROLE_LIMIT}
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


def _line_in(path: str, errors: Sequence[BaseException]) -> int | None:
    for each in chain.from_iterable(map(retry.causes, errors)):
        lines = [frame.lineno for frame in traceback.extract_tb(each.__traceback__) if frame.filename == path]
        if lines:
            return lines[-1]
    return None


def _code(error: BaseException) -> str | None:
    return None if isinstance(error, MigrationsError) else retry.sqlstate(error)


def _reason(error: BaseException) -> str:
    if _code(error):
        return retry.describe(error)
    text, kind = _text(error), type(error).__name__
    if isinstance(error, TimeoutError):
        return text or "a time limit was up: one of the migration's own, or the driver's command_timeout"
    return text if isinstance(error, MigrationsError) else f"{kind}: {text}" if text else kind


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"its text cannot be shown, {type(broken).__name__}"
