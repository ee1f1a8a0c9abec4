"""What the catalog answers: rows of texts, over the simple query protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}

Row = list[str | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows of each query, in the order of its columns."""

    schemas: Sequence[Row]
    relations: Sequence[Row]
    columns: Sequence[Row]
    constraints: Sequence[Row]
    indexes: Sequence[Row]
    types: Sequence[Row]
    sequences: Sequence[Row]


async def ask(driver: Any, query: str) -> bytes:
    """Run `query` and return its rows as COPY writes them.

    COPY is the one way in which the simple protocol hands rows through the driver: nothing is prepared, which behind
    a transaction pooler would outlive its backend, and nothing is decoded on the event loop.

    Args:
        driver: asyncpg's connection.
        query: a SELECT.
    """
    received = bytearray()

    async def receive(data: bytes) -> None:
        received.extend(data)

    await driver.copy_from_query(query, output=receive)
    return bytes(received)


def rows(answer: bytes) -> list[Row]:
    """Return the rows of what `ask` received; None is NULL."""
    lines = answer.decode().split("\n")
    del lines[-1]
    return [_row(line) for line in lines]


def text(value: str | None) -> str:
    """Return a text that is never NULL."""
    return value or ""


def texts(value: str | None) -> list[str]:
    """Return an array of texts; none for NULL."""
    return json.loads(value) or [] if value else []


def numbers(value: str | None) -> list[int]:
    """Return an array of numbers; none for NULL."""
    return json.loads(value) or [] if value else []


def _row(line: str) -> Row:
    if "\\" not in line:
        return line.split("\t")  # type: ignore[return-value]  # a list of texts is one of texts and None
    return [None if each == "\\N" else _unescaped(each) for each in line.split("\t")]


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), field) if "\\" in field else field
