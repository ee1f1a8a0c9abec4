"""Standard output and standard error, which may be full, closed, or a pipe that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from typing import TextIO

import click


def tell(text: str) -> None:
    """Write to standard error; that nobody can read it stops no migration."""
    with telling():
        click.echo(text, err=True)


@contextmanager
def telling() -> Iterator[None]:
    """Let what is inside write to standard error, and go on where that cannot be."""
    try:
        yield
    except (OSError, ValueError):
        mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Lead a stream nowhere: what is still in its buffer would fail again at the process's end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def stdout_aside() -> Iterator[None]:
    """Keep what migrations write, and the programs that they call, away from the one document on standard output."""
    with _descriptor_aside(sys.stdout) if _number(sys.stdout) == 1 else nullcontext(), redirect_stdout(sys.stderr):
        yield


@contextmanager
def _descriptor_aside(stream: TextIO) -> Iterator[None]:
    stream.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        with telling():
            stream.flush()
        os.dup2(real, 1)
        os.close(real)


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:
        return None  # a test's own


def unwritten(error: OSError | UnicodeError) -> int:
    """Say that standard output cannot be written; of a pipe that nobody reads any more there is nothing to say.

    Returns:
        The exit code.
    """
    mute(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        reason = error.strerror if isinstance(error, OSError) else error
        tell(
            f"The answer cannot be written to standard output: {reason}. What the command did stays; "
            "`async-migrations status` shows it."
        )
    return 1
