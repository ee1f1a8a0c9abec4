"""Python's garbage collector, held back while many values are made: a full collection stops every thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Collector:
    lock: threading.Lock = field(default_factory=threading.Lock)
    holders: int = 0
    was_enabled: bool = False


_collector = _Collector()


@contextmanager
def held_back() -> Iterator[None]:
    """Have no automatic collection for a moment.

    A thousand tables are fifty thousand values. Making them sets off full collections, and each of those walks
    through all models of the application while the event loop stands still: half a second, measured.
    """
    with _collector.lock:
        if _collector.holders == 0:
            _collector.was_enabled = gc.isenabled()
            gc.disable()
        _collector.holders += 1
    try:
        yield
    finally:
        with _collector.lock:
            _collector.holders -= 1
            if _collector.holders == 0 and _collector.was_enabled:
                gc.enable()
