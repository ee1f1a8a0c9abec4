"""One piece of async work as a process: Ctrl-C and SIGTERM cancel it, and it cleans up."""

from __future__ import annotations

import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from async_migrations.errors import RunStoppedError

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskStatus

T = TypeVar("T")


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
            signal, Ctrl-C, or SIGTERM where it cannot be asked, cancels it; one more ends the process at once.
        Exception: what the work raised.
    """
    import anyio

    if not gc.isenabled():  # since the process began: see __main__
        gc.freeze()
        gc.enable()
    outcome: list[T] = []
    errors: list[Exception] = []
    signals: list[int] = []

    async def obey(scope: CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for number in received:
                signals.append(number)
                if number != signal.SIGTERM or len(signals) > 1 or not stop():
                    break
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

    anyio.run(watched)
    if outcome:
        return outcome[0]
    if errors and not isinstance(errors[0], RunStoppedError):
        raise errors[0]
    raise StoppedError(signals[0])
