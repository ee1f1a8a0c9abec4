"""Debian's Chromium, headless, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The last list counts: Playwright's own is not heeded beside it.
TALKATIVE = (
    "AimEnabled",
    "HttpsUpgrades",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PreconnectToSearch",
)
POPUPS = ("WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxPopup")
"""Of the address bar, which nobody sees: each new page would spend more on loading them than on itself."""
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    f"--disable-features={','.join((*TALKATIVE, *POPUPS))}",
)
"""So that it talks to nobody but our server, and does nothing beside."""

PATIENCE = 30_000
"""Milliseconds that a browser may take for anything."""


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser with a fresh profile; the test is skipped when none is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("No Chromium is here: install it with apt-get install chromium")
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments, timeout=PATIENCE)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking_at(browser: Browser, url: str, **options: object) -> AsyncIterator[Page]:
    """Open a page in a context of its own; an error of its script, or of its policy, fails the test.

    Args:
        browser: The browser.
        url: Of the page.
        options: Those of a browser context: viewport, color_scheme, http_credentials ….

    """
    errors: list[str] = []
    context = await browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None
    )
    try:
        await page.goto(url)
        yield page
    finally:
        await context.close()
    assert not errors
