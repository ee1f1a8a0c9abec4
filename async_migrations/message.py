"""A whole SQL file as one message to the server, and the way back from an error to its statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from async_migrations.retry import causes
from async_migrations.session import BEGIN
from async_migrations.sql import Statement

MARK = "async_migrations statement "
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
    NOTICE before each statement but the first tells how far it came; `hear` takes them.
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
        for number, statement in enumerate(self.statements):
            if number:
                text += f"DO 'BEGIN RAISE NOTICE ''{MARK}{number}''; END';\n"
            self._starts.append(len(text))
            # A line comment at a statement's end must not swallow what follows.
            text += f"{statement.text}\n;\n"
        self.text = text + "; ".join(self.after)

    def rewind(self) -> None:
        """Forget how far an earlier try came."""
        self._reached = 0

    def hear(self, notice: str) -> bool:
        """Take a notice; tell whether it was one of our marks."""
        if not notice.startswith(MARK):
            return False
        number = notice.removeprefix(MARK)
        if not number.isdecimal() or int(number) >= len(self.statements):
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
        number = self._at(position) if position is not None else self._reached
        if number is None:
            return error
        statement = self.statements[number]
        into = position - self._starts[number] if position is not None else 0
        line = statement.line + statement.text[: max(into, 0)].count("\n")
        return FailedStatementError(error, statement.text, line, self.path)

    def _at(self, position: int) -> int | None:
        for number, (start, statement) in enumerate(zip(self._starts, self.statements, strict=True)):
            if start <= position <= start + len(statement.text) + END:
                return number
        return None


def _position(error: Exception) -> int | None:
    """Return the 0-based character at which the server says that the message is wrong."""
    for each in causes(error):
        position = getattr(each, "position", None)
        if position is not None and str(position).isdecimal():
            return int(position) - 1
    return None
