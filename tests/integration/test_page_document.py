"""What the page's document promises: its example runs, its pictures can be made anew, its numbers are the code's."""

import inspect
import re
from pathlib import Path

import httpx
import pytest
from PIL import Image

from async_migrations.integrations.page import MigrationPage
from async_migrations.integrations.page.stream import LIFE
from tests.integration.test_documents import ROOT, blocks, environment, in_the_background, run
from tests.support.http import plain_client
from tests.support.screenshots import make
from tests.support.waiting import eventually

PAGE = ROOT / "docs" / "page.md"
HERE = "http://127.0.0.1:8766/migrations"


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return width and height of the page's pictures."""
    found = {}
    for path in folder.glob("page-*.png"):
        assert path.stat().st_size < 40_000
        with Image.open(path) as picture:
            found[path.name] = picture.size
    return found


async def test_the_example_shows_itself_migrating(database_url: str) -> None:
    commands = next(text for language, text in blocks(PAGE) if language == "sh").splitlines()
    folder = ROOT / re.sub("^cd ", "", commands[1])
    exported = dict(re.findall(r"(\w+)=(\S+)", commands[2]))
    env = {
        **environment(database_url.replace("+asyncpg", "")),
        "PAGE_PASSWORD": exported["PAGE_PASSWORD"],
        "PAUSE": "0",
    }
    with in_the_background(commands[3], folder, env):
        async with plain_client() as client:

            async def is_current() -> bool:
                try:
                    answer = await client.get(f"{HERE}/state", auth=("ops", exported["PAGE_PASSWORD"]))
                except httpx.TransportError:
                    return False
                return answer.status_code == 200 and bool(answer.json()["state"]["title"] == "Current")

            await eventually(is_current, deadline=60)
            assert (await client.get(HERE)).status_code == 401
            assert (await client.get("http://127.0.0.1:8766/")).json() == {"hello": "world"}


@pytest.mark.timeout(240)
async def test_the_pictures_are_made_anew(tmp_path: Path) -> None:
    assert "`python -m tests.support.screenshots`" in PAGE.read_text()
    await make(tmp_path)
    assert sizes(tmp_path) == sizes(ROOT / "docs" / "images")
    assert sizes(tmp_path).keys() == set(re.findall(r"\(images/(page-[\w-]+\.png)\)", PAGE.read_text()))


def test_the_defaults_are_the_pages() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .* \|$", PAGE.read_text(), re.MULTILINE)
    parameters = inspect.signature(MigrationPage).parameters
    assert [name for name, _ in rows] == [name for name in parameters if name != "runner"]
    for name, default in rows:
        expected = parameters[name].default
        assert default.strip("`") == (str(expected) if expected is not None else default)
    assert f"after {LIFE:.0f} s at the latest" in PAGE.read_text()


async def test_the_wheel_carries_what_the_page_is_made_of(tmp_path: Path) -> None:
    env = environment("")
    await run(f"pip wheel --quiet --no-deps --wheel-dir {tmp_path} {ROOT}", tmp_path, env)
    listed = await run("python -m zipfile --list *.whl", tmp_path, env)
    for name in ("page.html", "page.css", "page.js"):
        assert f"async_migrations/integrations/page/{name}" in listed
