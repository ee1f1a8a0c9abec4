"""The process that forks replicas: it imports the engine once, and each replica has connections of its own."""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import anyio
import anyio.to_thread
import asyncpg  # noqa: F401 - here, so that no replica has to import it
import stamina  # noqa: F401 - as asyncpg
import uvloop
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import MigrationRunner
from async_migrations.events import Event
from async_migrations.sql import split

SET_PDEATHSIG = 1
ON_UVLOOP = "ON_UVLOOP"
"""A variable of the environment with which replicas run on uvloop."""
LONGEST_TEXT = 3000
"""Characters of a text in a line; a line that fits into the pipe's buffer is written at once or not at all."""

Say = Callable[..., None]


def main() -> None:
    """Obey lines of JSON until standard input ends: fork a replica, or let those that are ready go."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is imported only when it is used: a replica would spend its first tenths of a second on it.
    split("SELECT 1")
    anyio.run(_use_a_thread)
    gc.freeze()
    barriers: dict[int, int] = {}
    engines: dict[tuple[str, bool], AsyncEngine] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "go":
            os.close(barriers.pop(order["fleet"]))
        else:
            _muster(_engine(order, engines), order, barriers)


async def _use_a_thread() -> None:
    await anyio.to_thread.run_sync(int)


def _engine(order: Mapping[str, Any], engines: dict[tuple[str, bool], AsyncEngine]) -> AsyncEngine:
    """Return an engine without a connection, to which SQLAlchemy has asked its questions about the server already.

    Asked by each replica, they would spread fifty of them over seconds.
    """
    key = order["url"], order["unnamed_statements"]
    if key not in engines:
        engines[key] = open_engine(order["url"], unnamed_statements=order["unnamed_statements"])
        asyncio.run(warm(engines[key]))
    return engines[key]


def _muster(engine: AsyncEngine, order: Mapping[str, Any], barriers: dict[int, int]) -> None:
    starting_line, barrier = os.pipe()
    for number in order["replicas"]:
        if os.fork() == 0:
            os.close(barrier)
            for other in barriers.values():
                os.close(other)
            _live(number, starting_line, engine, order)
    os.close(starting_line)
    barriers[order["fleet"]] = barrier


def _live(number: int, starting_line: int, engine: AsyncEngine, order: Mapping[str, Any]) -> None:
    """Be one replica, from the starting line to its exit."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGKILL)

    def say(kind: str, **facts: object) -> None:
        words = {"replica": number, "kind": kind, "at": time.time(), **facts}
        os.write(1, f"{json.dumps(words, default=str)}\n".encode())

    say("ready", pid=os.getpid())
    os.read(starting_line, 1)
    code = 1
    try:
        factory = uvloop.new_event_loop if ON_UVLOOP in os.environ else None
        with asyncio.Runner(loop_factory=factory) as runner:
            code = runner.run(_serve(engine, order, say))
    finally:
        os._exit(code)


async def _serve(engine: AsyncEngine, order: Mapping[str, Any], say: Say) -> int:
    task = asyncio.create_task(_migrate(engine, order, say))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        say("done", **await task)
    except asyncio.CancelledError:
        say("cancelled")
        return 143
    except BaseException as error:
        say("failed", error=f"{type(error).__name__}: {error}"[:LONGEST_TEXT])
        return 1
    return 0


async def _migrate(engine: AsyncEngine, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    def observe(event: Event) -> None:
        facts = {key: str(value)[:200] for key, value in asdict(event).items()}
        say(type(event).__name__, **facts)

    try:
        runner = MigrationRunner(engine, directory=order["directory"], observers=[observe], **order["options"])
        report = await runner.run_migrations(order["target"])
    finally:
        await engine.dispose()
    return {"applied": report.applied, "waited": report.waited}


async def warm(engine: AsyncEngine) -> None:
    """Let SQLAlchemy ask its questions about the server; no connection stays open."""
    async with engine.connect():
        pass
    await engine.dispose()


def open_engine(url: str, *, unnamed_statements: bool = False) -> AsyncEngine:
    """Make an engine as a service does.

    Args:
        url: Which database.
        unnamed_statements: Whether prepared statements have names that never come twice, as SQLAlchemy's manual
            asks for behind PgBouncer.

    """
    if not unnamed_statements:
        return create_async_engine(url)
    arguments = {"statement_cache_size": 0, "prepared_statement_name_func": lambda: f"__{uuid4()}__"}
    unprepared = make_url(url).update_query_dict({"prepared_statement_cache_size": "0"})
    return create_async_engine(unprepared, connect_args=arguments)


if __name__ == "__main__":
    main()
