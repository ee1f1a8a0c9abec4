"""A fresh cluster, kept in one file: to unpack it takes a tenth of what initdb takes."""

import hashlib
import importlib.metadata
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from async_migrations.testing.binaries import WHEEL, WHEEL_MODULE, Account, ServerError, run_as, unprivileged

LASTS = 86_400
"""Seconds until it is made anew: initdb also looks at the machine, its locales and its memory."""


def archive_for(binaries: Path) -> Path:
    """Return where the fresh cluster of these programs is kept, or would be.

    Args:
        binaries: The directory with the programs.
    """
    facts = (os.geteuid(), _build(binaries), os.environ.get("TZ"), os.path.realpath("/etc/localtime"))
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"async-migrations-cluster-{digest}.tar"


def pack(cluster: Path, archive: Path) -> None:
    """Keep a cluster on which no server has run; a machine on which that does not work has no archive.

    Args:
        cluster: Its directory.
        archive: The file, which appears when it is complete.
    """
    # What is unpacked last says that all of it is there.
    names = sorted((entry.name for entry in cluster.iterdir()), key=lambda name: name == "PG_VERSION")
    with suppress(OSError, ServerError):
        descriptor, unfinished = tempfile.mkstemp(prefix=f"{archive.name}.", dir=archive.parent)
        os.close(descriptor)
        try:
            done = run_as(Account(), ["tar", "-cf", unfinished, *names], cluster)
            if done.returncode == 0:
                Path(unfinished).replace(archive)
        finally:
            Path(unfinished).unlink(missing_ok=True)


def unpack(archive: Path, cluster: Path) -> bool:
    """Make a cluster of an archive, if there is one that is recent, whole, and nobody else's.

    Args:
        archive: The file.
        cluster: The directory, which is not there yet and will belong to the account that the server runs under.

    Returns:
        Whether the cluster is there.
    """
    with suppress(OSError, ServerError), _opened(archive) as descriptor:
        cluster.mkdir(mode=0o700)
        account = unprivileged()
        if account:
            os.chown(cluster, account["user"], account["group"])
        done = run_as(account, ["tar", "-xf", "-"], cluster, given=descriptor)
        if done.returncode == 0 and (cluster / "PG_VERSION").exists():
            return True
    shutil.rmtree(cluster, ignore_errors=True)
    return False


def _build(binaries: Path) -> str:
    """Tell a build of PostgreSQL from any other."""
    if WHEEL_MODULE in binaries.parts:
        return f"{WHEEL} {importlib.metadata.version(WHEEL)} {binaries.parent.name}"
    return f"{binaries} {(binaries / 'postgres').stat().st_mtime_ns}"


@contextmanager
def _opened(archive: Path) -> Iterator[int]:
    """Open an archive.

    Raises:
        OSError: There is none that could be used.
    """
    descriptor = os.open(archive, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        facts = os.fstat(descriptor)
        ours = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
        if not ours or time.time() - facts.st_mtime > LASTS:
            raise PermissionError(f"{archive} is old, or not ours")
        yield descriptor
    finally:
        os.close(descriptor)
