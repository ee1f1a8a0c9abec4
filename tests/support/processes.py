"""Child processes of tests: their lines are events, and none of them outlives its test."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.forked import LONGEST_LINE, Piped, fork
from tests.support.zygote import Order

READY = "READY"
COMMAND = "from async_migrations.__main__ import main; main()"
"""The command line, for `child_process`."""
# Where util-linux has it, the kernel ends a child of ours with us, even when we are killed.
TIED_TO_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


@dataclass(eq=False, slots=True)
class _Wait:
    """One who waits for lines; each line is looked at once, also where fifty wait for one of thousands."""

    search: Callable[[str], object]
    count: int
    found: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, line: str) -> None:
        if self.search(line):
            self.found.append(line)
        if len(self.found) >= self.count:
            self.over.set()


class Child:
    """A running child process.

    Attributes:
        lines: What it wrote to its standard output so far.
        errors: What it wrote to its standard error so far.

    """

    def __init__(self, process: asyncio.subprocess.Process | Piped) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._process = process
        self._waits: list[_Wait] = []
        self._silent = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def line_matching(self, pattern: str, *, deadline: float = 20.0) -> str:
        """Wait for a line of either stream in which a regular expression is found; return it.

        Args:
            pattern: The regular expression.
            deadline: Seconds until the wait fails, with all that the child wrote in the message.

        """
        return (await self.lines_matching(pattern, 1, deadline=deadline))[0]

    async def lines_matching(self, pattern: str, count: int, *, deadline: float = 20.0) -> list[str]:
        """Wait for so many lines of either stream in which a regular expression is found, as `line_matching`."""
        wait = _Wait(re.compile(pattern).search, count)
        for line in (*self.lines, *self.errors):
            wait.hear(line)
        if self._silent.is_set():
            wait.over.set()
        self._waits.append(wait)
        try:
            async with asyncio.timeout(deadline):
                await wait.over.wait()
        except TimeoutError:
            raise AssertionError(f"no line with {pattern!r} within {deadline} s\n{self.transcript()}") from None
        finally:
            self._waits.remove(wait)
        assert len(wait.found) >= count, f"the child ended without a line with {pattern!r}\n{self.transcript()}"
        return wait.found

    async def write_line(self, line: str = "") -> None:
        """Write a line to the child's standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL; nothing happens when it has ended already."""
        if self._process.returncode is None:
            self._process.kill()

    async def wait(self, *, deadline: float = 60.0) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        try:
            async with asyncio.timeout(deadline):
                await self._silent.wait()
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"the child still ran after {deadline} s\n{self.transcript()}") from None

    def transcript(self) -> str:
        """Return all that it wrote, for the message of a failed test."""
        return "\n".join(["-- stdout", *self.lines, "-- stderr", *self.errors])

    async def listen(self) -> None:
        """Collect its lines until it has closed both streams."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        await asyncio.gather(
            self._collect(self._process.stdout, self.lines), self._collect(self._process.stderr, self.errors)
        )
        self._silent.set()
        for wait in self._waits:
            wait.over.set()

    async def _collect(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode("utf-8", "replace").rstrip("\n"))
            for wait in self._waits:
                wait.hear(lines[-1])


@asynccontextmanager
async def child_process(
    script: Path | str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
    directory: Path | None = None,
) -> AsyncIterator[Child]:
    """Run a Python script in a child process; it is killed at the end of the block.

    Args:
        script: A file, or the source itself.
        arguments: What the script finds in ``sys.argv[1:]``.
        environment: Variables to add to ours.
        within: A command that runs another one in a place of its own, such as ``ip netns exec``.
        directory: Where it starts, if not where we are.

    """
    program = [str(script)] if isinstance(script, Path) else ["-c", script]
    async with _running([*program, *arguments], environment or {}, within, directory) as child:
        yield child


@asynccontextmanager
async def module_process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> AsyncIterator[Child]:
    """Run a module as `python -m` does, in `directory` if it is not ours, as `child_process` runs a script."""
    async with _running(["-m", module, *arguments], environment or {}, directory=directory) as child:
        yield child


@asynccontextmanager
async def _running(
    program: Sequence[str],
    environment: Mapping[str, str],
    within: Sequence[str] = (),
    directory: Path | None = None,
) -> AsyncIterator[Child]:
    order = Order(program, {**os.environ, **environment}, str(directory or Path.cwd()))
    # An interpreter that is there already has read its own variables.
    forkable = not within and not any(name.startswith("PYTHON") for name in environment)
    async with fork(order) if forkable else _execute(order, within) as process:
        child = Child(process)
        listening = asyncio.create_task(child.listen())
        try:
            yield child
        finally:
            child.kill()
            await process.wait()
            listening.cancel()


@asynccontextmanager
async def _execute(order: Order, within: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *TIED_TO_US,
        *within,
        sys.executable,
        "-u",
        *order.program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=order.environment,
        cwd=order.directory,
        limit=LONGEST_LINE,
    )
    try:
        yield process
    finally:
        # A grandchild may hold the streams open for longer than we care.
        process._transport.close()  # type: ignore[attr-defined]  # asyncio offers no other way


async def start_together(children: Sequence[Child]) -> None:
    """Wait until each child stands at its `starting_line`, then let all of them go at one moment."""
    await asyncio.gather(*(child.line_matching(f"^{READY}$", deadline=60) for child in children))
    await asyncio.gather(*(child.write_line() for child in children))


def starting_line() -> None:
    """Say that this process is ready, and wait until the test lets it go; for use in a child."""
    print(READY, flush=True)
    sys.stdin.readline()
