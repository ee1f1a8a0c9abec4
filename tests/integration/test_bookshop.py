"""The example service, run as its readers run it: through its lifespan, and as real processes."""

import asyncio
import importlib
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import AutoSchemaMigration, MigrationRunner
from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.support.http import plain_client
from tests.support.processes import Child, module_process
from tests.support.servers import Serving

BOOKSHOP = Path(__file__).parents[2] / "docs" / "examples" / "bookshop"
MODULES = ("app", "models", "schemas", "shop")
NAMES = [
    "001_catalogue",
    "002_customers_and_orders",
    "003_opening_stock",
    "004_book_title_index",
    "005_updated_at",
    "006_book_slugs",
    "007_order_refunded",
    "008_refunds",
    "009_open_orders_index",
    "010_reviews",
    "011_book_rating",
    "012_publishers",
    "013_publishers_indexes",
    "014_publishers_validate",
    "015_returns_labels",
    "016_returns",
    "017_returns_indexes",
    "018_returns_validate",
    "019_customers_and_reviews",
    "020_customers_and_reviews_indexes",
]
DEADLINE = 60.0

SNAPSHOT = """
SELECT 'column', c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
       a.attnotnull, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relname <> 'schema_migrations'
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('schema_migrations'), 0)
UNION ALL
SELECT 'index', indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
UNION ALL
SELECT 'label', t.typname, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
FROM pg_enum AS e JOIN pg_type AS t ON t.oid = e.enumtypid GROUP BY 2
ORDER BY 1, 2, 3
"""
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY migration_name"

ORDER = {
    "customer": {"email": "ada@example.org", "name": "Ada"},
    "quantities": {"9780141439471": 2, "9780140447422": 1},
}


@pytest.fixture(scope="module")
def imported() -> Iterator[FastAPI]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(BOOKSHOP))
        forget()  # what another test has left under the same names
        yield importlib.import_module("app").app
        forget()


def forget() -> None:
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def metadata(imported: FastAPI) -> MetaData:
    assert imported.title == "Bookshop"
    found: MetaData = sys.modules["models"].Base.metadata
    return found


def runner_on(engine: AsyncEngine, metadata: MetaData) -> MigrationRunner:
    return MigrationRunner(engine, metadata, directory=BOOKSHOP / "migrations")


# On an empty database


@pytest.fixture
def app(imported: FastAPI, monkeypatch: pytest.MonkeyPatch, database_url: str) -> FastAPI:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return imported


@pytest.fixture
def runner(engine: AsyncEngine, metadata: MetaData) -> MigrationRunner:
    return runner_on(engine, metadata)


# On one that was migrated


@pytest.fixture(scope="module")
def template(server: Server, databases: Databases, opened: str, metadata: MetaData) -> Iterator[str]:
    """Return the name of a migrated database, of which each test gets a copy."""

    async def migrate() -> None:
        engine = create_async_engine(server.url(name))
        await runner_on(engine, metadata).run_migrations()
        await engine.dispose()

    name = databases.create(template=opened).result()
    databases.portal.call(migrate)
    yield name
    databases.drop(name)


@pytest.fixture
async def migrated(make_database: MakeDatabase, template: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(await make_database(template=template))
    yield engine
    await engine.dispose()


@pytest.fixture
def shop(imported: FastAPI, monkeypatch: pytest.MonkeyPatch, migrated: AsyncEngine) -> FastAPI:
    monkeypatch.setenv("DATABASE_URL", migrated.url.render_as_string(hide_password=False))
    return imported


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the app as a server does, its lifespan included."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bookshop") as client:
            yield client


async def rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def answer(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    return response.json()


# Migrated


async def test_the_service_comes_up_migrated_from_an_empty_database_and_the_second_start_does_nothing(
    app: FastAPI, engine: AsyncEngine
) -> None:
    async with running(app) as client:
        health = await answer(await client.get("/health"), 200)

    assert health == {"migrations_applied": NAMES}
    assert await rows(engine, LEDGER) == [(name,) for name in NAMES]
    assert await rows(engine, INVALID) == [(0,)]

    before = await rows(engine, "SELECT * FROM schema_migrations ORDER BY id")
    async with running(app) as client:
        health = await answer(await client.get("/health"), 200)

    assert health == {"migrations_applied": []}
    assert await rows(engine, "SELECT * FROM schema_migrations ORDER BY id") == before


async def test_the_migrations_say_what_they_did(runner: MigrationRunner) -> None:
    report = await runner.run_migrations()

    assert list(report.applied) == NAMES
    assert report.statistics["migrations_applied"] == len(NAMES)
    assert report.statistics["tables_created"] == 5
    assert report.statistics["books_stocked"] == 5
    assert report.statistics["slugs_written"] == 5
    assert report.statistics["books_rated"] == 0


async def test_the_data_migration_gives_each_book_a_slug(migrated: AsyncEngine) -> None:
    slugs = [slug for (slug,) in await rows(migrated, "SELECT slug FROM books ORDER BY slug")]
    assert slugs[0] == "frankenstein-9780141439471"
    assert "l-oeuvre-9780140447804" in slugs


# The history and the models


async def test_the_history_ends_at_the_models(migrated: AsyncEngine, metadata: MetaData) -> None:
    by_migrations = await rows(migrated, SNAPSHOT)
    async with migrated.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
        await connection.run_sync(metadata.create_all)

    assert by_migrations == await rows(migrated, SNAPSHOT)


LAST = ("019_customers_and_reviews.py", "020_customers_and_reviews_indexes.py")
WRITING = ("new", "customers and reviews", "--auto", "--rename", "column", "public.customers.name", "full_name")


async def test_the_command_line_writes_the_last_migrations_again_byte_for_byte(
    database_url: str, tmp_path: Path
) -> None:
    shutil.copytree(BOOKSHOP, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", *LAST))
    history = tmp_path / "migrations"
    (history / "head.txt").write_text("018_returns_validate\n")

    said = [await command(database_url, tmp_path, *line) for line in (["upgrade"], WRITING, ["upgrade"], ["diff"])]

    assert [line.rpartition("/")[2] for line in said[1].splitlines()] == list(LAST)
    for name in (*LAST, "head.txt"):
        assert (history / name).read_bytes() == (BOOKSHOP / "migrations" / name).read_bytes()
    assert said[-1] == "The database has the schema of the models.\n"


async def command(url: str, project: Path, *arguments: str) -> str:
    """Run the command line as its users do; return what it wrote to standard output."""
    arguments = ("-q", "-C", str(project), *arguments)
    async with module_process("async_migrations", *arguments, environment={"DATABASE_URL": url}) as child:
        assert await child.wait() == 0, child.transcript()
        return "".join(f"{line}\n" for line in child.lines)


async def test_auto_schema_has_nothing_to_add_and_nothing_to_say(
    migrated: AsyncEngine, metadata: MetaData, caplog: pytest.LogCaptureFixture
) -> None:
    found = await AutoSchemaMigration(migrated, metadata).run()

    assert {key: found[key] for key in ("tables_created", "columns_added", "indexes_created")} == {
        "tables_created": 0,
        "columns_added": 0,
        "indexes_created": 0,
    }
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_a_stop_after_each_migration_changes_nothing_of_the_end(
    runner: MigrationRunner, engine: AsyncEngine, metadata: MetaData
) -> None:
    for name in NAMES:
        assert (await runner.run_migrations(target=name)).applied == (name,)
        assert (await runner.run_migrations(target=name)).applied == ()

    assert (await runner.run_migrations()).applied == ()
    report = await AutoSchemaMigration(engine, metadata).run()
    assert report["tables_created"] == report["columns_added"] == report["indexes_created"] == 0


# Down and up


@pytest.mark.parametrize(
    "target", ["014_publishers_validate", "009_open_orders_index", "006_book_slugs", "003_opening_stock", "0"]
)
async def test_what_goes_down_comes_up_again(migrated: AsyncEngine, metadata: MetaData, target: str) -> None:
    runner = runner_on(migrated, metadata)
    before = await rows(migrated, SNAPSHOT)

    down = await runner.downgrade(target)
    lower = await rows(migrated, SNAPSHOT)
    up = await runner.run_migrations()

    assert down.applied == tuple(reversed(up.applied))
    assert lower != before
    assert await rows(migrated, SNAPSHOT) == before
    assert await rows(migrated, LEDGER) == [(name,) for name in NAMES]


async def test_a_downgrade_keeps_the_orders_of_customers(
    shop: FastAPI, migrated: AsyncEngine, metadata: MetaData
) -> None:
    runner = runner_on(migrated, metadata)
    async with running(shop) as client:
        placed = await answer(await client.post("/orders", json=ORDER), 201)
        await answer(await client.post(f"/orders/{placed['id']}/refund"), 200)
    await runner.downgrade("007_order_refunded")

    assert await rows(migrated, "SELECT status::text FROM orders") == [("cancelled",)]
    await runner.run_migrations()
    async with running(shop) as client:
        assert (await answer(await client.post(f"/orders/{placed['id']}/refund"), 200))["status"] == "refunded"


# The shop


async def test_a_book_is_added_and_found(shop: FastAPI) -> None:
    book = {
        "isbn": "9780140437928",
        "title": "On the Economy of Machinery",
        "authors": ["Charles Babbage", "Ada Lovelace"],
        "price_cents": 1250,
        "stock": 3,
        "format": "hardcover",
        "details": {"tags": ["machines"], "pages": 400},
    }
    async with running(shop) as client:
        added = await answer(await client.post("/books", json=book), 201)
        by_title = await answer(await client.get("/books", params={"q": "ECONOMY of"}), 200)
        by_author = await answer(await client.get("/books", params={"q": "lovelace"}), 200)
        by_tag = await answer(await client.get("/books", params={"tag": "machines"}), 200)
        again = await answer(await client.post("/books", json=book), 409)

    assert added["slug"] == "on-the-economy-of-machinery-9780140437928"
    assert added["authors"] == ["Ada Lovelace", "Charles Babbage"]
    assert by_title == by_tag == [added]
    assert [found["title"] for found in by_author] == [book["title"], "Sketch of the Analytical Engine"]
    assert again["detail"] == "There is a book with the ISBN 9780140437928 already."


async def test_a_book_has_a_publisher_and_an_order_comes_back(shop: FastAPI) -> None:
    book = {"isbn": "9780140437928", "title": "Machinery", "authors": ["Ada"], "price_cents": 1, "publisher": "Murray"}
    async with running(shop) as client:
        added = await answer(await client.post("/books", json=book), 201)
        placed = await answer(await client.post("/orders", json=ORDER), 201)
        returned = await answer(await client.post(f"/orders/{placed['id']}/return"), 200)
        again = await answer(await client.post(f"/orders/{placed['id']}/return"), 409)
        left = await answer(await client.get("/books/9780141439471"), 200)

    assert added["publisher"] == "Murray"
    assert (returned["status"], left["stock"], left["publisher"]) == ("returned", 12, None)
    assert again["detail"] == f"Order {placed['id']} is returned already."


async def test_search_takes_percent_for_a_sign(shop: FastAPI) -> None:
    async with running(shop) as client:
        everything = await answer(await client.get("/books"), 200)
        nothing = await answer(await client.get("/books", params={"q": "%"}), 200)

    titles = [book["title"] for book in everything]
    assert titles == sorted(titles, key=str.lower)
    assert nothing == []


async def test_an_order_takes_books_from_the_shelf(shop: FastAPI) -> None:
    async with running(shop) as client:
        placed = await answer(await client.post("/orders", json=ORDER), 201)
        left = await answer(await client.get("/books/9780141439471"), 200)

    assert placed["total_cents"] == 2 * 799 + 999
    assert placed["status"] == "placed"
    assert left["stock"] == 10


async def test_orders_at_one_moment_do_not_sell_a_book_twice(shop: FastAPI) -> None:
    last = {
        "customer": {"email": "Mary@example.org", "name": "Mary"},
        "quantities": {"9781108035132": 1, "9780141439471": 1},
    }
    async with running(shop) as client:
        replies = await asyncio.gather(*(client.post("/orders", json=last) for _ in range(8)))
        left = await answer(await client.get("/books/9780141439471"), 200)

    assert sorted(reply.status_code for reply in replies) == [201] + [409] * 7
    assert left["stock"] == 11


async def test_the_trigger_of_the_sql_file_notes_a_change(shop: FastAPI, migrated: AsyncEngine) -> None:
    changed = "SELECT count(*) FROM books WHERE updated_at > created_at"
    async with running(shop) as client:
        (before,) = await rows(migrated, changed)
        await answer(await client.post("/orders", json=ORDER), 201)

    # The slugs were written by a migration after the trigger, so that each book has changed before.
    assert before == (5,)
    newest = "SELECT count(*) FROM books WHERE updated_at >= (SELECT min(placed_at) FROM orders)"
    assert await rows(migrated, newest) == [(2,)]


async def test_reviews_make_a_rating_and_one_customer_has_one(shop: FastAPI) -> None:
    ada = {"email": "ada@example.org", "name": "Ada"}
    mary = {"email": "mary@example.org", "name": "Mary"}
    async with running(shop) as client:
        reviews = "/books/9780140447422/reviews"
        await answer(await client.post(reviews, json={"customer": ada, "stars": 1}), 201)
        await answer(await client.post(reviews, json={"customer": mary, "stars": 5}), 201)
        book = await answer(await client.post(reviews, json={"customer": ada, "stars": 4}), 201)

    assert book["rating"] == "4.50"


async def test_what_is_not_there_is_said_in_a_sentence(shop: FastAPI) -> None:
    unknown = {**ORDER, "quantities": {"9780000000000": 1}}
    async with running(shop) as client:
        order = await answer(await client.post("/orders", json=unknown), 404)
        too_many = await answer(await client.post("/orders", json={**ORDER, "quantities": {"9781108035132": 2}}), 409)
        refund = await answer(await client.post("/orders/7/refund"), 404)

    assert order["detail"] == "There is no book with the ISBN 9780000000000."
    assert too_many["detail"] == "Only 1 of 'Sketch of the Analytical Engine' are left, not 2."
    assert refund["detail"] == "There is no order 7."


# Real processes


def service(database_url: str) -> AbstractAsyncContextManager[Child]:
    """Run uvicorn with the bookshop, on a port that the system chooses."""
    arguments = ("--app-dir", str(BOOKSHOP), "--port", "0", "app:app")
    return module_process("uvicorn", *arguments, environment={"DATABASE_URL": database_url})


async def test_two_services_start_at_once_and_each_migration_runs_once(database_url: str, engine: AsyncEngine) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE):
        services = [await stack.enter_async_context(service(database_url)) for _ in range(2)]
        urls = [await Serving(each).url() for each in services]
        client = await stack.enter_async_context(plain_client())
        healths = [await answer(await client.get(f"{url}/health"), 200) for url in urls]
        books = [await answer(await client.get(f"{url}/books"), 200) for url in urls]
        for each in services:
            await Serving(each).stop()

    assert sorted(len(health["migrations_applied"]) for health in healths) == [0, len(NAMES)]
    assert await rows(engine, LEDGER) == [(name,) for name in NAMES]
    assert books[0] == books[1]
    assert len(books[0]) == 5
    assert await rows(engine, INVALID) == [(0,)]

    said = next(each.errors for each, health in zip(services, healths, strict=True) if health["migrations_applied"])
    assert "Starting database migration process" in said
    assert "Discovered 20 migration file(s)" in said
    assert "▶ 001_catalogue: Create authors, books and who wrote what" in said
    assert "[001_catalogue] Creating the catalogue..." in said


async def test_the_command_line_finds_migrations_and_models_by_itself(database_url: str, engine: AsyncEngine) -> None:
    for line in (["upgrade"], ["verify"], ["downgrade", "006"], ["upgrade"], ["status", "--check"]):
        await command(database_url, BOOKSHOP, *line)

    assert await rows(engine, LEDGER) == [(name,) for name in NAMES]


async def test_a_service_without_a_database_url_says_so_and_does_not_start() -> None:
    async with service("") as started:
        assert await started.wait(deadline=DEADLINE) != 0

    assert any("DATABASE_URL is not set" in line for line in started.errors)
