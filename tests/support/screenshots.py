"""Make the pictures of the page anew: `python -m tests.support.screenshots`."""

import io
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import asyncpg
from PIL import Image
from playwright.async_api import Browser, expect
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import MigrationRunner
from async_migrations.lock import LockKey
from async_migrations.testing.server import temporary_server
from tests.conformance.aftermath import watching
from tests.support.browser import PATIENCE, browsing, looking_at
from tests.support.page_server import serving

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WIDE: dict[str, Any] = {"viewport": {"width": 960, "height": 620}, "timezone_id": "Europe/Paris"}
NARROW: dict[str, Any] = {"viewport": {"width": 360, "height": 620}, "timezone_id": "Europe/Paris"}
COLOURS = 64
GATE = 7_003
WORK = f"""
from async_migrations import BaseMigration


class Migration(BaseMigration):
    '''Copy the prices of 1.2 million orders.'''

    async def upgrade(self):
        self.progress(783_000, 1_200_000)
        await self.execute("SELECT pg_advisory_xact_lock({GATE})")
"""
HISTORY = {
    "001_catalogue": "Books, authors and what ties them",
    "002_customers_and_orders": "Customers and what they order",
    "003_opening_stock": "Fill the shelves for the first day",
    "004_book_title_index": "Search by title beside running writes",
    "005_updated_at": "Let a trigger note when a row was changed",
    "006_book_slugs": "Readable addresses for books",
    "007_order_refunded": "An order can be refunded",
    "008_refunds": "Who got how much back, and why",
}
PENDING = ("009_prices", "010_reviews", "011_book_rating")
TOOK = (41, 18, 2_310, 48_700, 9, 7_420, 3, 26, 1_083_000, 64, 12)
PODS = ("shop-7d9f8b6c5d-q8x2z", "shop-7d9f8b6c5d-w4k7m")


def write(folder: Path) -> None:
    """Write the shop's migrations."""
    for name, description in HISTORY.items():
        (folder / f"{name}.sql").write_text(f"-- description: {description}\nSELECT 1;\n", "utf-8")
    (folder / f"{PENDING[0]}.py").write_text(WORK, "utf-8")
    for name in PENDING[1:]:
        (folder / f"{name}.sql").write_text("SELECT 1;\n", "utf-8")


async def age(witness: asyncpg.Connection) -> None:
    """Let the ledger look like one that has grown over months."""
    statement = (
        "UPDATE schema_migrations SET applied_at = $2, execution_time_ms = $3, applied_by = $4, run_id = 'earlier' "
        "WHERE migration_name = $1"
    )
    for number, (name, took) in enumerate(zip((*HISTORY, *PENDING), TOOK, strict=True)):
        when = datetime(2026, 3, 2, 8, 14, 31, tzinfo=UTC) + timedelta(days=11.3 * number)
        await witness.execute(
            statement, name, when, took, f"shop@shop-{5 + number:x}f6d8c9b7-{number + 2}xk{number}p:1"
        )


@asynccontextmanager
async def waiting(url: str, key: LockKey) -> AsyncIterator[None]:
    """Have two replicas wait, in name."""
    async with AsyncExitStack() as stack:
        for pod in PODS:
            session = await stack.enter_async_context(watching(url))
            await session.execute("SELECT set_config('application_name', $1, false)", f"{key.waiting} {pod}")
        yield


async def shoot(browser: Browser, url: str, headline: str, target: Path, **options: Any) -> None:
    """Take one picture, in few colours."""
    async with looking_at(browser, url, **options) as page:
        await expect(page.locator("#live")).to_have_text("live", timeout=PATIENCE)
        await expect(page.locator("#headline")).to_have_text(headline, timeout=PATIENCE)
        picture = Image.open(io.BytesIO(await page.screenshot()))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


async def make(folder: Path) -> None:
    """Take all pictures.

    Args:
        folder: Where they go.

    """
    with temporary_server(version=18) as server, tempfile.TemporaryDirectory() as directory:
        write(Path(directory))
        url = server.url()
        engine = create_async_engine(url)
        runner = MigrationRunner(engine, directory=directory, observers=())
        await runner.run_migrations(len(HISTORY))
        key = LockKey("postgres", "public", "schema_migrations")
        async with (
            watching(url) as witness,
            browsing() as browser,
            serving(url, Path(directory), title="Bookshop") as page,
            anyio.create_task_group() as tasks,
        ):
            await age(witness)
            await witness.execute(f"SELECT pg_advisory_lock({GATE})")
            tasks.start_soon(runner.run_migrations)
            busy = "Migrating 1 of 3"
            async with waiting(url, key):
                await shoot(browser, page.url, busy, folder / "page-migrating.png", **WIDE, color_scheme="light")
                await shoot(browser, page.url, busy, folder / "page-narrow.png", **NARROW, color_scheme="dark")
            await witness.execute(f"SELECT pg_advisory_unlock({GATE})")
            await runner.wait_until_current(PATIENCE / 1000)
            await age(witness)
            await shoot(browser, page.url, "Current", folder / "page-light.png", **WIDE, color_scheme="light")
            await shoot(browser, page.url, "Current", folder / "page-dark.png", **WIDE, color_scheme="dark")
        await engine.dispose()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    anyio.run(make, Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
