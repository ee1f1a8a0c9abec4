"""Calls of what a migration is given: that each is awaited, and how a second try knows those that are done."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from sqlalchemy import FetchedValue, ForeignKey, TableClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import SchemaItem
from sqlalchemy.sql.expression import ClauseElement

from async_migrations.errors import AuthorError

T = TypeVar("T")

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

SILENT = frozenset({"dispatch", "table", "parent", "metadata", "info", "_creation_order", "_parent", "_state"})
"""Attributes of SQLAlchemy's constructs that lead elsewhere, or are others in each process."""


PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"


class Memory(Protocol):
    """What the ledger knows of a migration outside a transaction."""

    @property
    def again(self) -> bool:
        """Whether an earlier try has begun it."""

    def knows(self, work: str) -> bool:
        """Tell whether an earlier try has finished this work."""

    async def record(self, work: str) -> None:
        """Commit that this work is finished."""

    async def before(self, message: str) -> None:
        """Make the way free for a message that is about to be sent."""


class Calls:
    """The calls of one migration's run.

    Args:
        memory: what is known of earlier tries; None in a transaction, of which a failure leaves nothing.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory
        self._open: dict[int, tuple[str, Coroutine[Any, Any, Any]]] = {}
        self._counted: Counter[str] = Counter()
        self._step = ""

    def note(self, what: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Note that a migration has called something, and return what it is to await.

        Args:
            what: the call's name.
            work: what does it.
        """
        number = id(work)  # which is alive for as long as the number stands for it
        self._open[number] = f"{what}(), called in line {_line(sys._getframe(1))}", work  # noqa: SLF001 - else only the caller's debug mode knows
        noted = self._await(number, work)
        noted.__qualname__ = what  # type: ignore[attr-defined]  # a coroutine has it, for the warning that Python gives of one that is not awaited
        return noted

    async def _await(self, number: int, work: Coroutine[Any, Any, T]) -> T:
        self._open.pop(number, None)
        return await work

    def check(self) -> None:
        """Look whether all that was called was awaited.

        Raises:
            AuthorError: something was not, so that it did nothing.
        """
        forgotten, self._open = list(self._open.values()), {}
        for _, work in forgotten:
            work.close()  # or Python warns of each as well
        if forgotten:
            what = "; ".join(what for what, _ in forgotten)
            raise AuthorError(f"Without `await` in front of it nothing was done by {what}. Add the `await`.")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name what is called inside after a step, which a later try leaves out as a whole."""
        before, self._step = self._step, name
        try:
            yield
        finally:
            self._step = before

    def name(self, operation: str, args: tuple[object, ...], options: Mapping[str, object]) -> str:
        """Return what a call is remembered by: what it is called with, and how often it was called so before.

        Not the number of all calls before it: which there are may depend on what is there already.
        """
        text = " ".join([self._step, operation, written(args), written(options)])
        self._counted[text] += 1
        return f"{operation} {hashlib.sha256(text.encode()).hexdigest()} {self._counted[text]}"


def _line(frame: FrameType | None) -> int:
    """Return the line in which the migration, or what it imports, has called us."""
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame.f_lineno if frame else 0


def written(value: object, within: tuple[int, ...] = ()) -> str:
    """Write out a value, the same way in each process.

    Args:
        value: a plain one, a collection, a type or construct of SQLAlchemy's.
        within: the ids of what it is part of.
    """
    if id(value) in within:
        return "..."
    within = (*within, id(value))
    match value:
        case Mapping():
            parts = [f"{key}: {written(value[key], within)}" for key in sorted(value, key=str)]
        case list() | tuple():
            parts = [written(each, within) for each in value]
        case set() | frozenset():
            parts = sorted(written(each, within) for each in value)
        case TableClause():  # whatever was made of it since
            parts = [value.fullname]
        case SchemaItem() | FetchedValue() if not isinstance(value, ForeignKey):
            held = {key: each for key, each in vars(value).items() if key not in SILENT and not callable(each)}
            parts = [written(held, within)]
        case ClauseElement() if not isinstance(value, SchemaItem):
            parts = [_sql(value)]
        case _:
            parts = [ADDRESS.sub("", repr(value))]
    return f"{type(value).__name__}({', '.join(parts)})"


def _sql(element: ClauseElement) -> str:
    try:
        compiled = element.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
    except CompileError:
        return type(element).__name__
    return f"{compiled} {compiled.params}"
