"""A data directory: how it is made, and who uses it."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from async_migrations.testing.archive import archive_for, pack, unpack
from async_migrations.testing.binaries import ServerError, can_enter, run_as, unprivileged

HOME_OF_UNREACHABLE = Path("/var/lib/async-migrations")


class Sharing:
    """A lock on a directory: many processes share it, or one has it alone.

    The kernel frees it when a process ends, however it ends.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY)

    def share(self) -> None:
        """Wait while another process has the lock alone, then share it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def wait(self) -> None:
        """Wait until no other process has or shares the lock, then have it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def alone(self) -> bool:
        """Try to have the lock alone; when that fails our share is lost too."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the lock up, for a forked child that has the same one, too."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def make_directory(directory: Path) -> Path:
    """Make a directory for data, owned by the account that the server runs under.

    Root's own directories are closed to that account, and they stay so: there the data goes
    to ``/var/lib/async-migrations``, and a symbolic link stands where it was asked for.

    Args:
        directory: Where the data is asked for; what is in it already stays untouched.

    Returns:
        Where it is.

    Raises:
        ServerError: It cannot be made, or holds files out of the server's reach.
    """
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Of two commands that start together the second finds the link that the first has made.
        with contextlib.closing(Sharing(directory.parent)) as turn:
            turn.wait()
            directory = directory.resolve()
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _hand_over(directory)
            return directory if can_enter(unprivileged(), directory) else _link_to_reachable(directory)
    except OSError as error:
        raise ServerError(f"{directory} cannot be made: {error.strerror}. Name another directory.") from error


def _hand_over(directory: Path) -> None:
    account = unprivileged()
    if account and not any(directory.iterdir()):
        os.chown(directory, account["user"], account["group"])


def _link_to_reachable(directory: Path) -> Path:
    if any(directory.iterdir()):
        raise ServerError(
            f"{directory} holds files, and the account that the server runs under cannot reach it. "
            "Name another directory."
        )
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    reachable = HOME_OF_UNREACHABLE / digest
    HOME_OF_UNREACHABLE.mkdir(mode=0o755, parents=True, exist_ok=True)
    reachable.mkdir(mode=0o700, exist_ok=True)
    _hand_over(reachable)
    directory.rmdir()
    directory.symlink_to(reachable)
    return reachable


def version_of(directory: Path) -> int | None:
    """Return the major version that made a data directory; None when it is not complete."""
    try:
        return int((directory / "PG_VERSION").read_text("utf-8"))
    except FileNotFoundError:
        return None


def initialise(directory: Path, binaries: Path, *, durable: bool) -> None:
    """Run initdb in an empty directory, or for data that is thrown away, unpack what it made a while ago.

    ``PG_VERSION`` arrives last, so that it means a complete directory whatever interrupts us.

    Args:
        directory: An empty directory, or one in which this was interrupted.
        binaries: The directory with the programs.
        durable: False to leave it to the kernel when the files reach the disk. Clusters that are not durable
            may have PostgreSQL's system identifier in common.

    Raises:
        ServerError: There are other files in it, or initdb failed.

    """
    partial = directory / "initdb.partial"
    if partial.exists():
        _clear(directory)
    elif any(directory.iterdir()):
        raise ServerError(f"{directory} holds files, but no data of PostgreSQL. Name another directory, or empty it.")
    archive = None if durable else archive_for(binaries)
    if archive is None or not unpack(archive, partial):
        _initdb(partial, binaries, [] if durable else ["--no-sync"])
        if archive is not None:
            pack(partial, archive)
    for entry in sorted(partial.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
        entry.rename(directory / entry.name)
    partial.rmdir()


def _initdb(target: Path, binaries: Path, options: Sequence[str]) -> None:
    settings = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    done = run_as(unprivileged(), [binaries / "initdb", "-D", target, *settings, *options], target.parent)
    if done.returncode:
        raise ServerError(f"initdb could not make {target.parent}:\n{done.stdout}")


def _clear(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
