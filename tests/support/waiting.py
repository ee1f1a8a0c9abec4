"""Waiting for a condition that only the server knows, and that it has to be asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02


async def eventually(question: Callable[[], Awaitable[T]], *, deadline: float = 10.0) -> T:
    """Ask until the answer is true; return it.

    Args:
        question: What to ask, such as a query; anything truthy ends the wait.
        deadline: Seconds until the wait fails, with the last answer in the message.

    """
    answer: T | None = None
    try:
        async with asyncio.timeout(deadline):
            while not (answer := await question()):  # noqa: ASYNC110 - nothing tells us but the server
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        name = getattr(question, "__name__", "the condition")
        raise AssertionError(f"{name} was still {answer!r} after {deadline} s") from None
    return answer
