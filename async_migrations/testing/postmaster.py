"""The first process of a server: how it is started, and how it is found."""

import os
import random
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from async_migrations.testing.binaries import ServerError, clean_environment, unprivileged

# Outside the range from which kernels hand out ports to clients, so that no
# connection takes the port while the server restarts.
PORTS = range(15000, 32000)
LINES_OF_LOG = 20


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What the file ``postmaster.pid`` of a data directory says.

    Attributes:
        pid: The process id of the server.
        port: The TCP port on 127.0.0.1; 0 as long as it is unknown.
        ready: Whether the server accepts connections.

    """

    pid: int
    port: int = 0
    ready: bool = False

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the file's text; None when it does not even name a process."""
        lines = dict(enumerate(line.strip() for line in text.splitlines()))
        pid, port = lines.get(0, ""), lines.get(3, "")
        if not pid.isdigit():
            return None
        return cls(int(pid), port=int(port) if port.isdigit() else 0, ready=lines.get(7) == "ready")


def running_postmaster(directory: Path) -> Postmaster | None:
    """Return the server that runs on a data directory; a file that a dead one left is no server."""
    try:
        postmaster = Postmaster.parse((directory / "postmaster.pid").read_text("utf-8"))
    except FileNotFoundError:
        return None
    if postmaster is None or not _serves(postmaster.pid, directory):
        return None
    return postmaster


def _serves(pid: int, directory: Path) -> bool:
    """Tell whether a process is the server of a directory, and no later one of the same number."""
    try:
        os.kill(pid, 0)
        # Readable for every account, unlike the links next to it in a container without SYS_PTRACE.
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except FileNotFoundError:
        return not Path("/proc/self/cmdline").exists()
    if b"-D" in arguments[:-1]:
        named = Path(os.fsdecode(arguments[arguments.index(b"-D") + 1]))
        return named.resolve() == directory.resolve()
    return Path(os.fsdecode(arguments[0])).name.startswith(("postgres", "postmaster"))


def spawn_postmaster(
    binaries: Path, directory: Path, settings: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a server, out of reach of the terminal's Ctrl-C; it is not ready yet.

    Args:
        binaries: The directory with the programs.
        directory: Its data.
        settings: Server settings, by name.
        log: The file that it appends to.

    """
    options = [f"--{name}={value}" for name, value in settings.items()]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own program with our own arguments
            [binaries / "postgres", "-D", directory, *options],
            cwd=directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **unprivileged(),
        )


def log_since(log: Path, written: int) -> str:
    """Return the last lines of a log.

    Args:
        log: The file.
        written: How many bytes at its start are of no interest.

    """
    with log.open("rb") as lines:
        lines.seek(written)
        return "\n".join(lines.read().decode("utf-8", "replace").splitlines()[-LINES_OF_LOG:])


def free_port() -> int:
    """Choose a TCP port on 127.0.0.1 on which nobody listens.

    Raises:
        ServerError: There is none.

    """
    for _ in range(100):
        port = random.choice(PORTS)  # noqa: S311 - spread, no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("No free port was found on 127.0.0.1.")
