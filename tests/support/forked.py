"""A process that a zygote forked, as asyncio shows one that was executed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from tests.support.zygote import ENGINE, SERVICE, Order, Streams, zygote

LONGEST_LINE = 1 << 20


class Forked:
    """The process.

    Attributes:
        pid: its number.
        returncode: how it ended, negative for a signal; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def heed(self, end: asyncio.StreamReader) -> None:
        """Wait for the word that it has ended."""
        # A zygote that was killed says nothing, and has taken the process along.
        self.returncode = int(await end.readline() or -signal.SIGKILL)
        self._ended.set()


class Piped(Forked):
    """One whose streams are ours.

    Attributes:
        stdin: what it reads.
        stdout: what it writes.
        stderr: what it complains about.
    """

    def __init__(
        self, pid: int, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader
    ) -> None:
        super().__init__(pid)
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr


@asynccontextmanager
async def fork(order: Order) -> AsyncIterator[Piped]:
    """Have a process forked that has imported the engine and the servers; its streams close at the end of the block."""
    (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = os.pipe(), os.pipe(), os.pipe()
    try:
        end = _fork(order, Streams(stdin, stdout, stderr))
    finally:
        for each in (stdin, stdout, stderr):
            os.close(each)
    async with AsyncExitStack() as stack:
        writer = await _writer(ours_in, stack)
        out, err, says = [await _reader(each, stack) for each in (ours_out, ours_err, end)]
        process = Piped(await _pid(says), writer, out, err)
        stack.callback(asyncio.create_task(process.heed(says)).cancel)
        yield process


@asynccontextmanager
async def fork_on_a_terminal(order: Order, terminal: int) -> AsyncIterator[Forked]:
    """Have a process forked that reads from a terminal and writes to it; it is killed at the end of the block."""
    end = _fork(order, Streams(terminal, terminal, terminal))
    async with AsyncExitStack() as stack:
        says = await _reader(end, stack)
        process = Forked(await _pid(says))
        stack.callback(asyncio.create_task(process.heed(says)).cancel)
        stack.callback(process.kill)
        yield process


def _fork(order: Order, streams: Streams) -> int:
    return zygote(*ENGINE, *SERVICE).fork(order, streams)


async def _pid(says: asyncio.StreamReader) -> int:
    born = await says.readline()
    assert born, "The zygote has ended; what it wrote says why."
    return int(born)


async def _reader(descriptor: int, stack: AsyncExitStack) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    stack.callback(transport.close)
    return reader


async def _writer(descriptor: int, stack: AsyncExitStack) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    stack.callback(_abort, writer)
    return writer


def _abort(writer: asyncio.StreamWriter) -> None:
    # What nobody will read any more is not waited for; a transport whose reader is gone has closed itself.
    if not writer.is_closing():
        writer.transport.abort()
