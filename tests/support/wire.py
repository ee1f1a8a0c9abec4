"""Where messages of PostgreSQL's protocol (version 3) begin and end."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
ENCRYPTION_ASKED = {SSL_REQUEST: "ssl-request", GSS_REQUEST: "gss-request"}
HEADER = 5
UNTYPED_HEADER = 8


class Side(Enum):
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Message:
    """One message that passed.

    Attributes:
        side: Who said it.
        kind: The type's letter as the protocol has it, or ``startup``, ``ssl-request``,
            ``gss-request``, ``cancel-request``, ``encryption-answer``.
        connection: The connection's number, from 1.
        index: The message's number over all connections, from 1.
        data: The whole message, header included.

    """

    side: Side
    kind: str
    connection: int
    index: int
    data: bytes

    @property
    def body(self) -> bytes:
        return self.data[UNTYPED_HEADER if len(self.kind) > 1 else HEADER :]


class Splitter:
    """Cuts the two streams of one connection into messages."""

    def __init__(self) -> None:
        self._rest = {Side.CLIENT: b"", Side.SERVER: b""}
        self._started = False
        self._encryption_asked = False

    def feed(self, side: Side, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield kind and bytes of each message that is complete now."""
        self._rest[side] += data
        while found := self._next(side):
            kind, size = found
            if len(self._rest[side]) < size:
                return
            message, self._rest[side] = self._rest[side][:size], self._rest[side][size:]
            self._note(kind)
            yield kind, message

    def _next(self, side: Side) -> tuple[str, int] | None:
        """Return kind and size of the next message, None when its header is not complete."""
        rest = self._rest[side]
        if side is Side.SERVER and self._encryption_asked:
            return ("encryption-answer", 1) if rest else None
        if side is Side.CLIENT and not self._started:
            return _untyped(rest)
        if len(rest) < HEADER:
            return None
        return chr(rest[0]), 1 + struct.unpack_from("!I", rest, 1)[0]

    def _note(self, kind: str) -> None:
        if kind == "startup":
            self._started = True
        elif kind in ENCRYPTION_ASKED.values():
            self._encryption_asked = True
        elif kind == "encryption-answer":
            self._encryption_asked = False


def _untyped(rest: bytes) -> tuple[str, int] | None:
    if len(rest) < UNTYPED_HEADER:
        return None
    size, code = struct.unpack_from("!II", rest)
    if code == CANCEL_REQUEST:
        return "cancel-request", size
    return ENCRYPTION_ASKED.get(code, "startup"), size
