"""A server of the page, in a process of its own: `serving` starts it, `main` is what runs there."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.page import MigrationPage, basic
from tests.support.processes import Child, child_process

APPLICATION = "the page"
"""The application_name of the server's sessions."""

SETTINGS = "PAGE_SERVER"


class PageServer:
    """A running one.

    Attributes:
        url: of the page.
        child: the process.
    """

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url


@asynccontextmanager
async def serving(url: str, directory: Path, how: str = "bare", **options: Any) -> AsyncIterator[PageServer]:
    """Serve the page.

    Args:
        url: The database.
        directory: The migrations.
        how: "bare", "mounted" in FastAPI, "router" of FastAPI, in "litestar", or "gated" by a gate that migrates.
        options: Those of `MigrationPage`; `password` is for its hook, `port` for the server.

    """
    settings = json.dumps({"url": url, "directory": str(directory), "how": how, "options": options})
    script = "from tests.support.page_server import main; main()"
    async with child_process(script, environment={SETTINGS: settings}) as child:
        line = await child.line_matching(r"^PORT \d+$", deadline=60)
        below = {
            "mounted": "/admin/migrations/",
            "router": "/ops/migrations",
            "litestar": "/admin/migrations",
        }.get(how, "/migrations")
        yield PageServer(child, f"http://127.0.0.1:{line.split()[1]}{below}")


def main() -> None:
    """Serve as the environment says, until a signal."""
    settings = json.loads(os.environ[SETTINGS])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", settings["options"].pop("port", 0)))
        server = uvicorn.Server(uvicorn.Config(application(**settings), log_level="warning", lifespan="on"))
        asyncio.run(_serve(server, listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        print(f"PORT {listener.getsockname()[1]}", flush=True)


def application(
    url: str, directory: str, how: str, options: dict[str, Any]
) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Make the application."""
    settings = {"server_settings": {"application_name": APPLICATION}}
    runner = MigrationRunner(
        create_async_engine(url, connect_args=settings, poolclass=NullPool), directory=directory, connect_deadline=5
    )
    password = options.pop("password", None)
    page = MigrationPage(runner, authorize=basic("ops", password) if password else None, **options)
    if how == "bare":
        return page
    if how == "gated":
        return MigrationGate(_empty, runner, page=page, on_failure="stay")
    if how == "litestar":
        from litestar import Litestar, asgi

        return Litestar([asgi("/admin/migrations", is_mount=True)(page)])
    from fastapi import FastAPI

    app = FastAPI()
    if how == "mounted":
        app.mount("/admin/migrations", page)
    else:
        from async_migrations.integrations.page.fastapi import page_router

        app.include_router(page_router(page), prefix="/ops")
    return app


async def _empty(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
