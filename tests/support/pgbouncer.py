"""Debian's PgBouncer on loopback, in front of a server."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from async_migrations.testing.binaries import unprivileged
from async_migrations.testing.postmaster import free_port
from async_migrations.testing.server import Server
from tests.support.processes import TIED_TO_US

DEADLINE = 10.0
PoolMode = Literal["transaction", "session", "statement"]


class PgBouncer:
    """A running PgBouncer."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str = "postgres", *, driver: str = "asyncpg") -> str:
        """Return the URL of a database through PgBouncer, as `Server.url` does without it."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://postgres@127.0.0.1:{self.port}/{quote(database, safe='')}"


@contextmanager
def pgbouncer(
    server: Server,
    pool_mode: PoolMode = "transaction",
    *,
    user: str | None = "postgres",
    only: str = "*",
    **settings: str,
) -> Iterator[PgBouncer]:
    """Run PgBouncer in front of a server; the test is skipped when it is not installed.

    Args:
        server: The server.
        pool_mode: When a server's connection goes back to the pool.
        user: As whom it connects to the server; None for the client's own, which needs ``auth_type``.
        only: The one database that it knows; by default it knows all.
        settings: Further settings of PgBouncer, by name.

    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("PgBouncer is not here: install it with apt-get install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as directory:
        Path(directory).chmod(0o755)
        configuration = Path(directory, "pgbouncer.ini")
        configuration.write_text(
            _configuration(server, port, (only, user), {"pool_mode": pool_mode, **settings}), "utf-8"
        )
        log = Path(directory, "log")
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [*TIED_TO_US, program, configuration],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **unprivileged(),
            ) as process,
        ):
            try:
                _await_port(process, port, log)
                yield PgBouncer(port)
            finally:
                process.kill()


def _configuration(server: Server, port: int, route: tuple[str, str | None], settings: Mapping[str, str]) -> str:
    database, user = route
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "max_client_conn": "500",
        "default_pool_size": "50",
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in options.items()]
    databases = f"{database} = host=127.0.0.1 port={server.port}" + (f" user={user}" if user else "")
    return "\n".join(["[databases]", databases, "[pgbouncer]", *lines, ""])


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        ended = process.poll() is not None
        assert not ended, f"PgBouncer ended:\n{log.read_text('utf-8')}"
        assert time.monotonic() < deadline, f"PgBouncer was not ready:\n{log.read_text('utf-8')}"
        time.sleep(0.01)
