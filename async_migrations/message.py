"""A whole SQL file as one message to the server, and the way back from an error to its statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from async_migrations.retry import causes
from async_migrations.session import BEGIN
from async_migrations.sql import Statement

MARK = "async_migrations statement "
NAME_BYTES = 80
"""Of a mark: PostgreSQL cuts longer names than 63 bytes, with a NOTICE."""

LEVEL = "client_min_messages"
KEPT_LEVEL = "async_migrations.level"
HUSHING = (LEVEL, "reset")
"""Words of a statement after which a NOTICE may not arrive any more."""

COMMIT = "COMMIT"
END = len("\n;")
"""A statement that lacks its end is wrong at our semicolon."""


class FailedStatementError(Exception):
    """An error with the statement that it is about; on its way to a MigrationFailedError."""

    def __init__(self, error: Exception, statement: str, line: int | None = None, path: Path | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.statement = statement
        self.line = line
        self.path = path


@dataclass(slots=True)
class Message:
    """One transaction in one message: the frame's beginning, the file's statements, the frame's end.

    The server answers an error with a position only when it cannot parse or analyse a statement. For all others a
    mark behind each statement, a NOTICE, tells how far it came; `hear` takes them. A single statement needs none.
    """

    statements: Sequence[Statement]
    path: Path
    before: Sequence[str]
    after: Sequence[str]
    text: str = ""
    _starts: list[int] = field(default_factory=list)
    _reached: int = 0

    def __post_init__(self) -> None:
        text = "; ".join([BEGIN, *self.before]) + ";\n"
        write = _loud_mark if any(map(_hushes, self.statements)) else _mark
        for number, statement in enumerate(self.statements, 1):
            self._starts.append(len(text))
            # A line comment at a statement's end must not swallow what follows.
            text += f"{statement.text}\n;\n"
            if len(self.statements) > 1:
                text += f"SELECT {write(number)};\n"
        self.text = text + "; ".join(self.after)

    def rewind(self) -> None:
        """Forget how far an earlier try came."""
        self._reached = 0

    def hear(self, notice: str) -> bool:
        """Take a notice; tell whether it was one of our marks."""
        # What stands around the name is in the server's language.
        number = notice.partition(MARK)[2].partition(" ")[0]
        if not number.isdecimal() or int(number) > len(self.statements):
            return False
        self._reached = int(number)
        return True

    def is_at_beginning(self, error: Exception) -> bool:
        """Tell whether `error` may be about what stands before the file's statements."""
        return not self._reached and _position(error) is None

    def blame(self, error: Exception) -> Exception:
        """Return `error` with the statement, the line and the file that it is about."""
        if not self.statements:
            return error
        position = _position(error)
        at = self._at(position) if position is not None else None
        # Behind a mark a position elsewhere is one in another text: what EXECUTE runs was prepared with its own.
        number = at if position is not None and not self._reached else self._reached
        if number is None:
            return error
        if number == len(self.statements):
            # Constraints and triggers that are deferred to here are nearly all that can fail.
            return FailedStatementError(error, COMMIT, path=self.path) if position is None else error
        statement = self.statements[number]
        into = position - self._starts[number] if position is not None and at == number else 0
        line = statement.line + statement.text[: max(into, 0)].count("\n")
        return FailedStatementError(error, statement.text, line, self.path)

    def _at(self, position: int) -> int | None:
        for number, (start, statement) in enumerate(zip(self._starts, self.statements, strict=True)):
            if start <= position <= start + len(statement.text) + END:
                return number
        return None


def _mark(number: int) -> str:
    """Return the expression that gives a NOTICE: a name that is too long.

    Refused: RAISE, which needs the right to a language, and DROP ... IF EXISTS, which event triggers see.
    """
    name = f"{MARK}{number} ".ljust(NAME_BYTES, ".")
    return f"pg_catalog.to_regtype('\"{name}\"')"


def _loud_mark(number: int) -> str:
    """Return the same for a file that may want no NOTICE: what it has set is lifted, and set again."""
    level, kept = (f"pg_catalog.current_setting('{name}')" for name in (LEVEL, KEPT_LEVEL))
    return (
        f"pg_catalog.set_config('{KEPT_LEVEL}', {level}, true), pg_catalog.set_config('{LEVEL}', 'notice', true), "
        f"{_mark(number)}, pg_catalog.set_config('{LEVEL}', {kept}, true)"
    )


def _hushes(statement: Statement) -> bool:
    text = statement.text.lower()
    return any(word in text for word in HUSHING)


def _position(error: Exception) -> int | None:
    """Return the 0-based character at which the server says that the message is wrong."""
    for each in causes(error):
        position = getattr(each, "position", None)
        if position is not None and str(position).isdecimal():
            return int(position) - 1
    return None
