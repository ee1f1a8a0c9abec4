"""The page in a real browser, as people see it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import asyncpg
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import MigrationRunner, face
from async_migrations.connector import EngineConnector, connect
from async_migrations.ledger import Ledger
from async_migrations.lock import LockKey
from tests.conformance.aftermath import watching
from tests.support.browser import PATIENCE, browsing, looking_at
from tests.support.history import History
from tests.support.page_server import serving

# One browser for all tests, each with a context of its own; what it is driven with lives in one event loop.
pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module"), pytest.mark.any_server]
expect.set_options(timeout=PATIENCE)

BACKFILL = """
for number in range(1, 4):
    self.progress(number - 1, 3)
    await self.execute(f"SELECT pg_advisory_xact_lock({number})")
"""
HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script>"
NARROW = {"width": 360, "height": 700}
LUMINANCE = """
() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parse(c).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (e) => {
    while (e) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c)) return c;
      e = e.parentElement;
    }
  };
  const found = {};
  for (const e of document.querySelectorAll("h1, h2, p, b, small, td, time, label, mark, a, #live")) {
    if (!e.checkVisibility() || !e.textContent.trim()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(under(e))].sort((x, y) => y - x);
    found[`${e.tagName} ${e.id} ${e.className}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}
"""

Step = Callable[[int], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def witness(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with watching(database_url) as witness:
        yield witness


@pytest_asyncio.fixture(loop_scope="module")
async def let_pass(witness: asyncpg.Connection) -> Step:
    """Return a function that lets the backfill pass one of its three gates."""
    for number in (1, 2, 3):
        await witness.execute(f"SELECT pg_advisory_lock({number})")

    async def let_pass(number: int) -> None:
        await witness.execute(f"SELECT pg_advisory_unlock({number})")

    return let_pass


@pytest.fixture
def service(history: History) -> History:
    """Return a history of a service: two that are applied soon, then a long one, then another."""
    history.sql("001_users", "-- description: Users, at last\nCREATE TABLE users (id integer)")
    history.sql("002_orders", "CREATE TABLE orders (id integer)")
    history.python("003_backfill", BACKFILL)
    history.sql("004_last", "CREATE TABLE last (id integer)")
    return history


@asynccontextmanager
async def replica(url: str, history: History) -> AsyncIterator[MigrationRunner]:
    engine = create_async_engine(url)
    yield MigrationRunner(engine, directory=history.directory, observers=())
    await engine.dispose()


async def shows(page: Page, selector: str, text: str | re.Pattern[str]) -> None:
    await expect(page.locator(selector)).to_have_text(text)


async def fits(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


async def test_another_replicas_migration_is_live_with_its_progress_and_who_waits(
    service: History,
    database_url: str,
    browser: Browser,
    let_pass: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face, "WHISPER", 0.0)
    await service.runner().run_migrations(2)
    async with (
        serving(database_url, service.directory, refresh=0.1) as server,
        looking_at(browser, server.url) as page,
        replica(database_url, service) as leader,
        replica(database_url, service) as waiter,
        anyio.create_task_group() as replicas,
    ):
        await shows(page, "#headline", "2 migrations pending")
        await expect(page.locator("#applied tbody tr")).to_have_count(2)
        replicas.start_soon(leader.run_migrations)
        await shows(page, "#headline", "Migrating 1 of 2")
        await shows(page, "#detail", re.compile(r"^003_backfill, by pid \d+ from 127\.0\.0\.1\.$"))
        await shows(page, "#pending [aria-current] b", "003_backfill")
        await shows(page, "#since", re.compile(r"^for \d+ s$"))
        await shows(page, "#progress-text", "0 of 3 · 0%")
        await expect(page.locator("#waiting")).to_be_hidden()
        replicas.start_soon(waiter.run_migrations)
        await expect(page.locator("#waiting li")).to_have_count(1)
        await let_pass(1)
        await shows(page, "#progress-text", "1 of 3 · 33%")
        assert await page.locator("#progress").evaluate("e => [e.value, e.max]") == [1, 3]
        await let_pass(2)
        await shows(page, "#progress-text", "2 of 3 · 67%")
        await let_pass(3)
        await shows(page, "#headline", "Current")
        await expect(page.locator("#waiting")).to_be_hidden()
        await expect(page.locator("#bar")).to_be_hidden()
        await expect(page.locator("#pending")).to_be_hidden()
        await expect(page.locator("#applied tbody th b").first).to_have_text("004_last")
        await expect(page).to_have_title(re.compile(r"^Current \W "))


async def test_the_replica_that_migrates_shows_itself_before_it_is_ready(
    service: History, database_url: str, browser: Browser, let_pass: Step
) -> None:
    async with serving(database_url, service.directory, "gated") as server, looking_at(browser, server.url) as page:
        await shows(page, "#headline", "Migrating 3 of 4")
        await shows(page, "#detail", "003_backfill, in this process.")
        await shows(page, "#replica", "This replica is the one that migrates.")
        await shows(page, "#progress-text", "0 of 3 · 0%")
        for number in (1, 2, 3):
            await let_pass(number)
        await shows(page, "#headline", "Current")
        await shows(page, "#replica", "This replica has started.")


async def test_a_failure_stays_on_the_page_with_its_sentence(
    history: History, database_url: str, browser: Browser
) -> None:
    history.sql("001_a", "SELECT 1")
    history.sql("002_wrong", "INSERT INTO nowhere VALUES ('sesame')")
    async with serving(database_url, history.directory, "gated") as server, looking_at(browser, server.url) as page:
        await shows(page, "#headline", "Failed at 002_wrong")
        await expect(page.locator("#state")).to_have_attribute("data-tone", "bad")
        await expect(page.locator("#detail")).to_contain_text('relation "nowhere" does not exist')
        assert "sesame" not in await page.content()


async def test_hostile_names_are_only_text(
    history: History, database_url: str, browser: Browser, witness: asyncpg.Connection
) -> None:
    history.sql("001_a", "SELECT 1")
    history.sql("002_b", "SELECT 1")
    await history.runner().run_migrations(1)
    insert = (
        "INSERT INTO schema_migrations (migration_name, description, applied_by) VALUES ($1::text, $1::text, $1::text)"
    )
    await witness.execute(insert, f"000 {HOSTILE}")
    async with AsyncExitStack() as stack:
        holder, waiter = [await stack.enter_async_context(watching(database_url)) for _ in range(2)]
        async with connect(EngineConnector(history.engine), print, deadline=10) as session:
            facts = await session.facts()
            ledger = await Ledger("schema_migrations").resolve(session, facts)
        key = LockKey(facts.database, ledger.schema or "", ledger.table)
        rename = "SELECT set_config('application_name', $1, false)"
        await holder.execute("SELECT pg_advisory_lock($1)", key.number)
        await holder.execute(rename, f"async_migrations: {HOSTILE}")
        await waiter.execute(rename, f"{key.waiting} <script>pwned=1</script>")
        server = await stack.enter_async_context(serving(database_url, history.directory))
        for scripted in (True, False):
            async with looking_at(browser, server.url, java_script_enabled=scripted) as page:
                if scripted:
                    await shows(page, "#live", "live")
                await expect(page.locator("#applied tbody tr:first-child b")).to_have_text(f"000 {HOSTILE}")
                await expect(page.locator("#applied small", has_text="000 <img")).to_have_text(f"000 {HOSTILE}")
                await expect(page.locator("#findings")).to_contain_text(HOSTILE)
                await expect(page.locator("#detail")).to_contain_text("<img src=x onerror=")
                await shows(page, "#waiting b", re.compile("^<script>pwned"))
                assert await page.locator("img, main script").count() == 0
                if scripted:
                    assert await page.evaluate("window.pwned") is None


async def test_the_script_says_what_the_server_wrote(service: History, database_url: str, browser: Browser) -> None:
    await service.runner().run_migrations(2)
    (service.directory / "001_users.sql").write_text("SELECT 'another'")
    read = (
        "() => [...document.querySelectorAll('main > section:not([hidden])')].map(s => s.innerText"
        ".replace(/\\s*(UTC|Search)/g, ''))"
    )
    async with serving(database_url, service.directory) as server:
        async with looking_at(browser, server.url, java_script_enabled=False) as page:
            plain = await page.evaluate(read)
        async with looking_at(browser, server.url, timezone_id="UTC") as page:
            await shows(page, "#live", "live")
            # Of a table that the script has made, not of the one that came with the page.
            await service.runner(changed="warn").run_migrations(2)
            await service.do("UPDATE schema_migrations SET run_id = 'another'")
            await page.reload()
            await shows(page, "#live", "live")
            scripted = await page.evaluate(read)
    assert len(plain) == 4
    assert scripted == plain


async def test_it_is_readable_in_light_and_in_darkness(service: History, database_url: str, browser: Browser) -> None:
    await service.runner().run_migrations(2)
    (service.directory / "001_users.sql").write_text("SELECT 'another'")
    async with serving(database_url, service.directory) as server, looking_at(browser, server.url) as page:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.reload()
            await shows(page, "#live", "live")
            background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 384) == (scheme == "light")
            contrast = await page.evaluate(LUMINANCE)
            assert len(contrast) > 8
            assert {what: ratio for what, ratio in contrast.items() if ratio < 4.5} == {}


async def test_nothing_is_cut_off_on_a_narrow_screen(
    service: History, database_url: str, browser: Browser, witness: asyncpg.Connection
) -> None:
    await service.runner().run_migrations(2)
    insert = (
        "INSERT INTO schema_migrations (migration_name, description, applied_by) VALUES ($1::text, $1::text, $1::text)"
    )
    await witness.execute(insert, "002_" + "x" * 240)
    async with (
        serving(database_url, service.directory) as server,
        looking_at(browser, server.url, viewport=NARROW) as page,
    ):
        await shows(page, "#live", "live")
        await expect(page.locator("#applied tbody tr")).to_have_count(3)
        assert await fits(page)
        for width in (320, 700, 720, 2560):
            await page.set_viewport_size({"width": width, "height": 700})
            assert await fits(page), width


async def test_a_thousand_migrations_are_searched(history: History, database_url: str, browser: Browser) -> None:
    for number in range(1, 1001):
        (history.directory / f"{number:03d}_step.sql").write_text("-- description: A step\nSELECT 1")
    (history.directory / "400_step.sql").rename(history.directory / "400_needle.sql")
    await history.runner().baseline(1000)
    async with serving(database_url, history.directory) as server, looking_at(browser, server.url) as page:
        await shows(page, "#live", "live")
        rows = page.locator("#applied tbody tr")
        await expect(rows).to_have_count(1000)
        await page.get_by_label("Search").fill("needle 400")
        await expect(rows.filter(visible=True)).to_have_count(1)
        await shows(page, "#found", "1 of 1,000")
        await history.do("UPDATE schema_migrations SET description = 'rewritten' WHERE migration_name = '400_needle'")
        await expect(rows.filter(visible=True).locator("small")).to_have_text("rewritten")
        await expect(rows.filter(visible=True)).to_have_count(1)
        await page.get_by_label("Search").fill("")
        await expect(rows.filter(visible=True)).to_have_count(1000)


async def test_only_who_knows_the_password_sees_it_live(service: History, database_url: str, browser: Browser) -> None:
    await service.runner().run_migrations(2)
    async with serving(database_url, service.directory, password="sesame") as server:
        wrong = {"username": "ops", "password": "semolina"}
        async with looking_at(browser, server.url, http_credentials=wrong) as page:
            await shows(page, "body", re.compile("You may not see this page"))
            assert "001_users" not in await page.content()
        known = {"username": "ops", "password": "sesame"}
        async with looking_at(browser, server.url, http_credentials=known) as page:
            await shows(page, "#live", "live")
            await expect(page.locator("#applied tbody tr")).to_have_count(2)


async def test_a_page_that_has_lost_its_server_says_so_and_finds_it_again(
    service: History, database_url: str, browser: Browser
) -> None:
    async with serving(database_url, service.directory) as server, looking_at(browser, server.url) as page:
        await shows(page, "#live", "live")
        server.child.kill()
        await shows(page, "#live", re.compile("^No word from the server since "))
        await service.runner().run_migrations(2)
        async with serving(database_url, service.directory, port=httpx.URL(server.url).port):
            await shows(page, "#live", "live")
            await expect(page.locator("#applied tbody tr")).to_have_count(2)


async def test_the_keyboard_reaches_everything_and_a_reader_hears_the_state(
    service: History, database_url: str, browser: Browser
) -> None:
    await service.runner().run_migrations(2)
    async with serving(database_url, service.directory) as server, looking_at(browser, server.url) as page:
        await shows(page, "#live", "live")
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="the same as JSON")).to_be_focused()
        await expect(page.locator("[aria-live=polite] #headline")).to_have_text("2 migrations pending")
        await expect(page.get_by_role("region", name="State")).to_be_visible()
        await expect(page.get_by_role("rowheader")).to_have_count(2)
        await page.set_viewport_size({"width": 360, "height": 700})
        await expect(page.get_by_role("rowheader")).to_have_count(2)
