"""The shop's own logic, each test in a transaction that is rolled back; the service, on a database of its own."""

from collections.abc import AsyncIterator

import httpx
import pytest
import shop
from app import app
from schemas import NewOrder
from sqlalchemy.ext.asyncio import AsyncSession

ORDER = {"customer": {"email": "ada@example.org", "name": "Ada"}, "quantities": {"9780141439471": 2}}


async def test_an_order_takes_books_from_the_shelf(migrated_session: AsyncSession) -> None:
    await shop.place_order(migrated_session, NewOrder.model_validate(ORDER))
    await migrated_session.commit()

    book = await shop.book_by_isbn(migrated_session, "9780141439471")
    assert book.stock == 10


async def test_the_shelf_is_full_again_in_the_next_test(migrated_session: AsyncSession) -> None:
    book = await shop.book_by_isbn(migrated_session, "9780141439471")
    assert book.stock == 12


@pytest.fixture
async def client(migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bookshop") as client:
            yield client


async def test_the_service_finds_nothing_to_migrate(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"migrations_applied": []}


async def test_the_service_takes_orders(client: httpx.AsyncClient) -> None:
    placed = await client.post("/orders", json=ORDER)
    assert placed.status_code == 201
    assert (await client.get("/books/9780141439471")).json()["stock"] == 10
