"""SIGTERM and Ctrl-C while a service starts: what runs is cancelled, and the server hears of them too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from async_migrations.alarm import ring
from async_migrations.signals import Handler

STOPPING = (signal.SIGTERM, signal.SIGINT)


def is_stopping() -> bool:
    """Tell whether the server was told to stop; uvicorn's says so, by itself and under gunicorn.

    ASGI has no message for it while the application starts, nor before the last answer has ended.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True


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

    def hear(number: signal.Signals) -> None:
        received.append(number)
        loop.call_soon_threadsafe(stop)
        ring()

    heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = [Handler(number, partial(hear, number)) for number in heeded]
    try:
        yield received
    finally:
        for handler in handlers:
            handler.close()
        for number in received:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.raise_signal(number)
