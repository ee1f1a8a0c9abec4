"""A private server that the workers of one test run share, and that goes with the last of them, however they end."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from async_migrations.testing.binaries import ServerError, scratch_places, unprivileged
from async_migrations.testing.postmaster import running_postmaster
from async_migrations.testing.server import Server
from async_migrations.testing.watchdog import SHARED_MEMORY, dismiss, place_for_data, start_watchdog

DEADLINE = 60.0

CLONES_SINCE = 18
KERNEL_COPIES = {"file_copy_method": "clone"}
"""Let the kernel copy the files of a template: a third less work, also where a file system shares no blocks."""

# Its input has a line, or ends, when its process ends. The last one whose process has ended does the rest: a directory
# that is empty can be removed by one of them only, and nobody can join any more.
WATCHDOG = """
trap '' HUP INT TERM
read -r _
rmdir "$1/users/$2"
rmdir "$1/users" 2>/dev/null || exit 0
home=$1
if [ "$3" = goes ]; then home=$1.gone; mv "$1" "$home"; fi
pid=$(head -n 1 "$home/data/postmaster.pid")
if [ -e "$home/stay" ]; then
    while [ -n "$pid" ] && kill -0 "$pid"; do sleep 1; done
    rm -f "$home/stay"
elif [ -n "$pid" ]; then kill -INT "$pid"
fi
tries=0
while [ -n "$pid" ] && kill -0 "$pid" && [ $tries -lt 400 ]; do sleep 0.05; tries=$((tries + 1)); done
[ "$3" = goes ] || exit 0
until rm -rf "$home" && [ ! -e "$home" ] || [ $tries -ge 800 ]; do sleep 0.05; tries=$((tries + 1)); done
"""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a shared server lives.

    Args:
        directory: the data and the names of the users lie below it.
        stays: whether the data outlives the last user.
    """

    directory: Path
    stays: bool = False

    @property
    def data(self) -> Path:
        """The server's own directory."""
        return self.directory / "data"

    @property
    def users(self) -> Path:
        """A directory with an entry for each user; without it nobody may join."""
        return self.directory / "users"

    @property
    def is_wanted(self) -> bool:
        """Whether the server is to run on when its last user has gone."""
        return (self.directory / "stay").exists()

    def want(self) -> None:
        """Let the server run on until somebody ends it, and remove the data then."""
        (self.directory / "stay").touch()

    def join(self) -> str:
        """Become a user; return the name of our entry.

        Raises:
            ServerError: the directory belongs to somebody else, or the last users do not go.
        """
        name = f"{os.getpid()}-{uuid4().hex[:8]}"
        deadline = time.monotonic() + DEADLINE
        while not self._enter(name):
            if time.monotonic() > deadline:
                raise ServerError(f"{self.directory} is being left for {DEADLINE:.0f} s. Remove it.")
            time.sleep(0.01)
        return name

    def _enter(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            # Anybody may make a directory of this name in the memory that all accounts share.
            if not _is_ours(self.directory):
                raise ServerError(f"{self.directory} belongs to another account, or is a symbolic link. Remove it.")
            (self.users / name).mkdir()
            return True
        if not self.directory.exists():
            self._make()
        elif self.stays and (self.is_wanted or not running_postmaster(self.data)):
            self.users.mkdir(exist_ok=True)
        return False

    def _make(self) -> None:
        """Make all of it at once, so that nobody sees a half."""
        unfinished = self.directory.with_name(f"{self.directory.name}.{uuid4().hex[:8]}")
        (unfinished / "users").mkdir(parents=True)
        (unfinished / "data").mkdir(mode=0o700)
        unfinished.chmod(0o755)
        account = unprivileged()
        if account:
            os.chown(unfinished / "data", account["user"], account["group"])
        try:
            unfinished.rename(self.directory)
        except OSError:
            for each in (unfinished / "users", unfinished / "data", unfinished):
                each.rmdir()


def home_of(run: str) -> Home:
    """Return where the server of one test run lives, in memory where there is room.

    Args:
        run: what tells this run from all others, the same in all its workers.
    """
    name = f"async-migrations-{run}"
    # There may be room for the first worker, and none for the next.
    started = next((place / name for place in (SHARED_MEMORY, *scratch_places()) if (place / name).exists()), None)
    return Home(started or place_for_data() / name)


def kept_home_of(project: Path, version: int) -> Home:
    """Return where the server of one project lives, from one test run to the next.

    Args:
        project: its directory.
        version: the major version of PostgreSQL.
    """
    digest = hashlib.sha256(f"{os.geteuid()} {version} {project}".encode()).hexdigest()[:16]
    return Home(place_for_data() / f"async-migrations-{digest}", stays=True)


@contextmanager
def shared_server(home: Home, version: int) -> Iterator[Server]:
    """Run the server, or share the one that runs there; the last user's end is its end.

    Args:
        home: where.
        version: the major version of PostgreSQL.

    Raises:
        ServerError: it cannot be started.
    """
    name = home.join()
    watchdog = start_watchdog(WATCHDOG, home.directory, name, "stays" if home.stays else "goes")
    try:
        settings = KERNEL_COPIES if version >= CLONES_SINCE and _kernel_copies(home.users / name) else {}
        server = Server(home.data, version=version, durable=False, settings=settings)
        server.start()
        try:
            yield server
        finally:
            server.leave() if home.is_wanted else server.stop()
    finally:
        dismiss(watchdog, wait=not home.is_wanted)


def _kernel_copies(directory: Path) -> bool:
    """Tell whether the kernel copies files here by itself."""
    source, target = directory / "source", directory / "target"
    source.write_bytes(b"1")
    try:
        with source.open("rb") as read, target.open("wb") as written:
            return os.copy_file_range(read.fileno(), written.fileno(), 1) == 1
    except (AttributeError, OSError):
        return False
    finally:
        source.unlink()
        target.unlink(missing_ok=True)


def _is_ours(directory: Path) -> bool:
    return directory.lstat().st_uid == os.geteuid() and not directory.is_symlink()
