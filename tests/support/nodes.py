"""Nodes of a cluster: network namespaces, each on a wire of its own to this machine, which can be cut."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

NETWORK = "198.18.0.0/15"
"""Kept free for tests by RFC 2544."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        name: Its namespace.
        host: This machine's address on the node's wire.

    """

    name: str
    host: str

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one on the node."""
        return ("ip", "netns", "exec", self.name)

    def vanish(self) -> None:
        """Cut the wire: nothing that either side sends arrives, and neither is told."""
        _ip("-n", self.name, "link", "set", "eth0", "down")


@contextmanager
def node() -> Iterator[Node]:
    """Add a node; the test is skipped where this process must not."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not here: install it with apt-get install iproute2")
    number = random.randrange(1 << 15)  # noqa: S311 - a place, no secret
    name = f"node{os.getpid()}-{number}"
    wire = f"wire{number}"
    third, fourth = divmod(number * 4, 256)
    second, third = divmod(third, 256)
    host, guest = (f"198.{18 + second}.{third}.{fourth + last}/30" for last in (1, 2))
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here, which need root and CAP_SYS_ADMIN: {error.stderr.strip()}")
    try:
        _ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", host, "dev", wire)
        _ip("link", "set", wire, "up")
        _ip("-n", name, "address", "add", guest, "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        yield Node(name, host.partition("/")[0])
    finally:
        _ip("netns", "delete", name)  # its end of the wire, and so the wire, goes with it


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
