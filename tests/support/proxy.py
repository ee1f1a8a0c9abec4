"""A TCP proxy that reads PostgreSQL's protocol, counts its messages, and strikes at any of them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

from tests.support.wire import Message, Side, Splitter

READ_AT_ONCE = 1 << 16

Callback = Callable[[Message], Awaitable[object]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Action(Enum):
    """What can happen to a connection.

    RESET: client and server each get a RST.
    RESET_CLIENT: the client gets a RST, the server hears nothing more.
    SILENCE: nothing passes any more, and both sides stay connected.
    """

    RESET = "reset"
    RESET_CLIENT = "reset-client"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes, and when.

    Attributes:
        at: The number of the message, from 1, over all connections.
        action: What happens; a callback may do anything else, and the message passes all the same.
        before: Strike before the message passes; then RESET and SILENCE swallow it.
        everywhere: Strike all connections that are open, and with SILENCE all later ones too;
            False for the message's own connection only.

    """

    at: int
    action: Action | Callback
    before: bool = False
    everywhere: bool = True


class Link:
    """One connection of a client, and the connection to the server that belongs to it."""

    def __init__(self, number: int, client: Streams, server: Streams) -> None:
        self.number = number
        self.backend_pid: int | None = None
        self.round_trips = 0
        self._splitter = Splitter()
        self._readers = {Side.CLIENT: client[0], Side.SERVER: server[0]}
        self._writers = {Side.CLIENT: client[1], Side.SERVER: server[1]}
        self._held = {Side.CLIENT: bytearray(), Side.SERVER: bytearray()}
        self._last: Side | None = None
        self.silent = False
        for writer in self._writers.values():
            # So that drain() returns only when the kernel has everything.
            writer.transport.set_write_buffer_limits(0)

    async def pump(self, side: Side, see: Callable[["Link", Side, str, bytes], Awaitable[None]]) -> None:
        """Hand on what one side says, message by message, until it has no more to say."""
        try:
            while data := await self._readers[side].read(READ_AT_ONCE):
                for kind, message in self._splitter.feed(side, data):
                    if self.silent:
                        return
                    await see(self, side, kind, message)
                await self.hand_on(side)
        except OSError:
            if not self.silent:
                self.strike(Action.RESET)
        else:
            if not self.silent:
                with contextlib.suppress(OSError):  # both ends may go at once
                    self._writers[_opposite(side)].write_eof()

    def note(self, message: Message) -> None:
        """Count round trips: a client that speaks after the server has spoken has waited for it."""
        if message.side is Side.CLIENT and self._last is Side.SERVER:
            self.round_trips += 1
        if message.side is Side.SERVER and message.kind == "K":
            self.backend_pid = struct.unpack_from("!I", message.body)[0]
        self._last = message.side

    def hold(self, message: Message) -> None:
        """Keep a message until it is handed on, with others that came with it: a packet for each takes far longer."""
        self._held[message.side] += message.data

    async def hand_on(self, side: Side) -> None:
        """Forward what is held of one side, unless the link has gone silent."""
        held, self._held[side] = self._held[side], bytearray()
        if held and not self.silent:
            writer = self._writers[_opposite(side)]
            writer.write(held)
            await writer.drain()

    def strike(self, action: Action) -> None:
        """Let an action happen to this link."""
        self.silent = True
        if action is not Action.SILENCE:
            _reset(self._writers[Side.CLIENT])
        if action is Action.RESET:
            _reset(self._writers[Side.SERVER])

    def close(self) -> None:
        """Close both connections."""
        for writer in self._writers.values():
            writer.close()


def _opposite(side: Side) -> Side:
    return Side.SERVER if side is Side.CLIENT else Side.CLIENT


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a socket so that the other end gets a RST instead of a FIN."""
    if not writer.transport.is_closing():
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


class WireProxy:
    """A proxy on 127.0.0.1 in front of a server, while the ``async with`` block runs.

    Args:
        host: The server's host.
        port: The server's port.
        fault: What strikes, once.
        on_message: Called with each message before it passes.

    """

    def __init__(self, host: str, port: int, *, fault: Fault | None = None, on_message: Callback | None = None) -> None:
        self.messages: list[Message] = []
        self.links: list[Link] = []
        self.struck = asyncio.Event()
        self.port = 0
        self._upstream = (host, port)
        self._fault = fault
        self._on_message = on_message
        self._all_silent = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def round_trips(self) -> int:
        """Count each time a client has spoken after the server; the Terminate at the end is one too."""
        return sum(link.round_trips for link in self.links)

    def url(self, url: str) -> str:
        """Return a database URL that goes through this proxy."""
        through = make_url(url).set(host="127.0.0.1", port=self.port)
        return through.render_as_string(hide_password=False)

    def arm(self, fault: Fault) -> None:
        """Strike at a later message than planned, or once more."""
        self._fault = fault
        self.struck.clear()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            # What a callback raised would be lost in its task; the test's own error goes first.
            if isinstance(end, Exception) and error is None:
                raise end

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._serve((reader, writer))))

    async def _serve(self, client: Streams) -> None:
        try:
            server = await asyncio.open_connection(*self._upstream)
        except OSError:
            _reset(client[1])
            return
        link = Link(len(self.links) + 1, client, server)
        self.links.append(link)
        if self._all_silent:
            link.strike(Action.SILENCE)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(link.pump(Side.CLIENT, self._see))
                pumps.create_task(link.pump(Side.SERVER, self._see))
            if link.silent:
                await asyncio.Event().wait()
        finally:
            link.close()

    async def _see(self, link: Link, side: Side, kind: str, data: bytes) -> None:
        message = Message(side, kind, link.number, len(self.messages) + 1, data)
        self.messages.append(message)
        link.note(message)
        if self._on_message:
            await link.hand_on(side)
            await self._on_message(message)
        fault = self._fault if self._fault and self._fault.at == message.index else None
        if fault and fault.before:
            await link.hand_on(side)
            await self._strike(fault, link, message)
        link.hold(message)
        if fault and not fault.before:
            await link.hand_on(side)
            await self._strike(fault, link, message)

    async def _strike(self, fault: Fault, link: Link, message: Message) -> None:
        self.struck.set()
        if not isinstance(fault.action, Action):
            await fault.action(message)
            return
        self._all_silent = fault.everywhere and fault.action is Action.SILENCE
        for victim in self.links if fault.everywhere else [link]:
            victim.strike(fault.action)
