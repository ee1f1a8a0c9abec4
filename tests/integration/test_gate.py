"""The gate, in one process with its server."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from async_migrations import MigrationRunner
from async_migrations.errors import ConfigurationError
from async_migrations.integrations import asgi
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.protocol import Message, Receive, Scope, Send
from async_migrations.standing import Watch
from tests.support.asgi import DEADLINE, served
from tests.support.history import HERE, History
from tests.support.waiting import eventually

HOLD = "SELECT pg_advisory_lock(42)"
SLOW = 'self.progress(40, 100)\nawait self.execute("SELECT pg_advisory_xact_lock(42)")'


class Application:
    """A FastAPI service that notes what happened to it."""

    def __init__(self, *, broken: bool = False) -> None:
        self.lived: list[str] = []
        self.broken = broken
        self.app = FastAPI(lifespan=self.lifespan)
        self.app.get("/")(self.root)
        self.app.post("/echo")(self.echo)
        self.app.websocket("/talk")(self.talk)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[Mapping[str, str]]:
        if self.broken:
            raise RuntimeError("the password of the cache is hunter2")
        self.lived.append("up")
        yield {"word": "hello"}
        self.lived.append("down")

    @staticmethod
    async def root(request: Request) -> str:
        return str(request.state.word)

    @staticmethod
    async def echo(request: Request) -> str:
        return (await request.body()).decode()

    @staticmethod
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.state.word)
        await websocket.close()


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
async def held(engine: AsyncEngine) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold the lock for which the slow migration waits; return what lets it go."""
    async with engine.connect() as connection:
        await connection.exec_driver_sql(HOLD)
        await connection.commit()

        async def let_go() -> None:
            await connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            await connection.commit()

        yield let_go


@pytest.fixture
def slow(history: History) -> History:
    """Return three migrations; the second waits for a lock, and nothing ends its wait."""
    history.sql("001_a", "CREATE TABLE a (x int)")
    history.python("002_slow", SLOW)
    history.sql("003_c", "CREATE TABLE c (x int)")
    return history


@pytest.fixture
def bad(history: History) -> History:
    history.sql("001_bad", "CREATE ROLE reader PASSWORD 'hunter2' NOSUCHWORD")
    return history


def patient(history: History) -> MigrationRunner:
    return history.runner(lock_timeout=None)


async def standing(gate: MigrationGate, condition: Callable[[], bool]) -> None:
    """Wait until a change of the watch makes the condition true."""
    async with asyncio.timeout(DEADLINE):
        async for _ in gate.watch.changes():
            if condition():
                return


async def at_work(gate: MigrationGate) -> None:
    await standing(gate, lambda: gate.watch.now.progress is not None)


async def is_ready(client: Any) -> bool:
    return bool((await client.get("/readyz")).status_code == 200)


async def test_readyz_says_which_migration_of_how_many_and_how_far(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    gate = MigrationGate(application.app, patient(slow))
    async with served(gate) as server:
        await at_work(gate)
        says = await server.client.get("/readyz")
        document = says.json()
        assert says.status_code == 503
        assert says.headers["content-type"] == "application/json"
        assert says.headers["cache-control"] == "no-store"
        assert document.pop("since") == gate.watch.now.since.isoformat(timespec="milliseconds")
        assert document == {
            "ready": False,
            "phase": "migrating",
            "application": "waiting",
            "migration": "002_slow",
            "position": 2,
            "of": 3,
            "progress": {"done": 40, "total": 100},
        }
        assert server.kinds == ["startup.complete"]
        assert application.lived == []
        await held()
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)
        assert (await server.client.get("/readyz")).json()["application"] == "started"
        assert (await server.client.get("/")).json() == "hello"
    assert application.lived == ["up", "down"]
    assert server.kinds == ["startup.complete", "shutdown.complete"]
    assert server.state == {"word": "hello"}


async def test_a_second_replica_names_the_holder(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    first, second = (MigrationGate(application.app, patient(slow)) for _ in range(2))
    async with served(first):
        await at_work(first)
        async with served(second) as server:
            await standing(second, lambda: second.watch.now.holder is not None)
            says = (await server.client.get("/readyz")).json()
            assert (says["phase"], says["migration"], says["position"], says["of"]) == ("waiting", "002_slow", 1, 2)
            assert says["holder"].startswith("The lock is held by pid ")
            await held()
            await eventually(lambda: is_ready(server.client), deadline=DEADLINE)


async def test_nobody_is_told_the_statement_that_the_holder_runs(
    history: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    statement = "SELECT 'hunter2', pg_advisory_xact_lock(42)"
    history.python("001_secret", f'self.progress(1)\nawait self.execute("{statement}")')
    first = MigrationGate(application.app, patient(history))
    waiting = MigrationGate(application.app, history.runner(wait_deadline=600))
    late = MigrationGate(application.app, history.runner(wait_deadline=0), on_failure="stay")
    later = MigrationGate(application.app, history.runner(), current_only=0, on_failure="stay")
    async with served(first):
        await at_work(first)
        await eventually(
            lambda: history.value(f"SELECT count(*) FROM pg_locks WHERE objid = 42 AND NOT granted AND {HERE}")
        )
        async with served(waiting) as second, served(late) as third, served(later) as fourth:
            await standing(waiting, lambda: waiting.watch.now.holder is not None)
            await standing(late, lambda: late.watch.now.is_over)
            await standing(later, lambda: later.watch.now.is_over)
            said = [(await server.client.get("/readyz")).text for server in (second, third, fourth)]
            assert "hunter2" in str(waiting.watch.now.holder)
            assert all("at migration 001_secret for " in text and "hunter2" not in text for text in said)
            assert "If it is at work, wait longer" in said[1]
            assert "If it is at work, wait longer" in said[2]
            await held()


async def test_who_comes_too_early_is_told_to_come_again(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    gate = MigrationGate(application.app, patient(slow), retry_after=7)
    async with served(gate) as server:
        await at_work(gate)
        early = await server.client.get("/anything")
        assert (early.status_code, early.headers["retry-after"]) == (503, "7")
        assert early.json()["detail"].startswith("The service is not ready")
        head = await server.client.head("/anything")
        assert (head.status_code, head.content) == (503, b"")
        assert head.headers["content-length"] == early.headers["content-length"]
        assert (await server.client.head("/livez")).status_code == 200
        await held()


async def test_a_request_that_is_held_is_answered_by_the_application_with_its_state_and_body(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    gate = MigrationGate(application.app, patient(slow), hold=DEADLINE)
    async with served(gate) as server:
        await at_work(gate)
        async with asyncio.TaskGroup() as tasks:
            early = tasks.create_task(server.client.get("/"))
            body = tasks.create_task(server.client.post("/echo", content=b"kept"))
            await standing_requests(gate, 2)
            await held()
        assert (early.result().json(), body.result().json()) == ("hello", "kept")


async def test_a_request_that_was_read_before_the_application_started_and_comes_after_has_its_state(
    history: History, application: Application
) -> None:
    gate = MigrationGate(application.app, history.runner())
    async with served(gate) as server:
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)
        assert "hello" in {message.get("text") for message in await talk(gate, {})}
        assert "mine" in {message.get("text") for message in await talk(gate, {}, {"word": "mine"})}


async def test_a_request_has_what_the_application_put_in_the_place_of_an_outer_state(
    history: History, application: Application
) -> None:
    gate = MigrationGate(application.app, history.runner())
    async with served(gate, state={"word": "outer"}) as server:
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)
        assert "hello" in {message.get("text") for message in await talk(gate, {}, {"word": "outer"})}


async def standing_requests(gate: MigrationGate, count: int) -> None:
    async def all_wait() -> bool:
        return gate._held == count

    await eventually(all_wait)


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_held_request_whose_client_has_gone_is_not_served(
    slow: History, held: Callable[[], Awaitable[None]], kind: str
) -> None:
    served_paths: list[str] = []

    async def bare(scope: Scope, _: Receive, __: Send) -> None:
        assert scope["type"] != "lifespan"
        served_paths.append(scope["path"])

    first: dict[str, Message] = {
        "http": {"type": "http.request", "body": b"paid"},
        "websocket": {"type": "websocket.connect"},
    }
    said = [first[kind]]

    async def receive() -> Message:
        return said.pop() if said else {"type": f"{kind}.disconnect"}

    gate = MigrationGate(bare, patient(slow), hold=DEADLINE)
    async with served(gate) as server:
        await at_work(gate)
        async with asyncio.timeout(DEADLINE):
            await gate({"type": kind, "method": "POST", "path": "/pay", "headers": []}, receive, unheard)
        await held()
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)
    assert served_paths == []


async def unheard(message: Message) -> None:
    raise AssertionError(message)


async def test_the_body_of_a_held_request_is_read_by_the_application(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"a", b"b", b"c"):
            yield part

    gate = MigrationGate(application.app, patient(slow), hold=DEADLINE)
    async with served(gate) as server:
        await at_work(gate)
        async with asyncio.TaskGroup() as tasks:
            body = tasks.create_task(server.client.post("/echo", content=parts()))
            await standing_requests(gate, 1)
            await held()
        assert body.result().json() == "abc"


async def test_a_request_is_held_no_longer_than_it_was_said(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    gate = MigrationGate(application.app, patient(slow), hold=0.01)
    async with served(gate) as server:
        await at_work(gate)
        assert (await server.client.get("/")).status_code == 503
        await held()


async def test_a_held_request_is_refused_when_the_migration_fails(history: History, application: Application) -> None:
    history.python("001_fails", 'self.progress(1)\nawait self.execute("SELECT pg_advisory_xact_lock(42)")\n1 / 0')
    gate = MigrationGate(application.app, patient(history), hold=DEADLINE, on_failure="stay")
    async with history.engine.connect() as connection, served(gate) as server:
        await connection.exec_driver_sql(HOLD)
        early = asyncio.create_task(server.client.get("/"))
        await standing_requests(gate, 1)
        await connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        assert (await early).status_code == 503


async def test_a_failed_migration_is_told_without_its_statement(
    bad: History, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    gate = MigrationGate(application.app, bad.runner(), on_failure="stay")
    async with served(gate) as server:
        await standing(gate, lambda: gate.watch.now.is_over)
        says = (await server.client.get("/readyz")).json()
        assert (says["phase"], says["application"], says["migration"]) == ("failed", "failed", "001_bad")
        assert says["reason"].startswith("The upgrade of 001_bad failed: ")
        assert "hunter2" not in str(says)
        assert (await server.client.get("/livez")).status_code == 200
        assert (await server.client.get("/")).status_code == 503
    assert server.kinds == ["startup.complete", "shutdown.complete"]
    assert application.lived == []
    assert [each.levelname for each in caplog.records if "The service does not start" in each.message] == ["ERROR"]


async def test_an_error_that_nobody_thought_of_is_named_and_its_traceback_logged(
    history: History, application: Application, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(_: MigrationRunner, __: object = None) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(MigrationRunner, "run_migrations", explode)
    gate = MigrationGate(application.app, history.runner(), on_failure="stay")
    async with served(gate) as server:
        await standing(gate, lambda: gate.watch.now.is_over)
        says = (await server.client.get("/readyz")).json()
    assert says["reason"] == "ZeroDivisionError; the log says more."
    assert any(each.exc_info for each in caplog.records)


async def test_an_application_that_fails_is_told_apart_from_its_migrations(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    history.sql("001_a", "CREATE TABLE a (x int)")
    gate = MigrationGate(Application(broken=True).app, history.runner(), on_failure="stay")
    async with served(gate) as server:

        async def failed() -> Any:
            says = (await server.client.get("/readyz")).json()
            return says if says["application"] == "failed" else None

        says = await eventually(failed)
        assert says["phase"] == "current"
        assert says["reason"].startswith("The migrations are applied; the application itself failed to start.")
    assert server.kinds == ["startup.complete", "shutdown.complete"]
    assert "the password of the cache" in caplog.text


async def test_shutdown_during_a_migration_takes_it_back_and_frees_the_lock(
    slow: History, application: Application, held: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    gate = MigrationGate(application.app, patient(slow))
    async with served(gate) as server:
        await at_work(gate)
        await server.stop()

        async def only_ours_is_held() -> bool:
            return await slow.locks() == 1

        await eventually(only_ours_is_held)
    assert await slow.ledger() == ["001_a"]
    assert server.kinds == ["startup.complete", "shutdown.complete"]
    assert "Stopped by the server's shutdown. 002_slow was cancelled. Applied before it: 001_a" in caplog.text
    await held()


async def test_a_server_without_a_lifespan_is_told_so_once_and_nothing_hangs(
    history: History, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    import httpx

    history.sql("001_a", "CREATE TABLE a (x int)")
    gate = MigrationGate(application.app, history.runner(), hold=DEADLINE)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://service") as client:
        early = await client.get("/")
        says = await client.get("/readyz")
        assert (early.status_code, says.status_code) == (503, 503)
        assert "--lifespan on" in says.json()["reason"]
        assert (await client.get("/livez")).status_code == 200
    assert [each.levelname for each in caplog.records if each.name == "async_migrations"] == ["ERROR"]


async def test_a_replica_that_must_not_migrate_waits_for_one_that_does(
    history: History, application: Application
) -> None:
    history.sql("001_a", "CREATE TABLE a (x int)")
    gate = MigrationGate(application.app, history.runner(), current_only=DEADLINE)
    async with served(gate) as server:
        await standing(gate, lambda: bool(gate.watch.now.pending))
        says = (await server.client.get("/readyz")).json()
        assert (says["phase"], says["of"]) == ("waiting", 1)
        assert await history.value("SELECT to_regclass('schema_migrations') IS NULL")
        await history.runner().run_migrations()
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)


async def test_a_replica_that_must_not_migrate_gives_up_at_its_deadline(
    history: History, application: Application
) -> None:
    history.sql("001_a", "CREATE TABLE a (x int)")
    gate = MigrationGate(application.app, history.runner(), current_only=0, on_failure="stay")
    async with served(gate) as server:
        await standing(gate, lambda: gate.watch.now.is_over)
        assert "lacks 1 migration(s)" in (await server.client.get("/readyz")).json()["reason"]


async def test_the_probes_are_found_below_a_root_path(history: History, application: Application) -> None:
    gate = MigrationGate(application.app, history.runner())
    async with served(gate, root_path="/shop") as server:
        assert (await server.client.get("/shop/livez")).status_code == 200
        assert (await server.client.get("/livez")).status_code == 200
        assert (await server.client.get("/shoplivez")).status_code != 200


async def test_probes_that_are_not_wanted_belong_to_the_application(history: History) -> None:
    app = FastAPI()
    app.get("/livez")(lambda: "mine")
    gate = MigrationGate(app, history.runner(), livez=None, readyz="/health/ready")
    async with served(gate) as server:

        async def ready() -> bool:
            return (await server.client.get("/health/ready")).status_code == 200

        await eventually(ready)
        assert (await server.client.get("/livez")).json() == "mine"
        assert (await server.client.get("/readyz")).status_code == 404


async def test_an_application_without_a_lifespan_starts_all_the_same(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    async def bare(scope: Scope, _: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(MigrationGate(bare, history.runner())) as server:
        await eventually(lambda: is_ready(server.client))
        assert (await server.client.get("/")).status_code == 204
    assert server.kinds == ["startup.complete", "shutdown.complete"]
    (record,) = [each for each in caplog.records if "takes no part in the lifespan" in each.message]
    assert record.levelname == "WARNING"


async def broken() -> None:
    raise RuntimeError("the password of the cache is hunter2")


async def astray() -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task


@pytest.mark.parametrize(("start", "named"), [(broken, "hunter2"), (astray, "CancelledError")])
async def test_an_application_that_breaks_off_its_start_has_not_started(
    history: History, caplog: pytest.LogCaptureFixture, start: Callable[[], Awaitable[None]], named: str
) -> None:
    async def bare(_: Scope, receive: Receive, __: Send) -> None:
        await receive()
        await start()

    gate = MigrationGate(bare, history.runner(), on_failure="stay")
    async with served(gate) as server:

        async def decided() -> Any:
            says = (await server.client.get("/readyz")).json()
            return says if says["application"] not in {"waiting", "starting"} else None

        says = await eventually(decided)
        assert says["application"] == "failed"
        assert says["reason"].startswith("The migrations are applied; the application itself failed to start.")
        assert (await server.client.get("/")).status_code == 503
    (record,) = [each for each in caplog.records if each.message.startswith("The service does not start.")]
    assert named in record.message
    assert record.exc_info
    assert server.kinds == ["startup.complete", "shutdown.complete"]


async def test_a_signal_while_the_application_starts_refuses_the_requests_that_are_held(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def hanging(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    gate = MigrationGate(FastAPI(lifespan=hanging), history.runner(), hold=600)
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        async with served(gate) as server:

            async def starts() -> bool:
                return bool((await server.client.get("/readyz")).json()["application"] == "starting")

            await eventually(starts)
            early = asyncio.create_task(server.client.get("/"))
            await standing_requests(gate, 1)
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE):
                assert (await early).status_code == 503
            says = (await server.client.get("/readyz")).json()
    finally:
        signal.signal(signal.SIGTERM, before)
    sentence = "Stopped by SIGTERM while the application was starting. The migrations are applied."
    assert (says["phase"], says["application"], says["reason"]) == ("current", "stopped", sentence)
    assert sentence in caplog.text
    assert heard == [signal.SIGTERM]
    assert server.kinds == ["startup.complete", "shutdown.complete"]


async def test_an_application_that_ends_badly_is_heard_by_the_server(history: History) -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        raise RuntimeError("the queue would not drain")

    with pytest.raises(RuntimeError, match="would not drain"):
        async with served(MigrationGate(Starlette(lifespan=lifespan), history.runner())) as server:
            await eventually(lambda: is_ready(server.client))
    assert server.kinds == ["startup.complete", "shutdown.failed"]


async def test_a_failure_ends_the_process_from_outside_the_lifespan(
    bad: History, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    exit_now, left = asgi._exit, asyncio.Event()
    monkeypatch.setattr(asgi, "_exit", left.set)
    async with served(MigrationGate(application.app, bad.runner())) as server, asyncio.timeout(DEADLINE):
        await server.over
        await left.wait()
    with pytest.raises(SystemExit, match="3"):
        exit_now()


async def test_a_held_request_has_its_answer_before_the_process_ends(
    history: History, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.python("001_fails", 'await self.execute("SELECT pg_advisory_xact_lock(42)")\n1 / 0')
    gate, left, order = MigrationGate(application.app, patient(history), hold=DEADLINE), asyncio.Event(), list[str]()

    def leave() -> None:
        order.append("exit")
        left.set()

    monkeypatch.setattr(asgi, "_exit", leave)

    async def early() -> None:
        assert (await server.client.get("/")).status_code == 503
        order.append("answer")

    async with history.engine.connect() as connection:
        await connection.exec_driver_sql(HOLD)
        async with served(gate) as server, asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
            tasks.create_task(early())
            await standing_requests(gate, 1)
            await connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            await left.wait()
    assert order == ["answer", "exit"]


@pytest.mark.parametrize(
    "options", [{"livez": "livez"}, {"readyz": "/"}, {"hold": -1}, {"on_failure": "crash"}], ids=str
)
async def test_an_option_that_cannot_be_right_is_refused_at_once(
    history: History, application: Application, options: Mapping[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=str(next(iter(options.values())))):
        MigrationGate(application.app, history.runner(), **options)


async def test_an_older_image_starts_on_a_newer_ledger(history: History, application: Application) -> None:
    history.sql("001_a", "CREATE TABLE a (x int)")
    newer = history.sql("002_b", "CREATE TABLE b (x int)")
    await history.runner().run_migrations()
    newer.unlink()
    async with served(MigrationGate(application.app, history.runner(), hold=DEADLINE)) as server:
        assert (await server.client.get("/")).json() == "hello"


async def test_a_role_that_may_only_read_the_ledger_is_enough_to_wait(
    history: History, application: Application, database_url: str
) -> None:
    role = "reader_of_" + database_url.rpartition("/")[2]
    history.sql("001_a", "CREATE TABLE a (x int)")
    await history.runner().run_migrations()
    await history.do(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON schema_migrations TO {role}")
    engine = create_async_engine(make_url(database_url).set(username=role))
    try:
        runner = MigrationRunner(engine, directory=history.directory)
        async with served(MigrationGate(application.app, runner, current_only=DEADLINE, hold=DEADLINE)) as server:
            assert (await server.client.get("/")).json() == "hello"
    finally:
        await engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")


class Pager:
    """A page, as the gate takes it."""

    path = "/migrations"
    watch: Watch | None = None

    def attach(self, watch: Watch) -> None:
        self.watch = watch

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        assert self.watch
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{scope['path']} {self.watch.now.phase}".encode()})


async def test_a_page_is_there_before_and_after(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    page = Pager()
    gate = MigrationGate(application.app, patient(slow), page=page)
    async with served(gate) as server:
        await at_work(gate)
        assert page.watch is gate.watch
        assert (await server.client.get("/migrations")).text == "/migrations migrating"
        assert (await server.client.get("/migrations/events")).text == "/migrations/events migrating"
        assert (await server.client.get("/migrationsque")).status_code == 503
        await held()
        await eventually(lambda: is_ready(server.client), deadline=DEADLINE)
        assert (await server.client.get("/migrations")).text == "/migrations current"
        assert (await server.client.get("/migrationsque")).status_code == 404


async def talk(
    gate: MigrationGate, extensions: Mapping[str, Any], state: Mapping[str, Any] | None = None
) -> list[Message]:
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    scope: Scope = {"type": "websocket", "path": "/talk", "query_string": b"", "headers": [], "extensions": extensions}
    await gate({**scope, "state": dict(state or {})}, receive, send)
    return said


async def test_a_websocket_that_comes_too_early_is_refused_as_the_server_allows(
    slow: History, application: Application, held: Callable[[], Awaitable[None]]
) -> None:
    gate = MigrationGate(application.app, patient(slow))
    async with served(gate):
        await at_work(gate)
        start, body = await talk(gate, {"websocket.http.response": {}})
        assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"5")
        assert b"not ready" in body["body"]
        assert await talk(gate, {}) == [{"type": "websocket.close", "code": 1013, "reason": "not ready"}]
        await held()


def test_fastapi_takes_the_gate_as_a_middleware_and_its_test_client_waits_for_it(
    history: History, application: Application
) -> None:
    history.without_pool()
    history.sql("001_a", "CREATE TABLE a (x int)")
    application.app.add_middleware(MigrationGate, runner=history.runner(), hold=DEADLINE)
    for _ in range(2):
        with TestClient(application.app) as client:
            assert client.get("/").json() == "hello"
            assert client.get("/readyz").json()["ready"] is True
            with client.websocket_connect("/talk") as websocket:
                assert websocket.receive_text() == "hello"
    assert application.lived == ["up", "down"] * 2


def test_a_websocket_is_held_too(history: History, application: Application) -> None:
    history.without_pool()
    history.sql("001_a", "CREATE TABLE a (x int)")
    gate = MigrationGate(application.app, history.runner(), hold=DEADLINE)
    with TestClient(gate) as client, client.websocket_connect("/talk") as websocket:
        assert websocket.receive_text() == "hello"


def test_a_websocket_after_a_failure_is_refused(bad: History, application: Application) -> None:
    bad.without_pool()
    gate = MigrationGate(application.app, bad.runner(), hold=DEADLINE, on_failure="stay")
    with TestClient(gate) as client, pytest.raises(WebSocketDisconnect), client.websocket_connect("/talk"):
        pass


def test_nothing_touches_the_applications_logging(history: History, application: Application) -> None:
    history.without_pool()
    history.sql("001_a", "CREATE TABLE a (x int)")
    mine, root = logging.getLogger("mine.of.the.gate"), logging.getLogger()
    before = (root.level, list(root.handlers), mine.disabled, logging.getLogger("async_migrations").handlers)
    with TestClient(MigrationGate(application.app, history.runner(), hold=DEADLINE)) as client:
        assert client.get("/").status_code == 200
    assert (root.level, root.handlers, mine.disabled, logging.getLogger("async_migrations").handlers) == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
