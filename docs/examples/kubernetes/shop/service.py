"""The service itself: it may read and write its tables, and change none of them."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"],
    # Through a transaction pooler: a prepared statement must not meet another session's of the same name.
    connect_args={
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"shop_{uuid4().hex}",
    },
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(title="Shop", lifespan=lifespan)


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/notes")
async def take(note: str) -> dict[str, int]:
    async with engine.begin() as connection:
        number = await connection.scalar(text("INSERT INTO notes (text) VALUES (:note) RETURNING id"), {"note": note})
    return {"id": int(number or 0)}
