"""A load balancer as a Service of Kubernetes is one: it hands each new connection to a pod that is ready."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager, suppress

from tests.support.waiting import eventually

CHUNK = 1 << 16


class Balancer:
    """Passes connections on, in turns.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        ready: The pods that get connections, each with its port.

    """

    def __init__(self) -> None:
        self.port = 0
        self.ready: dict[Hashable, int] = {}
        self._turns = itertools.count()
        self._open: Counter[Hashable] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def drained(self, pod: Hashable) -> None:
        """Wait until no connection to a pod is open any more."""

        async def is_empty() -> bool:
            return not self._open[pod]

        await eventually(is_empty, deadline=30)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        finally:
            self._tasks.discard(task)
            await _close(writer)

    async def close(self) -> None:
        """Cut what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pods = list(self.ready)
        if not pods:
            return
        pod = pods[next(self._turns) % len(pods)]
        self._open[pod] += 1
        try:
            with suppress(OSError):
                theirs, ours = await asyncio.open_connection("127.0.0.1", self.ready[pod])
                try:
                    await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))
                finally:
                    await _close(ours)
        finally:
            self._open[pod] -= 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """Run a balancer."""
    balancer = Balancer()
    server = await asyncio.start_server(balancer.accept, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield balancer
    finally:
        await balancer.close()


class Traffic:
    """Steady requests from a few clients, one after the other in each.

    Attributes:
        served: How many were answered with 200, by what `label` says of the answer.
        lost: What went wrong with the others.

    """

    def __init__(self, port: int, request: bytes, label: Callable[[bytes], str]) -> None:
        self.served: Counter[str] = Counter()
        self.lost: list[str] = []
        self._port = port
        self._request = request
        self._label = label
        self._enough = asyncio.Event()

    async def more(self, count: int, label: str | None = None) -> None:
        """Wait until so many more were answered."""
        aim = self._count(label) + count

        async def enough() -> bool:
            return self._count(label) >= aim

        await eventually(enough, deadline=60)

    def _count(self, label: str | None) -> int:
        return self.served.total() if label is None else self.served[label]

    @asynccontextmanager
    async def flowing(self, clients: int = 3) -> AsyncIterator[None]:
        """Send requests for as long as the block runs; those on the way at its end are still answered."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(self._send_all())
            try:
                yield
            finally:
                self._enough.set()

    async def _send_all(self) -> None:
        while not self._enough.is_set():
            try:
                async with asyncio.timeout(30):
                    self._note(await self._send())
            except (OSError, TimeoutError) as error:
                self.lost.append(repr(error))
            await asyncio.sleep(0.03)  # a pace, and nothing that anybody waits for

    async def _send(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._request)
            return await reader.read()
        finally:
            await _close(writer)

    def _note(self, answer: bytes) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            self.served[self._label(body)] += 1
        else:
            self.lost.append(answer.decode() or "no answer")
