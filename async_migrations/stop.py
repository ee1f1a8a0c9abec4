"""The stop of a run before its end: softly while a migration is at work, at once otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio

from async_migrations.alarm import Alarm
from async_migrations.errors import RunStoppedError
from async_migrations.events import Emit, StopAsked


class Stop:
    """The stop of one run.

    Args:
        applied: what the run has done so far; read when it stops.
        unsure: of which nobody could say whether they were committed; read then, too.
        grace: seconds that the migration at work may still take.
        emit: is told when somebody asks.

    Attributes:
        alarm: ends the code at work if it keeps the event loop to itself.
    """

    def __init__(self, applied: Sequence[str], unsure: Sequence[str], grace: float, emit: Emit) -> None:
        self._applied = applied
        self._unsure = unsure
        self._grace = grace
        self._emit = emit
        self._scope: anyio.CancelScope | None = None
        self._asked = False
        self._at_work: str | None = None
        self.alarm: Alarm | None = None

    def ask(self) -> None:
        """Ask the run to stop, in its event loop; asked again it stops at once."""
        grace = 0.0 if self._asked or self._at_work is None else self._grace
        self._asked = True
        self._emit(StopAsked(self._at_work, grace))
        if self._scope is None:
            return
        if self.alarm:
            self.alarm.ring_in(grace)
        if grace:
            # Not anyio's clock, which is the same and asks for a task: a signal's callback has none.
            self._scope.deadline = asyncio.get_running_loop().time() + grace
        else:
            self._scope.cancel()

    def end(self) -> None:
        """Stop at once: the code at work has used its grace up, while nobody could ask."""
        self._asked = True
        if self._scope is not None:
            self._scope.cancel()

    @contextmanager
    def alarmed(self, deadline: float | None) -> Iterator[Alarm]:
        """Run code of an author's that may keep the event loop to itself.

        Args:
            deadline: seconds that it may take; None for ever.

        Raises:
            LoopBlockedError: it was ended, by the deadline or by a stop.
        """
        alarm = self.alarm = Alarm(self._grace)
        try:
            with alarm.ending():
                if deadline is not None:
                    alarm.ring_in(deadline)
                yield alarm
        finally:
            self.alarm = None

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
