"""Standard error: the log in colour, and on a terminal which migration is at work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import click

from async_migrations.cli.streams import tell, telling

if TYPE_CHECKING:
    from async_migrations.events import Event

LOGGER = "async_migrations"
"""The package's own logger, as `reporting` has it, whose import a short command does without."""

COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
PAUSE = 0.5
"""Seconds between two looks at the clock."""
LONG = 2.0
"""Seconds after which a migration gets a line that counts them."""


class Progress:
    """An observer that keeps a last line on the terminal, and knows what is done already.

    Attributes:
        done: names of the migrations that were applied or reverted, in order.
        at_work: the migration that runs now, if one does.
        unsure: whether nobody could say that it was not committed when it was cancelled.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.at_work: str | None = None
        self.unsure = False
        self._since = 0.0
        self._drawn = False

    def __call__(self, event: Event, /) -> None:
        """Note what runs and what is done."""
        from async_migrations import events

        if isinstance(event, events.MigrationStarted):
            self.at_work, self._since = event.name, monotonic()
        elif isinstance(event, events.MigrationApplied | events.MigrationReverted):
            self.done.append(event.name)
            self.at_work = None
        elif isinstance(event, events.MigrationUnsure):
            self.unsure = True

    async def watch(self) -> None:
        """Draw the line anew twice a second, until cancelled."""
        import anyio

        while sys.stderr.isatty():
            await anyio.sleep(PAUSE)
            self.draw()

    def draw(self) -> None:
        """Show what runs, if it has run for long."""
        seconds = monotonic() - self._since
        if self.at_work and seconds >= LONG:
            self._write(f"\r\x1b[K… {self.at_work}: at work for {seconds:.0f} s")
            self._drawn = True

    def erase(self) -> None:
        """Clear the line, so that another can be written in its place."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    @staticmethod
    def _write(text: str) -> None:
        with telling():
            sys.stderr.write(text)
            sys.stderr.flush()


class StderrHandler(logging.Handler):
    """Writes records as bare lines to standard error, warnings and errors in colour."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._progress.erase()
        tell(click.style(self.format(record), fg=COLOURS.get(record.levelno)))


@contextmanager
def logging_to_stderr(level: int) -> Iterator[Progress]:
    """Send the package's own logger to standard error for as long as a command runs.

    Args:
        level: the lowest level that is shown.
    """
    logger, progress = logging.getLogger(LOGGER), Progress()
    handler = StderrHandler(progress)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    # It repeats, in a word of its own, each wait that the engine tells of; unheard it goes to stderr.
    logging.getLogger("stamina").addHandler(logging.NullHandler())
    try:
        yield progress
    finally:
        progress.erase()
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
