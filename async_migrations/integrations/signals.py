"""SIGTERM and Ctrl-C while a service starts: what runs is cancelled, and the server hears of them too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

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
    before = {number: signal.getsignal(number) for number in STOPPING}

    def take(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        loop.call_soon_threadsafe(stop)
        theirs = before[signal.Signals(number)]
        if callable(theirs):
            theirs(number, frame)

    ours = [number for number, theirs in before.items() if theirs not in {None, signal.SIG_IGN}]
    for number in ours:
        signal.signal(number, take)
    try:
        yield received
    finally:
        for number in ours:
            signal.signal(number, before[number])
        for number in received:
            if before[number] is signal.SIG_DFL:
                signal.raise_signal(number)
