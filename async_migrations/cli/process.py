"""One piece of async work as a process: Ctrl-C and SIGTERM cancel it, and it cleans up."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from async_migrations.alarm import ring
from async_migrations.errors import RunStoppedError

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskStatus

T = TypeVar("T")
STOPPING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2
"""Signals that ask; the next one ends the process."""


class StoppedError(Exception):
    """A signal stopped the work.

    Attributes:
        number: which signal.
    """

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)
        super().__init__(f"Stopped by {self.number.name}.")


def glance(work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Run a moment's work in an event loop of its own, without anyio: its import would take longer than the work.

    Args:
        work: what to do.

    Raises:
        StoppedError: SIGTERM came first, which the kernel lets nobody but a handler of its own tell to process 1.
        KeyboardInterrupt: SIGINT came first.
    """
    import asyncio

    async def watched() -> bool:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work()

    try:
        with _kept_signals():
            return asyncio.run(watched())
    except asyncio.CancelledError:
        raise StoppedError(signal.SIGTERM) from None


def run(
    work: Callable[[], Awaitable[T]],
    beside: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], bool] = lambda: False,
) -> T:
    """Run `work` to its end in an event loop of its own.

    Args:
        work: what to do.
        beside: what to do at the same time, until the work is done.
        stop: asks the work to end by itself, by raising RunStoppedError; tells whether it could be asked.

    Raises:
        StoppedError: a signal came first, and the work has cleaned up. The first SIGTERM asks it to stop; the next
            signal, Ctrl-C, or SIGTERM where it cannot be asked, cancels it. The third ends the process at once, even
            while a migration blocks the event loop; the server then rolls back.
        Exception: what the work raised.
    """
    import anyio

    if not gc.isenabled():  # since the process began: see __main__
        gc.freeze()
        gc.enable()
    outcome: list[T] = []
    errors: list[Exception] = []
    signals: list[int] = []

    limit = _Limit()

    async def obey(scope: CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(*STOPPING) as received:
            limit.count()
            task_status.started()
            async for number in received:
                signals.append(number)
                if number != signal.SIGTERM or len(signals) > 1 or not stop():
                    break
        limit.count()  # cleaning up may take long, too
        scope.cancel()

    async def watched() -> None:
        async with anyio.create_task_group() as group:
            await group.start(obey, group.cancel_scope)
            group.start_soon(beside)
            try:
                outcome.append(await work())
            except Exception as error:
                errors.append(error)  # raised below: the task group would wrap it
            group.cancel_scope.cancel()

    with _kept_signals():
        anyio.run(watched)
    if outcome:
        return outcome[0]
    first = signals[0] if signals else limit.last  # which the event loop may not have heard of yet
    if first is None or (errors and not isinstance(errors[0], RunStoppedError)):
        raise errors[0]
    raise StoppedError(first)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt inside; before and after there is nothing to clean up."""
    with _kept_signals():
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


class _Limit:
    """Counts the signals beside the event loop, which hears of none while a migration blocks it."""

    def __init__(self) -> None:
        self._left = PATIENCE
        self.last: int | None = None

    def count(self) -> None:
        """Begin, after the event loop has set, or taken away, handlers of its own; it is woken as before."""
        for number in STOPPING:
            signal.signal(number, self._note)
            signal.siginterrupt(number, False)

    def _note(self, number: int, _: object) -> None:
        self._left -= 1
        self.last = number
        if self._left < 0:
            words = f"Ended at once by {signal.Signals(number).name}: the server rolls back what was at work.\n"
            with suppress(OSError):
                os.write(2, words.encode())
            os._exit(128 + number)
        ring(at_once=number != signal.SIGTERM)


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Give the signals back as they were: an event loop leaves the defaults behind."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
