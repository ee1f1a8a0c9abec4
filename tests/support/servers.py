"""Real servers, as a container runs them: one command, a port that the system chooses, SIGTERM at the end."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # its stubs are not worth a dependency

from tests.support.processes import Child, module_process
from tests.support.waiting import eventually
from tests.support.zygote import EXECUTE_WORKERS

ANYWHERE = "127.0.0.1:0"
UVICORN = ("uvicorn", "--port", "0")
GUNICORN = ("gunicorn", "-b", ANYWHERE, "-k", "uvicorn_worker.UvicornWorker", "--no-control-socket")
HYPERCORN = ("hypercorn", "-b", ANYWHERE)
DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """A way to serve.

    Attributes:
        name: What the tests call it.
        command: The module and its arguments.
        workers: Processes that serve.
        boot_failure: The exit codes of the whole when a worker cannot start.
        executed: Whether its workers are executed, not forked.
    """

    name: str
    command: tuple[str, ...]
    workers: int = 1
    boot_failure: frozenset[int] = frozenset({3})
    executed: bool = False

    def __str__(self) -> str:
        return self.name


# The parents of uvicorn's and of hypercorn's workers forget the code; of two such workers the second lets gunicorn's
# trip over itself.
FORGOTTEN, TRIPPED = frozenset({0}), frozenset({3, 1})
ONE = Way("uvicorn", UVICORN)
TWO = Way("uvicorn with 2 workers", (*UVICORN, "--workers", "2"), 2, FORGOTTEN)
GREEN_ONE = Way("gunicorn with a uvicorn worker", GUNICORN)
GREEN = Way("gunicorn with 2 uvicorn workers", (*GUNICORN, "-w", "2"), 2, TRIPPED)
HYPER = Way("hypercorn", HYPERCORN, 1, FORGOTTEN)
# Once one worker has ended, its parent kills the others, so that they must not end at once, as forked ones do.
HYPER_TWO = Way("hypercorn with 2 workers", (*HYPERCORN, "-w", "2"), 2, FORGOTTEN, executed=True)
HYPER_ALONE = Way("hypercorn without workers", (*HYPERCORN, "-w", "0"))
# One worker of uvicorn's is the server itself; hypercorn's is a process beside it, as two are.
SERVERS = (ONE, TWO, GREEN, HYPER_TWO)


class Serving:
    """A server that runs.

    Attributes:
        child: Its process, the parent of its workers.
    """

    def __init__(self, child: Child) -> None:
        self.child = child

    async def url(self) -> str:
        """Wait until it listens; return where."""
        line = await self.child.line_matching(r"http://127\.0\.0\.1:\d+", deadline=DEADLINE)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found
        # The parent of several workers says it before one of them listens.
        await eventually(partial(_listens, int(found[1])), deadline=DEADLINE)
        return found[0]

    async def said(self, pattern: str, times: int) -> None:
        """Wait until so many lines have a match."""
        await self.child.lines_matching(pattern, times, deadline=DEADLINE)

    async def stop(self) -> int:
        """Send SIGTERM, as a container's runtime does; return the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return await self.child.wait(deadline=DEADLINE)

    def text(self) -> str:
        """Return all that it said so far."""
        return self.child.transcript()


@asynccontextmanager
async def serving(way: Way, app: str, url: str, migrations: Path, **environment: str) -> AsyncIterator[Serving]:
    """Serve an app of `served`; whatever still runs at the end is killed, workers too.

    Args:
        way: How.
        app: Its name in `tests.support.served`.
        url: Its database.
        migrations: Its folder.
        environment: More variables.
    """
    module, *arguments = way.command
    variables = {"DATABASE_URL": url, "MIGRATIONS": str(migrations), **environment}
    if way.executed:
        variables[EXECUTE_WORKERS] = "1"
    async with module_process(module, f"tests.support.served:{app}", *arguments, environment=variables) as child:
        try:
            yield Serving(child)
        finally:
            await asyncio.to_thread(_kill, child.pid)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _kill(pid: int) -> None:
    try:
        parent = psutil.Process(pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(family[:-1], timeout=5)
