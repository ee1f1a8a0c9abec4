"""Litestar: a plugin puts the migrations before all of the application's lifespans."""

from litestar import Litestar, get
from store import engine, lifespan, notes, runner

from async_migrations.integrations.litestar import MigrationPlugin


@get("/notes")
async def show_notes() -> dict[str, object]:
    return {"database": engine.url.database, "notes": await notes()}


app = Litestar([show_notes], lifespan=[lifespan], plugins=[MigrationPlugin(runner)])
