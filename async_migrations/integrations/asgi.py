"""The gate: a server answers its probes while the database is migrated, and then the application starts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, NoReturn

import anyio
from anyio.abc import TaskGroup

from async_migrations.errors import ConfigurationError, MigrationsError, NotStartedError
from async_migrations.integrations.held import Held
from async_migrations.integrations.inner import ApplicationFailedError, Inner
from async_migrations.integrations.protocol import ASGIApp, Message, Page, Receive, Scope, Send
from async_migrations.integrations.readiness import Application, Readiness, document
from async_migrations.integrations.replies import path_of, reply, turn_away
from async_migrations.integrations.signals import is_stopping, stopping
from async_migrations.integrations.start import LOG, SHUTDOWN, Ending, bring_up, sentence, stopped
from async_migrations.runner import MigrationRunner
from async_migrations.standing import Watch

__all__ = ["ASGIApp", "Message", "MigrationGate", "Page", "Receive", "Scope", "Send"]

State = dict[str, object]

BOOT_FAILURE = 3
"""The exit code by which uvicorn's and gunicorn's parents know not to try again."""

LAST_WORDS = 1.0
"""Seconds for the answers to requests that were held, before the process ends."""

EARLY = {"detail": "The service is not ready: its database or its application is not there yet. Try again later."}

NO_LIFESPAN = (
    "The server has not begun the lifespan, so nothing is migrated and nothing starts. Run it with its lifespan on "
    "(`uvicorn --lifespan on`), and let the gate be the outermost application: one that is mounted gets no lifespan."
)


class MigrationGate:
    """An ASGI application in front of another: probes are answered at once, requests when the schema is there.

    The server binds its port, the migrations run beside it, then the application's own lifespan begins. When the
    application has started, all but the probes and the page goes straight to it.

    Args:
        app: the application.
        runner: whose database.
        livez: the path that always answers 200; None for no such path.
        readyz: the path that answers 503 until the application has started, and says how far things are; or None.
        page: an application of its own that shows how the run stands, before and after.
        hold: seconds that a request which comes too early waits for the application; then, or with 0 at once, it is
            refused with 503 and Retry-After.
        retry_after: seconds that a refused client is told to wait.
        on_failure: "exit" ends the process with code 3 when migrations or application fail; "stay" keeps answering,
            so that `readyz` can be asked why.
        current_only: seconds to wait until others have migrated, for a replica that must not; None to migrate.

    Attributes:
        watch: how the run stands.

    Raises:
        ConfigurationError: an option cannot be right.
    """

    def __init__(  # noqa: PLR0913 - options, all keyword-only
        self,
        app: ASGIApp,
        runner: MigrationRunner,
        *,
        livez: str | None = "/livez",
        readyz: str | None = "/readyz",
        page: Page | None = None,
        hold: float = 0.0,
        retry_after: int = 5,
        on_failure: Literal["exit", "stay"] = "exit",
        current_only: float | None = None,
    ) -> None:
        _check([livez, readyz, page.path if page else None], hold, on_failure)
        self.watch = Watch()
        self._app = app
        self._runner = runner.watched_by(self.watch)
        self._probes = {livez: self._say_live, readyz: self._say_ready}
        self._page = page
        self._hold = hold
        self._retry_after = retry_after
        self._on_failure = on_failure
        self._current_only = current_only
        self._readiness = Readiness()
        self._decided = anyio.Event()
        self._state: State = {}
        self._early: State = {}
        self._held = 0
        self._answered = anyio.Event()
        if page is not None:
            page.attach(self.watch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, pass on or hold one request; run the lifespan."""
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        path = path_of(scope)
        if path in self._probes and scope["type"] == "http":
            return await self._probes[path](scope, send)
        if self._page is not None and f"{path}/".startswith(f"{self._page.path}/"):
            return await self._page(scope, receive, send)
        if not self._readiness.is_ready:
            return await self._meet_early(scope, receive, send)
        return await self._let_in(scope, receive, send)

    async def _say_live(self, scope: Scope, send: Send) -> None:
        await reply(scope, send, 200, {"live": True})

    async def _say_ready(self, scope: Scope, send: Send) -> None:
        self._complain()
        said = document(self.watch.now, self._readiness)
        if self._readiness.is_ready:
            await reply(scope, send, 200, said)
        else:
            await reply(scope, send, 503, said, retry_after=self._retry_after)

    async def _meet_early(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._held += 1
        try:
            held = Held(receive)
            if self._hold and not self._readiness.is_decided:
                with anyio.move_on_after(self._hold):
                    await held.until(self._decided)
            if not held.is_gone:
                await self._let_in_or_refuse(scope, held.receive, send)
        finally:
            self._held -= 1
            self._answered.set()

    async def _let_in_or_refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._readiness.is_ready:
            return await self._let_in(scope, receive, send)
        self._complain()
        if scope["type"] == "websocket":
            return await turn_away(scope, receive, send, EARLY, retry_after=self._retry_after)
        return await reply(scope, send, 503, EARLY, retry_after=self._retry_after)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The server copied the state when it read the request, and the application may have filled it only since:
        # while the request was held, or while its task had not begun. What a middleware has set stays.
        if "state" in scope:
            scope["state"].update(_fresh(self._state, self._early, scope["state"]))
        await self._app(scope, receive, send)

    def _complain(self) -> None:
        if self._readiness == Readiness():
            LOG.error(NO_LIFESPAN)
            self._readiness = Readiness(Application.ABSENT, NO_LIFESPAN)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self._decided, self._state = anyio.Event(), scope.get("state", {})
        self._early = dict(self._state)
        self._readiness = Readiness(Application.WAITING)
        await send({"type": "lifespan.startup.complete"})
        inner, ending = Inner(self._app, scope, send), Ending(self._runner)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._rise, inner, tasks, ending)
            await receive()
            await inner.stop()
            ending.ask(SHUTDOWN)
            if self._readiness.application is not Application.WAITING:
                tasks.cancel_scope.cancel()
        if self._must_exit:
            return await self._leave()
        if self._readiness.application is Application.WAITING:
            self._stop(stopped(SHUTDOWN, self.watch.now))
        if inner.error is not None:
            raise inner.error
        if not inner.said_goodbye:
            await send({"type": "lifespan.shutdown.complete"})
        return None

    async def _rise(self, inner: Inner, tasks: TaskGroup, ending: Ending) -> None:
        try:
            await bring_up(self._current_only, self.watch, ending)
            await self._start(inner, tasks)
        except NotStartedError as error:
            # The server ends by itself, when the requests that are held have their answers.
            self._stop(str(error))
        except ApplicationFailedError as error:
            self._fail(str(error), error.report)
        except Exception as error:
            reason = sentence(error)
            self.watch.fail(reason)
            self._fail(reason, error)
        self._decided.set()
        if self._must_exit:
            tasks.cancel_scope.cancel()

    async def _start(self, inner: Inner, tasks: TaskGroup) -> None:
        """Let the application start, or stop waiting for it: requests that are held would hold up the server's end."""
        self._readiness = Readiness(Application.STARTING)
        started = False
        with anyio.CancelScope() as scope, stopping(scope.cancel) as received:
            if not is_stopping():
                await inner.start(tasks)
                started = True
        if started:
            self._readiness = Readiness(Application.STARTED)
        else:
            by = received[-1].name if received else SHUTDOWN
            self._turn_away(f"Stopped by {by} while the application was starting. The migrations are applied.")

    def _stop(self, reason: str) -> None:
        self.watch.fail(reason)
        self._turn_away(reason)

    def _turn_away(self, reason: str) -> None:
        self._readiness = Readiness(Application.STOPPED, reason)
        LOG.warning(reason)

    def _fail(self, reason: str, report: str | BaseException) -> None:
        self._readiness = Readiness(Application.FAILED, reason)
        unforeseen = report if isinstance(report, BaseException) and not isinstance(report, MigrationsError) else None
        LOG.error("The service does not start. %s", str(report) or type(report).__name__, exc_info=unforeseen)

    @property
    def _must_exit(self) -> bool:
        return self._on_failure == "exit" and self._readiness.application is Application.FAILED

    async def _leave(self) -> None:
        with anyio.move_on_after(LAST_WORDS):
            while self._held:
                self._answered = anyio.Event()
                await self._answered.wait()
        # Not from this task: servers take what it raises for an application without a lifespan, and serve on.
        asyncio.get_running_loop().call_soon(_exit)


def _check(paths: Sequence[str | None], hold: float, on_failure: str) -> None:
    for path in paths:
        if path is not None and not (path.startswith("/") and path.strip("/")):
            raise ConfigurationError(f"The path {path!r} must begin with a slash and name something, as in '/readyz'.")
    if hold < 0:
        raise ConfigurationError(f"hold={hold!r} is no number of seconds.")
    if on_failure not in {"exit", "stay"}:
        raise ConfigurationError(f"on_failure={on_failure!r} is neither 'exit' nor 'stay'.")


def _fresh(filled: State, early: State, copied: State) -> State:
    none = object()
    return {key: value for key, value in filled.items() if copied.get(key, none) is early.get(key, none)}


def _exit() -> NoReturn:
    raise SystemExit(BOOT_FAILURE)
