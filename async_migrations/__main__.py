"""`python -m async_migrations` is `async-migrations`."""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

SIGNAL = 128
"""What an exit code is above when a signal has stopped the command, as shells count."""

STDERR = 2


def main() -> None:
    """Run the command line as a process of its own."""
    _open_streams()
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is usual:  # else whoever started us wants it ignored
            signal.signal(number, _end)
    # Imports leave nothing to collect, and looking for it takes a fifth of a short command's time. The collector
    # runs again as soon as there is work, and what is left at the end goes with the process.
    gc.disable()
    from async_migrations.cli import main as command_line

    try:
        command_line(prog_name="async-migrations")
    except SystemExit as error:
        if isinstance(error.code, int) and error.code > SIGNAL:
            _leave(error.code)
        raise
    finally:
        gc.freeze()


def _open_streams() -> None:
    """Open the standard streams that whoever started us has closed, or the database's socket would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # To write to what can only be read fails, as it did to the closed one; a log may go nowhere.
            os.open(os.devnull, os.O_WRONLY if number == STDERR else os.O_RDONLY)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stderr = sys.stderr or open(STDERR, "w", closefd=False)  # noqa: SIM115


def _end(number: int, _: object) -> NoReturn:
    # While there are only imports there is nothing to clean up, and nothing to tell.
    os._exit(SIGNAL + number)


def _leave(code: int) -> None:
    """End the process if a thread would hold it: a file of the project's that is still being imported, say."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
