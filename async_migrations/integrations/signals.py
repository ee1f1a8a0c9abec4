"""SIGTERM and Ctrl-C while a service starts: what runs is cancelled, and the server hears of them too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[list[signal.Signals]]:
    """Call `stop` in the running event loop when the process is told to end.

    A server only notes the signal while its application starts, and looks at its note when that is over: a long
    migration would run on until the process is killed. The server's own handler is called as well, and is back in
    its place afterwards. Without one the signal does its usual work then.

    Yields:
        The signals that came; elsewhere than in the main thread there are none.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    loop = asyncio.get_running_loop()
    ears = [_Ear(number, received, lambda: loop.call_soon_threadsafe(stop)) for number in STOPPING]
    try:
        yield received
    finally:
        for ear in ears:
            ear.close()
        for number in received:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.raise_signal(number)


class _Ear:
    """A handler of one signal that passes it on to the one before."""

    def __init__(self, number: signal.Signals, received: list[signal.Signals], stop: Callable[[], object]) -> None:
        self._number = number
        self._received = received
        self._stop = stop
        self._closed = False
        self._before: Any = signal.getsignal(number)
        if self._before not in {None, signal.SIG_IGN}:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._closed:
            self._received.append(self._number)
            self._stop()
        if callable(self._before):
            self._before(number, frame)

    @property
    def __self__(self) -> object:
        """The server, if the handler before is a method of it: what streams looks there whether the server stops."""
        return getattr(self._before, "__self__", None)

    def close(self) -> None:
        """Give the signal back; one that was put on top of this one will do it in its turn."""
        self._closed = True
        current: Any = signal.getsignal(self._number)
        if current is self:
            signal.signal(self._number, self._rest)

    @property
    def _rest(self) -> Any:
        # Two starts in one process need not end in the order in which they began.
        before = self._before
        return before._rest if isinstance(before, _Ear) and before._closed else before  # noqa: SLF001 - its own kind
