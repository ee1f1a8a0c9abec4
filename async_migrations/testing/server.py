"""A private PostgreSQL server: found, started, shared, stopped, and gone when its owner is gone."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from async_migrations.testing.binaries import (
    ServerError,
    clean_environment,
    find_binaries,
    reachable_binaries,
    run_as,
    scratch_places,
    unprivileged,
)

__all__ = ["Server", "ServerError", "find_binaries", "temporary_directory", "temporary_server"]

StopMode = Literal["smart", "fast", "immediate"]

STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0
ROOM_FOR_DATABASES = 1 << 30
# Outside the range from which kernels hand out ports to clients, so that no
# connection can take the port while the server restarts.
PORTS = range(15000, 32000)
# Linux allows 107 bytes for the whole path of a socket, macOS 103.
LONGEST_SOCKET_DIRECTORY = 80

THROW_AWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_connections": "300",
}

# Waits for the end of its input, which is the end of the process that started it.
WATCHDOG = """
trap '' HUP INT TERM
read -r _
pid=$(head -n 1 "$1/postmaster.pid") && kill -QUIT "$pid"
tries=0
while [ -n "$pid" ] && kill -0 "$pid" && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
until rm -rf "$1" && [ ! -e "$1" ] || [ $tries -ge 400 ]; do sleep 0.05; tries=$((tries + 1)); done
"""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What the file ``postmaster.pid`` of a data directory says.

    Attributes:
        pid: The process id of the server.
        port: The TCP port on 127.0.0.1, 0 as long as it is unknown.
        socket_directory: Where the Unix socket lies.
        ready: Whether the server accepts connections.

    """

    pid: int
    port: int = 0
    socket_directory: str = ""
    ready: bool = False

    @classmethod
    def parse(cls, text: str) -> "Postmaster | None":
        """Read the file's text; None when it does not even name a process."""
        lines = [line.strip() for line in text.splitlines()]
        if not lines or not lines[0].isdigit():
            return None
        fields = dict(enumerate(lines))
        port = fields.get(3, "")
        return cls(
            pid=int(lines[0]),
            port=int(port) if port.isdigit() else 0,
            socket_directory=fields.get(4, ""),
            ready=fields.get(7) == "ready",
        )


class Server:
    """A PostgreSQL server of one's own, on 127.0.0.1 and on a Unix socket.

    Several processes may use one data directory at once: the first starts the server, the
    others share it, and the last one that stops it ends it.

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
        self._directory_lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; it stays the same over a restart."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the running server, None when it does not run."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    @property
    def socket_directory(self) -> Path:
        """The directory of the Unix socket."""
        if len(os.fsencode(self.data_directory)) <= LONGEST_SOCKET_DIRECTORY:
            return self.data_directory
        return Path("/tmp")  # noqa: S108 - the socket's name carries the port, and only 127.0.0.1 is safe to share

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
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://postgres@127.0.0.1:{self._port}/{quote(database, safe='')}"

    def is_running(self) -> bool:
        """Tell whether a server runs on the data directory and accepts connections."""
        postmaster = self._postmaster()
        return postmaster is not None and postmaster.ready

    def start(self) -> None:
        """Start the server, or share the one that runs on the data directory already.

        Raises:
            ServerError: It does not start; the end of its log is in the sentence.

        """
        if self._directory_lock is None:
            self._prepare_directory()
            self._directory_lock = os.open(self.data_directory, os.O_RDONLY)
        try:
            self._join(self._directory_lock)
        except BaseException:
            self._leave()
            raise

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server, unless another process still uses it.

        Args:
            mode: ``smart`` waits for clients, ``fast`` ends their sessions, ``immediate`` is a crash.

        Raises:
            ServerError: It still runs after a minute.

        """
        if self._directory_lock is None:
            return
        try:
            if _locked_alone(self._directory_lock):
                self._halt(mode)
        finally:
            self._leave()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server, whoever uses it, and start it on the same port.

        Args:
            mode: As in `stop`.

        Raises:
            ServerError: It does not stop or does not start.

        """
        self._halt(mode)
        self.start()

    def _postmaster(self) -> Postmaster | None:
        if self._process is not None:
            self._process.poll()
        try:
            postmaster = Postmaster.parse((self.data_directory / "postmaster.pid").read_text("utf-8"))
        except FileNotFoundError:
            return None
        if postmaster is None or not _serves(postmaster.pid, self.data_directory):
            return None
        return postmaster

    def _prepare_directory(self) -> None:
        account = unprivileged()
        self.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account and not any(self.data_directory.iterdir()):
            os.chown(self.data_directory, account["user"], account["group"])

    def _join(self, lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not self.is_running():
            if _locked_alone(lock) and not self.is_running():
                self._launch()
            # Two that arrive at once refuse each other the lock until one of them comes later.
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 - a jitter, no secret
            fcntl.flock(lock, fcntl.LOCK_SH)
        postmaster = self._postmaster()
        self._port = postmaster.port if postmaster else self._port

    def _leave(self) -> None:
        if self._directory_lock is not None:
            os.close(self._directory_lock)
            self._directory_lock = None

    def _launch(self) -> None:
        binaries = reachable_binaries(find_binaries(self.version))
        self._initialise(binaries)
        for _ in range(5):
            port = self._port or _free_port()
            if self._boot(binaries, port):
                self._port = port
                return
        raise ServerError(f"PostgreSQL found no free port on 127.0.0.1.\n{self._log_tail(0)}")

    def _initialise(self, binaries: Path) -> None:
        """Make the data directory; PG_VERSION comes last, so that it means a complete one."""
        if (self.data_directory / "PG_VERSION").exists():
            self._check_version()
            return
        partial = self.data_directory / "initdb.partial"
        if partial.exists():
            self._clear()
        elif any(self.data_directory.iterdir()):
            raise ServerError(
                f"{self.data_directory} holds files, but no PostgreSQL data. "
                f"Name another directory, or empty it."
            )
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        options += [] if self._durable else ["--no-sync"]
        done = run_as(unprivileged(), [binaries / "initdb", "-D", partial, *options], self.data_directory)
        if done.returncode:
            raise ServerError(f"initdb could not make {self.data_directory}:\n{done.stdout}")
        for entry in sorted(partial.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
            entry.rename(self.data_directory / entry.name)
        partial.rmdir()

    def _check_version(self) -> None:
        made_by = (self.data_directory / "PG_VERSION").read_text("utf-8").strip()
        if made_by != str(self.version):
            raise ServerError(
                f"{self.data_directory} was made by PostgreSQL {made_by}, and {self.version} was asked for. "
                f"Ask for {made_by}, or name another directory."
            )

    def _clear(self) -> None:
        for entry in self.data_directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _boot(self, binaries: Path, port: int) -> bool:
        """Start the server on a port; False when the port is taken."""
        (self.data_directory / "postmaster.pid").unlink(missing_ok=True)
        self._write_hba()
        written = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn(binaries, port)
        deadline = time.monotonic() + START_DEADLINE
        while not self.is_running():
            if self._process.poll() is not None:
                tail = self._log_tail(written)
                if "could not bind" in tail:
                    return False
                raise ServerError(f"PostgreSQL did not start on {self.data_directory}:\n{tail}")
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                tail = self._log_tail(written)
                raise ServerError(f"PostgreSQL was not ready after {START_DEADLINE:.0f} s:\n{tail}")
            time.sleep(0.01)
        return True

    def _write_hba(self) -> None:
        if self._hba:
            trusted = ("local all all trust", "host all all 127.0.0.1/32 trust")
            (self.data_directory / "pg_hba.conf").write_text("\n".join([*self._hba, *trusted, ""]), "utf-8")

    def _spawn(self, binaries: Path, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.socket_directory),
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                [binaries / "postgres", "-D", self.data_directory, *options],
                cwd=self.data_directory,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **unprivileged(),
            )

    def _log_tail(self, written: int) -> str:
        with self.log.open("rb") as log:
            log.seek(written)
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-20:])

    def _halt(self, mode: StopMode) -> None:
        postmaster = self._postmaster()
        if postmaster is None:
            return
        os.kill(postmaster.pid, STOP_SIGNALS[mode])
        deadline = time.monotonic() + STOP_DEADLINE
        while self._postmaster() is not None:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"PostgreSQL on {self.data_directory} still runs {STOP_DEADLINE:.0f} s after stop."
                )
            time.sleep(0.01)
        if self._process is not None:
            self._process.wait()
            self._process = None


def _locked_alone(lock: int) -> bool:
    """Turn a shared lock into an exclusive one; False, and the lock is lost, when others share it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _serves(pid: int, data_directory: Path) -> bool:
    """Tell whether a process is the server of a directory, and no later one with the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if not Path("/proc/self/cwd").exists():
        return True
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data_directory.resolve()
    except OSError:
        return False


def _free_port() -> int:
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


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory for a server's data that does not outlive us, however we end.

    It lies in memory when there is room. A small process waits for our end, then stops the
    server that runs there and removes the directory, also when we are killed.

    Yields:
        The directory, owned by the account that the server runs under.

    """
    directory = Path(tempfile.mkdtemp(prefix="async-migrations-", dir=_roomy_place()))
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


def _roomy_place() -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - the name in it is unique
    if (
        memory.is_dir()
        and os.access(memory, os.W_OK)
        and shutil.disk_usage(memory).free >= ROOM_FOR_DATABASES
    ):
        return memory
    for place in scratch_places():
        return place
    raise ServerError("No directory for temporary files is open to the account that the server runs under.")


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
