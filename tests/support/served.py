"""The service that servers serve in tests: Starlette, once with the lifespan and once behind the gate."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, cast

from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from async_migrations import Event, MigrationRunner
from async_migrations.events import RunStarted
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.starlette import migration_lifespan


def say(word: str) -> None:
    """Write a line in one piece: several workers share the stream."""
    os.write(1, f"application {word} {os.getpid()}\n".encode())


def note(event: Event) -> None:
    """Say that the run begins."""
    if isinstance(event, RunStarted):
        say("migrates")


engine = create_async_engine(os.environ["DATABASE_URL"])
# A migration waits for a lock that the test holds, for as long as the test wants.
runner = MigrationRunner(engine, directory=Path(os.environ["MIGRATIONS"]), lock_timeout=None).watched_by(note)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, str]]:
    if "BROKEN" in os.environ:
        raise RuntimeError("there is no cache")
    say("up")
    yield {"word": "hello"}
    await engine.dispose()
    say("down")


async def root(request: Request) -> JSONResponse:
    return JSONResponse({"word": request.state.word, "pid": os.getpid()})


def service(**options: object) -> Starlette:
    return Starlette(routes=[Route("/", root)], **options)  # type: ignore[arg-type]  # only a lifespan


living = service(lifespan=migration_lifespan(runner, inner=lifespan))
gated = MigrationGate(
    service(lifespan=lifespan),
    runner,
    hold=float(os.environ.get("HOLD", "0")),
    on_failure=cast('Literal["exit", "stay"]', os.environ.get("ON_FAILURE", "exit")),
)
