"""Fresh databases for tests: made ahead of them and dropped behind their back, by one thread."""

import asyncio
import itertools
import os
import queue
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import asyncpg

from async_migrations.testing.server import Server

READY_AHEAD = 2
STOP, CREATE, DROP = range(3)


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def create_statement(name: str, options: Mapping[str, str]) -> str:
    """Write CREATE DATABASE, with the strategy that is the fast one where fsync is off."""
    written = {"template": "template0", "strategy": "file_copy", **options}
    clauses = " ".join(f"{option} {quoted(value)}" for option, value in written.items())
    return f"CREATE DATABASE {quoted(name)} {clauses}"


@dataclass(order=True, slots=True)
class Job:
    priority: int
    number: int
    statement: str = field(compare=False, default="")
    name: str = field(compare=False, default="")
    done: Future[str] = field(compare=False, default_factory=Future)


class Databases:
    """The databases of one server, made and dropped by a thread with a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._ahead: deque[Future[str]] = deque()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="databases", daemon=True)
        self._thread.start()

    async def take(self) -> str:
        """Return the name of an empty database; more are made meanwhile."""
        while len(self._ahead) <= READY_AHEAD:
            self._ahead.append(self._create(self._new_name(), {}))
        return await asyncio.wrap_future(self._ahead.popleft())

    async def create(self, name: str | None = None, **options: str) -> str:
        """Create a database with options of CREATE DATABASE, such as ``owner``; return its name."""
        return await asyncio.wrap_future(self._create(name or self._new_name(), options))

    def drop(self, name: str) -> None:
        """Drop a database some time later."""
        self._put(DROP, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)", name)

    def close(self) -> None:
        """Let the thread end; what is left goes with the server."""
        self._put(STOP, "", "")
        self._thread.join()

    def _new_name(self) -> str:
        return f"test_{os.getpid()}_{next(self._numbers)}"

    def _create(self, name: str, options: Mapping[str, str]) -> Future[str]:
        return self._put(CREATE, create_statement(name, options), name)

    def _put(self, priority: int, statement: str, name: str) -> Future[str]:
        job = Job(priority, next(self._numbers), statement, name)
        self._jobs.put(job)
        return job.done

    def _run_loop(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        # Not the event loop of a test, so that waiting for the next job may block it.
        while (job := self._jobs.get()).priority != STOP:
            try:
                await self._run(job.statement)
            except Exception as error:
                job.done.set_exception(error)
            else:
                job.done.set_result(job.name)

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.url(driver=""))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
