"""A service that shows how its database is migrated, while it is and afterwards."""

import os

from fastapi import FastAPI
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import MigrationRunner
from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.page import MigrationPage, basic

engine = create_async_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"))
runner = MigrationRunner(engine, directory="migrations")
page = MigrationPage(runner, authorize=basic("ops", os.environ["PAGE_PASSWORD"]))

service = FastAPI()


@service.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


app = MigrationGate(service, runner, page=page)
