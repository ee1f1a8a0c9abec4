"""What a command has to say: one document for programs, one text for people, one exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any

import click

from async_migrations.cli.streams import tell


class Code(IntEnum):
    """The exit codes; 128 and more are a signal's."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_CURRENT = 3
    SIGNAL = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        document: for `--json`.
        text: for people; may be empty, since the log has told the story.
        code: the exit code.
    """

    document: Mapping[str, Any]
    text: str = ""
    code: int = Code.DONE

    def show(self, *, as_json: bool) -> None:
        """Write the document or the text to standard output."""
        if as_json:
            click.echo(json.dumps(self.document, indent=2, default=_plain))
        elif self.text:
            click.echo(self.text)


@dataclass(frozen=True, slots=True)
class Failure(Answer):
    """What went wrong; people read it on standard error."""

    def show(self, *, as_json: bool) -> None:
        """Write the document to standard output if it was asked for, and the text to standard error in any case."""
        first, line_break, rest = self.text.partition("\n")
        tell(click.style(first, fg="red") + line_break + rest)
        if as_json:
            Answer.show(self, as_json=True)


def failure(error: BaseException, text: str, code: int = Code.FAILED) -> Failure:
    """Describe an error; its public attributes are facts for programs.

    Args:
        error: what was raised.
        text: the sentence.
        code: the exit code.
    """
    facts = {name: value for name, value in vars(error).items() if name[0] != "_"}
    return Failure({"error": {"type": type(error).__name__, "message": text, **facts}}, text, code)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows under a header."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 migration`, `2 migrations`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _plain(value: object) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
