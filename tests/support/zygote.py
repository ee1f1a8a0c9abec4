"""A process that has imported what takes long, and forks those that tests start: each is real, and there at once."""

import atexit
import ctypes
import gc
import importlib
import io
import json
import multiprocessing.util
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

SET_PDEATHSIG = 1
LARGEST_ORDER = 1 << 20
ROOT = Path(__file__).parents[2]
PLUGIN = "plugin:"
"""Goes before the name of a module that belongs to a plugin of pytest's."""
EXECUTE_WORKERS = "EXECUTE_WORKERS"
"""A variable of the environment of a server whose workers are not to be forked."""
FORKED_INTERPRETER = Path(__file__).with_name("forked_interpreter.py")
ENGINE = (
    "anyio._backends._asyncio",
    "async_migrations.auto_schema",
    "async_migrations.cli.commands",
    "async_migrations.cli.process",
    "async_migrations.executor",
    "async_migrations.online",
    "asyncpg",
    "encodings.utf_8_sig",
    "postgast",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "stamina",
    "tests.support.replica_launcher",
)
"""What a process that runs the engine imports, sooner or later."""
SERVICE = (
    "async_migrations.integrations.fastapi",
    "async_migrations.integrations.starlette",
    "fastapi",
    "gunicorn.app.wsgiapp",
    "hypercorn.asyncio.run",
    "hypercorn.run",
    "starlette.applications",
    "tests.support.page_server",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvicorn_worker",
)
"""What a server and the service on it import. Not what two tests have alone: each process of the tests pays for it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process shall be.

    Attributes:
        program: As `python` takes it: ``-c`` and a script, ``-m`` and a module, or a path; then arguments.
        environment: All its variables.
        directory: Where it starts.
    """

    program: Sequence[str]
    environment: Mapping[str, str]
    directory: str


@dataclass(frozen=True, slots=True)
class Streams:
    """Descriptors of a process: what it has as standard input, output and error."""

    stdin: int
    stdout: int
    stderr: int


class Zygote:
    """The process, from the side of the tests.

    Args:
        address: of the door at which it takes orders.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def fork(self, order: Order, streams: Streams) -> int:
        """Have a process forked; it gets copies of the streams.

        Returns:
            A descriptor that says its pid, on a line, and when it has ended its exit code, negative for a signal.
        """
        says, said = os.pipe()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
                door.connect(f"\0{self._address}")
                descriptors = [streams.stdin, streams.stdout, streams.stderr, said]
                socket.send_fds(door, [json.dumps(asdict(order)).encode()], descriptors)
        finally:
            os.close(said)
        return says

    @property
    def interpreter(self) -> tuple[str, ...]:
        """A command that has one forked, for those who would execute an interpreter."""
        return (sys.executable, "-I", "-S", str(FORKED_INTERPRETER), self._address)


_addresses: dict[str, str] = {}
"""Where the processes of this test run are, by what they have imported."""


def zygote(*modules: str) -> Zygote:
    """Return the process that has imported these modules; it ends with the first one that asked for it."""
    key = " ".join(modules)
    if key not in _addresses:
        _addresses[key] = _start(modules)
    return Zygote(_addresses[key])


def shared() -> dict[str, str]:
    """Return what another process has to `share` so that it uses the same ones."""
    return dict(_addresses)


def share(zygotes: Mapping[str, str]) -> None:
    """Use those that another process has started, and that end with it."""
    _addresses.update(zygotes)


def _start(modules: Sequence[str]) -> str:
    """Start one; return its address. The kernel ends it, and all that it forked, with us."""
    lifeline, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind("")  # the kernel finds a name
        door.listen()
        address: str = door.getsockname().decode().lstrip("\0")
        passed = [theirs.fileno(), door.fileno()]
        command = [sys.executable, __file__, *map(str, passed), *modules]
        process = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL, cwd=ROOT)

    def end() -> None:
        lifeline.close()
        process.wait(10)

    atexit.register(end)
    return address


def main(lifeline: int, door: int, modules: Sequence[str]) -> None:
    """Import the modules, then fork until the tests are over."""
    _end_with(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for pytest, which ends us
    sys.path[0] = ""
    plugins = [module for module in modules if module.startswith(PLUGIN)]
    _import_as_pytest_does([each.removeprefix(PLUGIN) for each in plugins])  # first: others import some of them
    for module in modules:
        if module not in plugins:
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    order, streams = _fork_until_one_is_born(socket.socket(fileno=lifeline), socket.socket(fileno=door))
    _live(order, streams)


def _import_as_pytest_does(plugins: Sequence[str]) -> None:
    """Import modules that belong to plugins of pytest's with their assertions rewritten: of others it warns."""
    if not plugins:
        return
    from _pytest.assertion import install_importhook
    from _pytest.config import get_config

    config = get_config([])
    install_importhook(config).mark_rewrite(*{each.partition(".")[0] for each in plugins})
    for each in plugins:
        importlib.import_module(each)
    config._ensure_unconfigure()


def _end_with(parent: int) -> None:
    """Have the kernel end this process with the one that made it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _fork_until_one_is_born(lifeline: socket.socket, door: socket.socket) -> tuple[Order, list[int]]:
    """Fork for each order; return in the child, with its order."""
    ends: dict[int, int] = {}
    deaths, death = _hear_of_deaths()
    with selectors.DefaultSelector() as selector, lifeline, door:
        for each in (lifeline, deaths, door):
            selector.register(each, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == lifeline.fileno():
                    os._exit(0)  # what it has forked ends with it
                if key.fd == deaths:
                    os.read(deaths, 512)
                    _report(ends)
                    continue
                with door.accept()[0] as giver:
                    born = _fork(giver, ends)
                if born is not None:
                    for each in (deaths, death):
                        os.close(each)
                    return born


def _hear_of_deaths() -> tuple[int, int]:
    """Return both ends of a pipe: the first one can be read when a child has ended."""
    deaths, death = os.pipe()
    os.set_blocking(death, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(death)
    return deaths, death


def _fork(orders: socket.socket, ends: dict[int, int]) -> tuple[Order, list[int]] | None:
    """Take an order; return it in the child, and nothing in the parent."""
    words, descriptors, _, _ = socket.recv_fds(orders, LARGEST_ORDER, 4)
    if not words:  # whoever came was killed before they could say it
        return None
    *streams, end = descriptors
    us = os.getpid()
    if pid := os.fork():
        ends[pid] = end
        os.write(end, f"{pid}\n".encode())
        for each in streams:
            os.close(each)
        return None
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _end_with(us)
    for each in (end, *ends.values()):
        os.close(each)
    return Order(**json.loads(words)), streams


def _report(ends: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            end = ends.pop(pid)
            with suppress(BrokenPipeError):  # nobody waits for it
                os.write(end, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(end)


def _live(order: Order, streams: Sequence[int]) -> NoReturn:
    """Be what the order says, from its first line to its exit code."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for each in (sys.stdout, sys.stderr):
        assert isinstance(each, io.TextIOWrapper)
        each.reconfigure(line_buffering=True, write_through=True)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.directory)
    if EXECUTE_WORKERS not in order.environment:
        multiprocessing.util.spawnv_passfds = _spawn  # type: ignore[assignment]  # what servers start workers with
    _be(order.program)


def _spawn(_: bytes, command: Sequence[bytes | str], passed: Sequence[int]) -> int:
    """Fork what multiprocessing would execute; it has its descriptors and signals as after that, return its pid."""
    program = [os.fsdecode(each) for each in command]
    if pid := os.fork():
        return pid
    gc.freeze()  # what closes a descriptor when it is collected would close that of another
    kept = sorted({0, 1, 2, *map(int, passed)})
    for low, high in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
        os.closerange(low + 1, high)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return _be(program[program.index("-c") :])


def _be(program: Sequence[str]) -> NoReturn:
    """Run a program as `python` does, and end as it ends."""
    code = _outcome(program)
    # What an interpreter does at its end, but for tearing down modules that the kernel takes with the process.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError, ValueError):  # nobody reads it, or the program has closed it
        sys.stdout.flush()
        sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def _outcome(program: Sequence[str]) -> int:
    """Run a program as `python` does; return its exit code."""
    try:
        _run(program)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return int(end.code or 0)
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _run(program: Sequence[str]) -> None:
    first, *rest = program
    if first == "-m":
        sys.argv = rest
        sys.path[0] = str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        script, *arguments = rest
        sys.argv = ["-c", *arguments]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(script, "<string>", "exec"), main.__dict__)  # noqa: S102 - as `python -c` does
    else:
        sys.argv = list(program)
        sys.path[0] = str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
