"""The application behind a gate: its lifespan, run later than the server's."""

from __future__ import annotations

import asyncio
import logging

import anyio
from anyio.abc import TaskGroup

from async_migrations.integrations.protocol import ASGIApp, Message, Scope, Send
from async_migrations.reporting import LOGGER

LOG = logging.getLogger(LOGGER)


class ApplicationFailedError(Exception):
    """The application's own start failed.

    Attributes:
        report: what the application said of it, or raised; it may be a traceback, with anything in it.
    """

    def __init__(self, report: str | BaseException) -> None:
        self.report = report
        super().__init__("The migrations are applied; the application itself failed to start. Its log says why.")


class Inner:
    """Speaks the lifespan protocol with an application, in the server's place.

    Args:
        app: the application.
        scope: the lifespan scope of the server; the application puts its state into it.
        send: the server's; it hears how the application ended.
    """

    def __init__(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._server = send
        self._told = False
        self._over = anyio.Event()
        self._started = anyio.Event()
        self._ended = anyio.Event()
        self._refusal: str | BaseException | None = None
        self.said_goodbye = False
        self.error: BaseException | None = None

    async def start(self, tasks: TaskGroup) -> None:
        """Let the application start; one that knows no lifespan has started at once.

        Args:
            tasks: where its lifespan runs until it ends.

        Raises:
            ApplicationFailedError: it said so, or broke off.
        """
        tasks.start_soon(self._live, tasks)
        await self._started.wait()
        if self._refusal is not None:
            raise ApplicationFailedError(self._refusal)

    async def stop(self) -> None:
        """Let the application end in good order."""
        if self._started.is_set() and not self._ended.is_set():
            self._over.set()
            await self._ended.wait()

    async def _live(self, tasks: TaskGroup) -> None:
        try:
            await self._app(self._scope, self._tell, self._hear)
        except Exception as error:
            self._judge(error, tasks)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancels us: it has awaited a task of its own that was cancelled.
            self._judge(error, tasks)
        finally:
            self._ended.set()
            self._started.set()

    def _judge(self, error: BaseException, tasks: TaskGroup) -> None:
        if self._refusal is not None:
            return
        if self._started.is_set():
            # It broke off, or failed to end: the server hears of it as if there were no gate.
            self.error = error
            tasks.cancel_scope.cancel()
            return
        if self._told:
            self._refusal = error
            return
        # See https://asgi.readthedocs.io/en/latest/specs/lifespan.html: who raises there knows no lifespan.
        name = type(error).__name__
        LOG.warning("The application takes no part in the lifespan, so it counts as started. %s: %s", name, error)

    async def _tell(self) -> Message:
        if not self._told:
            self._told = True
            return {"type": "lifespan.startup"}
        await self._over.wait()
        return {"type": "lifespan.shutdown"}

    async def _hear(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            self._refusal = message.get("message", "")
        if kind.startswith("lifespan.startup"):
            self._started.set()
            return
        self.said_goodbye = True
        await self._server(message)
