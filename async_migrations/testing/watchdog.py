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

# Its input ends when the process that holds the other end of the pipe ends.
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
    watchdog = subprocess.Popen(  # noqa: S603 - a constant script
        ["/bin/sh", "-c", WATCHDOG, "sh", directory],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with watchdog:
        account = unprivileged()
        if account:
            os.chown(directory, account["user"], account["group"])
        yield directory


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
