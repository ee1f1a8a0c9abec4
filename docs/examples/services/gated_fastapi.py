"""FastAPI behind the gate: the probes are answered while the database is migrated."""

import logging

from fastapi import FastAPI, Request
from store import lifespan, notes, runner

from async_migrations.integrations.asgi import MigrationGate

logging.basicConfig(level=logging.INFO, format="%(message)s")
service = FastAPI(title="Notes", lifespan=lifespan)


@service.get("/notes")
async def show_notes(request: Request) -> dict[str, object]:
    return {"database": request.state.engine.url.database, "notes": await notes()}


app = MigrationGate(service, runner, hold=5)
