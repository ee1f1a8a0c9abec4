"""Starlette: migrations before the application's own lifespan."""

import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from store import lifespan, notes, runner

from async_migrations.integrations.starlette import migration_lifespan

logging.basicConfig(level=logging.INFO, format="%(message)s")


async def show_notes(request: Request) -> JSONResponse:
    return JSONResponse({"database": request.state.engine.url.database, "notes": await notes()})


app = Starlette(
    routes=[Route("/notes", show_notes)],
    lifespan=migration_lifespan(runner, inner=lifespan),
)
