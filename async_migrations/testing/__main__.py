"""`python -m async_migrations.testing [DIRECTORY]`: a PostgreSQL to try things on, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from async_migrations.testing.server import Server, ServerError, temporary_server


def main() -> int:
    """Run a server and say where it is; with a directory its data stays there."""
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    try:
        with Server(Path(sys.argv[1])) if len(sys.argv) > 1 else temporary_server() as server:
            print(f"export DATABASE_URL={server.url(driver='')}", flush=True)  # noqa: T201 - that is what it is for
            stopped.wait()
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a user's mistake shows no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
