"""Migrations before an application's own lifespan: FastAPI, Starlette, Litestar."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI, Request
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from async_migrations.errors import NotStartedError
from async_migrations.integrations import fastapi, starlette
from async_migrations.integrations.litestar import MigrationPlugin
from async_migrations.integrations.protocol import Message
from async_migrations.integrations.signals import stopping
from tests.support.asgi import served
from tests.support.history import History
from tests.support.waiting import eventually

HOLD = "SELECT pg_advisory_lock(42)"


@pytest.fixture
def good(history: History) -> History:
    history.sql("001_a", "CREATE TABLE a (x int)")
    return history


@pytest.fixture
def bad(history: History) -> History:
    history.sql("001_a", "CREATE TABLE a (x int)")
    history.sql("002_bad", "SELECT nothing")
    return history


class Inner:
    """A lifespan that looks whether the schema is there when it begins."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.seen: list[object] = []

    @asynccontextmanager
    async def __call__(self, app: object) -> AsyncIterator[Mapping[str, str]]:
        self.seen += [type(app).__name__, await self.history.ledger()]
        yield {"word": "hello"}
        self.seen.append("down")


async def test_fastapi_starts_migrated_and_keeps_its_own_lifespan_and_state(good: History) -> None:
    inner = Inner(good)
    app = FastAPI(lifespan=fastapi.migration_lifespan(good.runner(), inner=inner))

    @app.get("/")
    async def root(request: Request) -> str:
        return str(request.state.word)

    async with served(app) as server:
        assert (await server.client.get("/")).json() == "hello"
    assert inner.seen == ["FastAPI", ["001_a"], "down"]
    assert server.kinds == ["startup.complete", "shutdown.complete"]


async def test_starlette_starts_migrated_without_a_lifespan_of_its_own(good: History) -> None:
    async def root(_: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(",".join(await good.ledger()))

    app = Starlette(routes=[Route("/", root)], lifespan=starlette.migration_lifespan(good.runner()))
    async with served(app) as server:
        assert (await server.client.get("/")).text == "001_a"


async def test_litestar_starts_migrated_before_its_own_lifespans(good: History) -> None:
    inner = Inner(good)

    @get("/")
    async def root() -> list[str]:
        return await good.ledger()

    app = Litestar([root], lifespan=[inner], plugins=[MigrationPlugin(good.runner())], logging_config=None)
    async with served(app) as server:  # type: ignore[arg-type]  # its own types of messages
        assert (await server.client.get("/")).json() == ["001_a"]
    assert inner.seen == ["Litestar", ["001_a"], "down"]


async def test_lifespans_may_be_put_into_each_other(good: History) -> None:
    inner = Inner(good)
    twice = fastapi.migration_lifespan(good.runner(), inner=fastapi.migration_lifespan(good.runner(), inner=inner))
    async with served(FastAPI(lifespan=twice)):
        pass
    assert inner.seen == ["FastAPI", ["001_a"], "down"]


@pytest.mark.parametrize("framework", [FastAPI, Starlette])
async def test_a_failure_is_the_engines_sentence_under_two_frames(bad: History, framework: type[Starlette]) -> None:
    app = framework(lifespan=starlette.migration_lifespan(bad.runner(), inner=Inner(bad)))
    said: list[Message] = []
    with pytest.raises(NotStartedError, match="The upgrade of 002_bad failed"):
        async with served(app, said=said):
            pass
    (failed,) = said
    assert failed["type"] == "lifespan.startup.failed"
    frames, sentence = failed["message"].split("async_migrations.errors.NotStartedError: ")
    assert frames.count("  File ") == 2
    assert sentence.startswith("The upgrade of 002_bad failed: ")
    assert "The above exception" not in failed["message"]


async def test_litestar_reports_the_same_error_out_of_its_task_group(bad: History) -> None:
    app, said = Litestar(plugins=[MigrationPlugin(bad.runner())], logging_config=None), list[Message]()
    with pytest.raises(ExceptionGroup) as caught:
        async with served(app, said=said):  # type: ignore[arg-type]  # its own types of messages
            pass
    assert caught.group_contains(NotStartedError, match="The upgrade of 002_bad failed")
    assert "NotStartedError: The upgrade of 002_bad failed: " in said[0]["message"]


async def test_an_application_that_fails_to_start_fails_as_without_us(good: History) -> None:
    @asynccontextmanager
    async def broken(_: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("there is no cache")
        yield

    with pytest.raises(RuntimeError, match="there is no cache"):
        async with served(FastAPI(lifespan=fastapi.migration_lifespan(good.runner(), inner=broken))):
            pass


async def test_a_replica_that_must_not_migrate_waits_for_one_that_does(good: History) -> None:
    app = FastAPI(lifespan=fastapi.migration_lifespan(good.runner(), current_only=30))

    async def live() -> None:
        async with served(app):
            assert await good.ledger() == ["001_a"]

    waiter = asyncio.create_task(live())

    async def waits() -> bool:
        return any(type(event).__name__ == "MigrationsPending" for event in good.events)

    await eventually(waits)
    await good.runner(observers=()).run_migrations()
    await waiter


async def test_a_replica_that_must_not_migrate_gives_up_at_its_deadline(good: History) -> None:
    app = Litestar(plugins=[MigrationPlugin(good.runner(), current_only=0)], logging_config=None)
    with pytest.raises(ExceptionGroup) as caught:
        async with served(app):  # type: ignore[arg-type]  # its own types of messages
            pass
    assert caught.group_contains(NotStartedError, match="After 0 s the database still lacks 1 migration")


async def test_a_signal_during_the_start_cancels_it_and_reaches_the_servers_handler_too(good: History) -> None:
    good.python("002_slow", 'self.progress(1)\nawait self.execute("SELECT pg_advisory_xact_lock(42)")')
    app = FastAPI(lifespan=fastapi.migration_lifespan(good.runner(lock_timeout=None)))
    heard: list[int] = []

    def handler(number: int, _: object) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        async with good.engine.connect() as connection:
            await connection.exec_driver_sql(HOLD)
            task = asyncio.create_task(enter(app))

            async def at_work() -> bool:
                return any(type(event).__name__ == "MigrationProgress" for event in good.events)

            await eventually(at_work)
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(NotStartedError, match=r"Stopped by SIGTERM\. 002_slow was cancelled\. Applied before"):
                await task
            assert signal.getsignal(signal.SIGTERM) is handler
            assert heard == [signal.SIGTERM]

            async def only_ours_is_held() -> bool:
                return await good.locks() == 1

            await eventually(only_ours_is_held)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert await good.ledger() == ["001_a"]


@pytest.mark.parametrize("grace", [0, 0.1])
async def test_a_signal_during_the_start_ends_a_migration_that_blocks_the_event_loop(
    good: History, grace: float
) -> None:
    blocking = 'await self.execute("CREATE TABLE t (x int)")\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)'
    good.python("002_blocking", blocking, top="import os, signal, time")
    app = FastAPI(lifespan=fastapi.migration_lifespan(good.runner(grace=grace)))
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(NotStartedError, match=r"Stopped by SIGTERM\. 002_blocking was cancelled"):
            await enter(app)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not await good.exists("t")
    await eventually(good.is_unlocked)


@pytest.mark.parametrize("app", ["living", "gated"])
async def test_a_signal_that_only_the_server_heard_at_the_import_lets_no_migration_begin(
    good: History, tmp_path: Path, database_url: str, app: str
) -> None:
    (tmp_path / "told.py").write_text(
        f"import signal\nsignal.raise_signal(signal.SIGTERM)\nfrom tests.support.served import {app}\n"
    )
    script = f"import asyncio, uvicorn; asyncio.run(uvicorn.Server(uvicorn.Config('told:{app}', port=0)).serve())"
    environment = {
        "DATABASE_URL": database_url,
        "MIGRATIONS": str(good.directory),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    result = await anyio.run_process(
        [sys.executable, "-c", script], check=False, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    )
    assert "Stopped by the server's shutdown. Applied before it: nothing." in result.stdout.decode()
    assert "application migrates" not in result.stdout.decode()
    assert not await good.exists("schema_migrations")


async def enter(app: FastAPI) -> None:
    async with served(app):
        pass


async def test_who_cancels_the_start_from_outside_gets_a_cancellation(good: History) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with fastapi.migration_lifespan(good.runner())(FastAPI()):
            raise AssertionError
    assert scope.cancelled_caught


async def test_a_signal_that_nobody_handles_does_its_usual_work_after_the_cleaning() -> None:
    script = """
import asyncio, os, signal
from async_migrations.integrations.protocol import Message
from async_migrations.integrations.signals import stopping
async def main():
    event = asyncio.Event()
    with stopping(event.set):
        os.kill(os.getpid(), signal.SIGTERM)
        await event.wait()
        print("cleaned", flush=True)
    print("not reached", flush=True)
asyncio.run(main())
"""
    result = await anyio.run_process([sys.executable, "-c", script], check=False, stderr=subprocess.STDOUT)
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, b"cleaned\n")


def test_in_another_thread_signals_are_left_alone(good: History) -> None:
    good.without_pool()
    app = FastAPI(lifespan=fastapi.migration_lifespan(good.runner()))
    with TestClient(app):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_two_starts_in_one_process_may_end_in_any_order() -> None:
    before = signal.getsignal(signal.SIGTERM)
    first, second = stopping(lambda: None), stopping(lambda: None)
    with first:
        second.__enter__()
    second.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) is before


async def test_who_looks_for_the_server_behind_the_handler_still_finds_it() -> None:
    class Server:
        should_exit = False

        def handle_exit(self, _: int, __: object) -> None:
            self.should_exit = True

    server = Server()
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        with stopping(lambda: None), stopping(lambda: None):
            assert getattr(signal.getsignal(signal.SIGTERM), "__self__", None) is server
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stopping(lambda: None) as received:
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert received == []
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_the_cause_is_logged_for_who_debugs(bad: History, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="async_migrations")
    with pytest.raises(NotStartedError):
        async with fastapi.migration_lifespan(bad.runner())(FastAPI()):
            raise AssertionError
    (record,) = [each for each in caplog.records if each.message == "The service does not start"]
    assert record.exc_info
    assert "UndefinedColumn" in "".join(traceback.format_exception(*record.exc_info))


@pytest.mark.parametrize("module", ["fastapi", "starlette", "lifespan", "asgi"])
async def test_no_framework_is_imported_for_another(module: str) -> None:
    script = (
        f"import sys, async_migrations.integrations.{module}; "
        "print({'fastapi', 'starlette', 'litestar', 'uvicorn'} & set(sys.modules))"
    )
    result = await anyio.run_process([sys.executable, "-c", script])
    assert result.stdout == b"set()\n"
