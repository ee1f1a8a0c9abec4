"""A handler of one signal that is put on top of another, in any order, and taken off again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Handler:
    """Calls `hear` when a signal comes, then the handler before it, which is back in its place after `close`.

    Construct it in the main thread: Python lets no other set handlers.

    Args:
        number: which signal.
        hear: is called in the main thread, between two instructions of whatever runs there.
    """

    def __init__(self, number: signal.Signals, hear: Callable[[], object]) -> None:
        self._number = number
        self._hear = hear
        self._closed = False
        self._before: Any = signal.getsignal(number)
        if self._before is not None:  # one that C set could not be given back
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take the signal, and pass it on, whatever comes of it."""
        try:
            if not self._closed:
                self._hear()
        finally:
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
        # Two that are open at once need not be closed in the order in which they were opened.
        before = self._before
        return before._rest if isinstance(before, Handler) and before._closed else before  # noqa: SLF001 - its own kind
