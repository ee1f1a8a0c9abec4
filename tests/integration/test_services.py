"""docs/services.md and the examples beside it: what they show is run, what the probes say is compared."""

import importlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.integrations.asgi import MigrationGate
from async_migrations.integrations.readiness import Application, Readiness, document
from async_migrations.standing import Phase, Standing
from tests.support.asgi import DEADLINE, served
from tests.support.history import History
from tests.support.http import plain_client
from tests.support.processes import module_process
from tests.support.servers import Serving
from tests.support.waiting import eventually

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples" / "services"
PAGE = (DOCS / "services.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SAID = [json.loads(each) for each in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
SERVICES = sorted(path.stem for path in EXAMPLES.glob("*_*.py"))
NOTE = "The schema was there before the first request."


@pytest.fixture
def written(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write the page's files, with one migration, and let them be imported."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_a.sql").write_text("CREATE TABLE a (x int)")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    for name in FILES:  # what another test has left under the same names
        sys.modules.pop(name, None)
    yield tmp_path
    # Litestar configures logging when an application is made.
    root.level, root.handlers = before
    for name in FILES:
        sys.modules.pop(name, None)


async def is_there(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool((await connection.exec_driver_sql("SELECT to_regclass('a') IS NOT NULL")).scalar_one())


@pytest.mark.parametrize("name", [name for name in FILES if name != "reader"])
async def test_a_service_of_the_page_starts_migrated(name: str, written: Path, engine: AsyncEngine) -> None:
    assert (written / f"{name}.py").exists()
    app = importlib.import_module(name).app
    async with served(app) as server:
        probed = await server.client.get("/livez")
        assert probed.status_code == (200 if name in {"gated", "middleware"} else 404)
        await eventually(lambda: is_there(engine), deadline=DEADLINE)
        if probed.is_success:  # behind a gate the application itself starts only now

            async def is_ready() -> bool:
                return (await server.client.get("/readyz")).is_success

            await eventually(is_ready, deadline=DEADLINE)
    assert server.kinds == ["startup.complete", "shutdown.complete"]


async def test_the_pages_reader_starts_when_another_has_migrated(written: Path, engine: AsyncEngine) -> None:
    assert (written / "reader.py").exists()
    async with served(importlib.import_module("app").app):
        assert await is_there(engine)
    async with served(importlib.import_module("reader").app) as reader:
        assert reader.kinds == ["startup.complete"]


def test_the_page_tells_every_option_with_its_default() -> None:
    table = dict(re.findall(r'^\| `(\w+)` \| `"?([^`"]+)"?` \|', PAGE, re.MULTILINE))
    defaults = {name: str(value) for name, value in (MigrationGate.__init__.__kwdefaults__ or {}).items()}
    assert table == {name: value.removesuffix(".0") for name, value in defaults.items()}


def test_the_page_tells_every_word_of_a_probe() -> None:
    keys = {word for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE) for word in row.split(", ")}
    everything = Standing(
        Phase.MIGRATING, since=_now(), pending=("a",), migration="a", progress=(1, 2), holder="x", reason="y"
    )
    assert {f"`{key}`" for key in document(everything, Readiness())} <= keys
    assert all(f"`{word}`" in PAGE for word in (*Phase, *Application))


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


@asynccontextmanager
async def gated(history: History, **options: Any) -> Any:
    async def app(scope: Any, _: object, __: object) -> None:
        raise NotImplementedError(scope["type"])

    gate = MigrationGate(app, history.runner(lock_timeout=None), on_failure="stay", **options)
    async with served(gate) as server:

        async def says(key: str, value: object = None) -> Any:
            async def answer() -> Any:
                found = (await server.client.get("/readyz")).json()
                return found if key in found and (value is None or found[key] == value) else None

            return await eventually(answer, deadline=DEADLINE)

        yield says


def alike(shown: dict[str, Any], found: dict[str, Any]) -> None:
    """Compare two documents but for the time, and for who holds the lock."""
    for each in (shown, found):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", each["since"])
        if "holder" in each:
            assert re.match(
                r"The lock is held by pid \d+ \(.+\) from .+, at migration 002_number_notes", each["holder"]
            )
    varying = ("since", "holder")
    assert {k: v for k, v in found.items() if k not in varying} == {k: v for k, v in shown.items() if k not in varying}
    assert list(found) == list(shown)


async def test_the_probes_say_what_the_page_shows(history: History) -> None:
    migrating, waiting, failed, ready = SAID
    for name in ("001_notes", "003_last"):
        history.sql(name, "SELECT pg_advisory_xact_lock(1); SELECT pg_advisory_xact_lock_shared(2)")
    history.python("002_number_notes", "self.progress(40, 100)\n" + 'await self.execute("SELECT pg_advisory_lock(42)")')
    async with history.engine.connect() as blocker:
        await blocker.exec_driver_sql("SELECT pg_advisory_lock(1)")
        async with gated(history) as leader:
            await leader("migration", "001_notes")
            async with gated(history) as waiter:
                await waiter("holder")
                await blocker.exec_driver_sql("SELECT pg_advisory_lock(42), pg_advisory_unlock(1)")
                alike(migrating, await leader("progress"))
                alike(waiting, await waiter("migration", "002_number_notes"))
                await blocker.exec_driver_sql("SELECT pg_advisory_unlock(42)")
                alike(ready, await leader("ready", value=True))
    await history.do("DROP TABLE schema_migrations")
    (history.directory / "002_number_notes.py").unlink()
    history.sql("002_number_notes", "UPDATE notes SET number = id")
    async with gated(history) as broken:
        alike(failed, await broken("reason"))


@pytest.mark.parametrize("name", SERVICES)
async def test_an_example_serves_from_an_empty_database(name: str, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url.replace("+asyncpg", "")}
    arguments = ("--app-dir", str(EXAMPLES), "--port", "0", f"{name}:app")
    async with module_process("uvicorn", *arguments, environment=environment) as child:
        serving = Serving(child)
        async with plain_client(base_url=await serving.url()) as client:
            answer = await client.get("/notes")
            assert answer.status_code == 200, child.transcript()
            assert answer.json() == {"database": database_url.rpartition("/")[2], "notes": [NOTE]}
            if name.startswith("gated"):
                assert (await client.get("/readyz")).json()["ready"] is True
        await serving.stop()
    assert "✓ 002_number_notes: Completed in" in child.transcript()
    assert "Application shutdown complete." in child.transcript()


def test_each_framework_has_an_example() -> None:
    assert SERVICES == ["gated_fastapi", "with_litestar", "with_starlette"]
