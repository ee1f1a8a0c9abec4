"""A private PostgreSQL server: started, shared, stopped."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from async_migrations.testing.binaries import (
    ServerError,
    find_binaries,
    reachable_binaries,
)
from async_migrations.testing.cluster import (
    Sharing,
    initialise,
    make_directory,
    version_of,
)
from async_migrations.testing.postmaster import free_port, log_since, running_postmaster, spawn_postmaster
from async_migrations.testing.watchdog import temporary_directory

__all__ = ["Server", "ServerError", "find_binaries", "temporary_directory", "temporary_server"]

StopMode = Literal["smart", "fast", "immediate"]

STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
DEADLINE = 60.0
PORTS_TRIED = 5
# Linux allows 107 bytes for the whole path of a socket, macOS 103.
LONGEST_SOCKET_DIRECTORY = 80

# What is committed survives a crash of the server all the same, if not one of the machine.
THROW_AWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_connections": "300",
    # Small databases that come and go: the fewer pages, the more of them stay in the processor's cache.
    "shared_buffers": "32MB",
}

TRUSTED = ("local all all trust", "host all all 127.0.0.1/32 trust")


class Server:
    """A PostgreSQL server of one's own, on 127.0.0.1 and on a Unix socket.

    Several processes may use one data directory at once: the first starts the server, the
    others share it with the settings that it has, and the last one that stops it ends it.

    Args:
        data_directory: Where the data lies; made and initialised when it is missing or empty.
        version: The major version of PostgreSQL.
        durable: False trades safety against a crash of the machine for speed.
        settings: Further server settings, by name.
        hba: Lines of ``pg_hba.conf`` that go before the rule that trusts every local user.

    """

    def __init__(
        self,
        data_directory: Path | str,
        *,
        version: int = 18,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        hba: Sequence[str] = (),
    ) -> None:
        self.data_directory = Path(data_directory).absolute()
        self.version = version
        self._durable = durable
        self._settings = {**({} if durable else THROW_AWAY_SETTINGS), **(settings or {})}
        self._hba = tuple(hba)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._sharing: Sharing | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1, the same over a restart; 0 before the first start."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the running server, None when it does not run."""
        postmaster = running_postmaster(self.data_directory)
        return postmaster.pid if postmaster else None

    @property
    def socket_directory(self) -> Path:
        """The directory of the Unix socket."""
        if len(os.fsencode(self.data_directory)) <= LONGEST_SOCKET_DIRECTORY:
            return self.data_directory
        return Path("/tmp")  # noqa: S108 - the socket's name has the port in it

    @property
    def log(self) -> Path:
        """The file that the server logs to."""
        return self.data_directory / "server.log"

    def url(self, database: str = "postgres", *, driver: str = "asyncpg") -> str:
        """Return the URL of a database as the superuser ``postgres``.

        Args:
            database: The database's name.
            driver: The driver for SQLAlchemy; empty for a plain ``postgresql://`` URL.

        """
        scheme = "+".join(filter(None, ("postgresql", driver)))
        return f"{scheme}://postgres@127.0.0.1:{self._port}/{quote(database, safe='')}"

    def is_running(self) -> bool:
        """Tell whether a server runs on the data directory and accepts connections."""
        return bool((postmaster := running_postmaster(self.data_directory)) and postmaster.ready)

    def start(self) -> None:
        """Start the server, or share the one that runs on the data directory already.

        Raises:
            ServerError: It does not start; the end of its log is in the sentence.

        """
        if self._sharing is None:
            self.data_directory = make_directory(self.data_directory)
            self._sharing = Sharing(self.data_directory)
        try:
            self._join(self._sharing)
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server, unless another process still uses it.

        Args:
            mode: ``smart`` waits for clients, ``fast`` ends their sessions, ``immediate`` is a crash.

        Raises:
            ServerError: It still runs after a minute.

        """
        sharing, self._sharing = self._sharing, None
        if sharing is None:
            return
        try:
            if sharing.alone():
                self._halt(mode)
            elif self._process is not None:
                # Our child goes on for others; Python must not warn at exit that nobody waits for it.
                self._process.returncode = 0
        finally:
            sharing.close()

    def leave(self) -> None:
        """Use the server no more, and let it run."""
        sharing, self._sharing = self._sharing, None
        if self._process is not None:
            self._process.returncode = 0
        if sharing is not None:
            sharing.close()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server, whoever uses it, and start it on the same port.

        Args:
            mode: As in `stop`.

        Raises:
            ServerError: It does not stop or does not start.

        """
        self._halt(mode)
        if self._sharing is None:
            self.start()
        else:
            self._launch()

    def _join(self, sharing: Sharing) -> None:
        deadline = time.monotonic() + DEADLINE
        sharing.share()
        while not self.is_running():
            if sharing.alone():
                self._launch()
            elif time.monotonic() > deadline:
                raise ServerError(f"Another process uses {self.data_directory}, and no server runs on it. End it.")
            # Two that share refuse each other to be alone, until one of them comes later.
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 - a jitter, no secret
            sharing.share()
        self._check_version()
        if postmaster := running_postmaster(self.data_directory):
            self._port = postmaster.port

    def _launch(self) -> None:
        binaries = reachable_binaries(find_binaries(self.version))
        if version_of(self.data_directory) is None:
            initialise(self.data_directory, binaries, durable=self._durable)
        self._check_version()
        for _ in range(PORTS_TRIED):
            written = self.log.stat().st_size if self.log.exists() else 0
            self._spawn(binaries, self._port or free_port())
            if self._becomes_ready(written):
                return
        raise ServerError(f"PostgreSQL found no free port on 127.0.0.1:\n{log_since(self.log, 0)}")

    def _check_version(self) -> None:
        made_by = version_of(self.data_directory)
        if made_by != self.version:
            raise ServerError(
                f"{self.data_directory} was made by PostgreSQL {made_by}, and {self.version} was asked for. "
                f"Ask for {made_by}, or name another directory."
            )

    def _spawn(self, binaries: Path, port: int) -> None:
        if running_postmaster(self.data_directory):
            # Somebody else has started one, which is not ready yet.
            self._process = None
            return
        (self.data_directory / "postmaster.pid").unlink(missing_ok=True)
        if self._hba:
            hba = "\n".join([*self._hba, *TRUSTED, ""])
            (self.data_directory / "pg_hba.conf").write_text(hba, "utf-8")
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.socket_directory),
            **self._settings,
        }
        self._process = spawn_postmaster(binaries, self.data_directory, settings, self.log)

    def _becomes_ready(self, written: int) -> bool:
        """Wait until the server is ready; False when its port is taken."""
        deadline = time.monotonic() + DEADLINE
        while not self.is_running():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = log_since(self.log, written)
                if ended and "could not bind" in log:
                    return False
                raise ServerError(f"PostgreSQL did not start on {self.data_directory}:\n{log}")
            time.sleep(0.01)
        return True

    def _halt(self, mode: StopMode) -> None:
        pid = self._child() or self.pid
        if pid is None:
            return
        os.kill(pid, STOP_SIGNALS[mode])
        deadline = time.monotonic() + DEADLINE
        while self._child() or running_postmaster(self.data_directory):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"PostgreSQL on {self.data_directory} still runs {DEADLINE:.0f} s after the {mode} stop."
                )
            time.sleep(0.01)

    def _child(self) -> int | None:
        """Return the server's process id as long as it is our child and lives."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid


@contextlib.contextmanager
def temporary_server(
    *, version: int = 18, settings: Mapping[str, str] | None = None, hba: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a fast throw-away server that is gone afterwards, also when we are killed.

    Args:
        version: The major version of PostgreSQL.
        settings: Further server settings, by name.
        hba: As for `Server`.

    Yields:
        The running server.

    Raises:
        ServerError: It cannot be started.

    """
    with (
        temporary_directory() as directory,
        Server(directory, version=version, durable=False, settings=settings, hba=hba) as server,
    ):
        yield server
