"""The bookshop: a service that migrates its own database before it answers the first request."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import shop
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from models import Base
from schemas import BookView, Health, NewBook, NewOrder, NewReview, OrderView
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from async_migrations import MigrationRunner

MIGRATIONS = Path(__file__).parent / "migrations"


def database_url() -> URL:
    given = os.environ.get("DATABASE_URL")
    if not given:
        raise RuntimeError(
            "DATABASE_URL is not set: the bookshop does not know where its database is."
            " Set it, for example to postgresql://user@localhost/bookshop, and start again."
        )
    return make_url(given).set(drivername="postgresql+asyncpg")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    engine = create_async_engine(database_url())
    try:
        report = await MigrationRunner(engine, Base, directory=MIGRATIONS).run_migrations()
        app.state.health = Health(migrations_applied=list(report.applied))
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield
    finally:
        await engine.dispose()


app = FastAPI(title="Bookshop", lifespan=lifespan)


def sessions_of(request: Request) -> async_sessionmaker[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    return sessions


# The endpoints begin and end their own transaction: what a dependency does after `yield` happens when the
# answer is on its way already, and a COMMIT that fails must still be able to change it.
Sessions = Annotated[async_sessionmaker[AsyncSession], Depends(sessions_of)]


@app.exception_handler(shop.RefusedError)
async def refused(_request: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, shop.UnknownError) else 409
    return JSONResponse({"detail": str(error)}, status_code=status)


@app.get("/health")
async def health(request: Request) -> Health:
    state: Health = request.app.state.health
    return state


@app.get("/books")
async def search_books(sessions: Sessions, q: str | None = None, tag: str | None = None) -> list[BookView]:
    async with sessions() as session:
        return [BookView.of(book) for book in await shop.search(session, q, tag)]


@app.post("/books", status_code=201)
async def add_book(sessions: Sessions, new: NewBook) -> BookView:
    async with sessions.begin() as session:
        return BookView.of(await shop.add_book(session, new))


@app.get("/books/{isbn}")
async def show_book(sessions: Sessions, isbn: str) -> BookView:
    async with sessions() as session:
        return BookView.of(await shop.book_by_isbn(session, isbn))


@app.post("/books/{isbn}/reviews", status_code=201)
async def review_book(sessions: Sessions, isbn: str, new: NewReview) -> BookView:
    async with sessions.begin() as session:
        return BookView.of(await shop.review(session, isbn, new))


@app.post("/orders", status_code=201)
async def place_order(sessions: Sessions, new: NewOrder) -> OrderView:
    async with sessions.begin() as session:
        return OrderView.of(await shop.place_order(session, new))


@app.post("/orders/{order_id}/refund")
async def refund_order(sessions: Sessions, order_id: int) -> OrderView:
    async with sessions.begin() as session:
        return OrderView.of(await shop.refund(session, order_id))


@app.post("/orders/{order_id}/return")
async def take_back_order(sessions: Sessions, order_id: int) -> OrderView:
    async with sessions.begin() as session:
        return OrderView.of(await shop.refund(session, order_id, returned=True))
