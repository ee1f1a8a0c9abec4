"""The image of the simulated cluster: a shop that migrates behind the gate; `MIGRATIONS` are the files in the image."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from async_migrations import MigrationRunner
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.options import Choice

IMAGE = os.environ["IMAGE"]
engine = create_async_engine(os.environ["DATABASE_URL"], connect_args={"server_settings": {"application_name": IMAGE}})
runner = MigrationRunner(
    engine,
    directory=Path(os.environ["MIGRATIONS"]),
    unknown=cast("Choice", os.environ.get("UNKNOWN", "warn")),
    grace=float(os.environ.get("GRACE", "0")),
)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def order(_request: Request) -> JSONResponse:
    """Take an order: what each request of the traffic does."""
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO orders (image) VALUES (:image)"), {"image": IMAGE})
    return JSONResponse({"image": IMAGE})


app = MigrationGate(Starlette(routes=[Route("/orders", order, methods=["POST"])], lifespan=lifespan), runner)
