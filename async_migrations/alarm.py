"""The end of code that keeps the event loop to itself: no deadline and no stop of asyncio's reaches it.

When its time is up a thread asks the loop for an answer. Without one it sends the main thread SIGURG, whose handler
raises right where the code is, be it a computation or a call that blocks. Go's runtime preempts with the same signal,
since it is ignored by default and nobody means anything by it. Refused: `PyThreadState_SetAsyncExc`, which ends no call
that blocks, and may come to pass in whatever the thread does next.
"""

from __future__ import annotations

import _thread
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from async_migrations.signals import Handler

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

ANSWER = 0.5
"""Seconds that the event loop may take to answer once the time is up."""


class LoopBlockedError(BaseException):
    """Raised in code that keeps the event loop to itself; past any `except Exception` of its author's."""


class Alarm:
    """Ends code that keeps the event loop to itself when its time is up.

    It works where the loop runs in the main thread, as servers and commands have it, and ends whatever Python code
    and whatever system call a signal interrupts; not a library in C that goes on after one, as libpq does.

    Args:
        grace: seconds that the code may still take when it is first told to stop.

    Attributes:
        ended: what was raised in the code, once it was.
    """

    def __init__(self, grace: float = 0.0) -> None:
        self.ended: LoopBlockedError | None = None
        self._grace = grace
        self._due = math.inf
        self._left = False
        self._over = threading.Event()
        self._question: threading.Event | None = None
        self._handler: Handler | None = None
        self._loop: AbstractEventLoop | None = None

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Run the code that may be ended, with all that it calls, spawns and awaits; call it in the event loop.

        Raises:
            LoopBlockedError: it was ended, also if its author has caught that.
        """
        import asyncio  # a command that only looks at the database does without

        self._loop = asyncio.get_running_loop()
        token = _ALARM.set(self)
        try:
            try:
                yield
            finally:
                self._left = True  # one instruction: the alarm may go off up to it, and what is below is to be done
            if self.ended:  # in a task whose errors nobody looks at
                raise self.ended
        except BaseExceptionGroup as group:
            if self.ended is None or group.subgroup(LoopBlockedError) is None:
                raise
            raise self.ended from None
        finally:
            _ALARM.reset(token)
            self._over.set()
            if self._handler:
                self._handler.close()

    def ring_in(self, seconds: float) -> None:
        """End the code after so many seconds, as soon as the loop has no answer; the earliest time holds.

        In another thread than the main one it does nothing.
        """
        due = time.monotonic() + seconds
        if due >= self._due or threading.current_thread() is not threading.main_thread():
            return
        if self._handler is None:
            self._handler = Handler(signal.SIGURG, self._end)
        self._due = due
        # Not a Thread: a signal's handler may call this while its own thread holds the locks of `threading`.
        with suppress(RuntimeError):  # no more threads: then only a deadline that the loop hears of holds
            _thread.start_new_thread(self._watch, (due,))

    def ring(self, *, at_once: bool = False) -> None:
        """End the code after its grace; asked again, or in a hurry, at once."""
        grace, self._grace = self._grace, 0.0
        self.ring_in(0.0 if at_once else grace)

    def _watch(self, due: float) -> None:
        loop, main = self._loop, threading.main_thread().ident
        assert loop is not None  # noqa: S101 - set before anything runs
        assert main is not None  # noqa: S101 - it has begun
        pause = due - time.monotonic()
        while not self._over.wait(max(pause, 0.0)) and self._due == due:
            pause = ANSWER
            self._question = answered = threading.Event()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            if not answered.wait(ANSWER):
                signal.pthread_kill(main, signal.SIGURG)

    def _end(self) -> None:
        # The context is that of the code which was interrupted: nobody else's is ended, the loop's own least of all.
        question = self._question
        if _ALARM.get() is self and not self._left and question and not question.is_set():
            self._question = None
            self.ended = LoopBlockedError()
            raise self.ended


_ALARM: ContextVar[Alarm | None] = ContextVar("_ALARM", default=None)


def ring(*, at_once: bool = False) -> None:
    """Have the code that a signal has interrupted ended, unless it lets go of the event loop; for its handler."""
    alarm = _ALARM.get()
    if alarm:
        alarm.ring(at_once=at_once)
