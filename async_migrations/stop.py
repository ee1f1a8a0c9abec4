"""The stop of a run before its end: softly while a migration is at work, at once otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio

from async_migrations.errors import RunStoppedError
from async_migrations.events import Emit, StopAsked


class Stop:
    """The stop of one run.

    Args:
        applied: what the run has done so far; read when it stops.
        unsure: of which nobody could say whether they were committed; read then, too.
        grace: seconds that the migration at work may still take.
        emit: is told when somebody asks.
    """

    def __init__(self, applied: Sequence[str], unsure: Sequence[str], grace: float, emit: Emit) -> None:
        self._applied = applied
        self._unsure = unsure
        self._grace = grace
        self._emit = emit
        self._scope: anyio.CancelScope | None = None
        self._asked = False
        self._at_work: str | None = None

    def ask(self) -> None:
        """Ask the run to stop; asked again it stops at once."""
        grace = 0.0 if self._asked or self._at_work is None else self._grace
        self._asked = True
        self._emit(StopAsked(self._at_work, grace))
        if self._scope is None:
            return
        if grace:
            self._scope.deadline = anyio.current_time() + grace
        else:
            self._scope.cancel()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Run what is inside until it ends or has to stop.

        Raises:
            RunStoppedError: it had to stop.
        """
        with anyio.CancelScope() as self._scope:
            yield
        if self._scope.cancelled_caught:
            cancelled = None if self._at_work in self._applied else self._at_work
            raise RunStoppedError(self._applied, cancelled, unsure=cancelled in self._unsure)

    @contextmanager
    def working(self, migration: str) -> Iterator[None]:
        """Let one migration do its work, unless the run is to stop.

        Raises:
            RunStoppedError: it is.
        """
        self.check()
        self._at_work = migration
        yield
        self._at_work = None

    def check(self) -> None:
        """Note that nothing is at work, and stop here if the run is to stop.

        Raises:
            RunStoppedError: it is.
        """
        self._at_work = None
        if self._asked:
            raise RunStoppedError(self._applied, None)
