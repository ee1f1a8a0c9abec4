"""A directory for a server that does not outlive the process that made it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from async_migrations.testing.binaries import ServerError, scratch_places, unprivileged

ROOM_FOR_DATABASES = 1 << 30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - names in it are made unique

_WATCHDOGS: set[subprocess.Popen[bytes]] = set()
"""Those of this process that wait for its end."""

# Its input has a line, or ends, when the process that holds the other end of the pipe ends.
WATCHDOG = """
trap '' HUP INT TERM
read -r _
pid=$(head -n 1 "$1/postmaster.pid") && kill -QUIT "$pid"
tries=0
while [ -n "$pid" ] && kill -0 "$pid" && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
until rm -rf "$1" && [ ! -e "$1" ] || [ $tries -ge 400 ]; do sleep 0.05; tries=$((tries + 1)); done
"""


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory for a server's data that is gone when we are, however we end.

    It lies in memory when there is room. A small process waits for our end, stops the server
    that still runs there, and removes the directory.

    Yields:
        The directory, owned by the account that the server runs under.

    Raises:
        ServerError: That account reaches no directory for temporary files.

    """
    directory = Path(tempfile.mkdtemp(prefix="async-migrations-", dir=place_for_data()))
    watchdog = start_watchdog(WATCHDOG, directory)
    try:
        account = unprivileged()
        if account:
            os.chown(directory, account["user"], account["group"])
        yield directory
    finally:
        dismiss(watchdog)


def start_watchdog(script: str, *arguments: Path | str) -> subprocess.Popen[bytes]:
    """Start a small process that waits for our end.

    Args:
        script: What it runs; it reads a line first.
        arguments: The script's.
    """
    watchdog = subprocess.Popen(  # noqa: S603 - a constant script
        ["/bin/sh", "-c", script, "sh", *arguments],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _WATCHDOGS.add(watchdog)
    return watchdog


def dismiss(watchdog: subprocess.Popen[bytes], *, wait: bool = True) -> None:
    """Tell a watchdog that we end.

    Args:
        watchdog: Which.
        wait: False to leave it alone, because it waits itself for a server that stays.
    """
    _WATCHDOGS.discard(watchdog)
    if watchdog.stdin is not None and not watchdog.stdin.closed:
        # A line and no mere end: what was forked without Python's knowledge may hold the pipe, too.
        with contextlib.suppress(OSError):
            watchdog.stdin.write(b"\n")
            watchdog.stdin.close()
    if wait:
        watchdog.wait()
    else:
        # Python must not warn that nobody waits for it.
        watchdog.returncode = 0


def _close_in_child() -> None:
    """Let a forked child, such as the worker of a pool, hold no pipe of ours: it may outlive us."""
    for watchdog in _WATCHDOGS:
        if watchdog.stdin is not None:
            watchdog.stdin.close()


os.register_at_fork(after_in_child=_close_in_child)


def place_for_data() -> Path:
    """Return a directory for throw-away data that the server's account reaches: in memory when there is room.

    Raises:
        ServerError: There is none.
    """
    if _has_room(SHARED_MEMORY):
        return SHARED_MEMORY
    for place in scratch_places():
        return place
    raise ServerError("The account that the server runs under reaches no directory for temporary files.")


def _has_room(memory: Path) -> bool:
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return False
    return shutil.disk_usage(memory).free >= ROOM_FOR_DATABASES
