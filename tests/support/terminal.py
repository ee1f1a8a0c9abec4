"""A terminal for a test: what a command writes to it is read, what is typed reaches the command."""

import asyncio
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DEADLINE = 60.0


@dataclass
class Terminal:
    """A pseudo-terminal, and what was written to it."""

    ours: int
    theirs: int
    text: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def read(self) -> None:
        """Take what was written; for the event loop's `add_reader`."""
        self.text += os.read(self.ours, 65536).decode()
        self.news.set()

    async def shows(self, text: str) -> None:
        """Wait until `text` was written."""
        try:
            async with asyncio.timeout(DEADLINE):
                while text not in self.text:
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not written: {self.text!r}") from None

    def type(self, keys: str) -> None:
        """Press keys, as the terminal sends them: a line ends in a line break, Ctrl-D ends the input."""
        os.write(self.ours, keys.encode())


@contextmanager
def opened_terminal() -> Iterator[Terminal]:
    """Open a pseudo-terminal."""
    ours, theirs = pty.openpty()
    try:
        yield Terminal(ours, theirs)
    finally:
        os.close(ours)
        os.close(theirs)
