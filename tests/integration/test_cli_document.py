"""docs/command-line.md: its session is run, its tables are compared."""

import asyncio
import inspect
import json
import os
import re
import sys
from pathlib import Path

import pytest

from async_migrations import MigrationRunner
from async_migrations.cli import main
from async_migrations.cli.settings import SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
SESSION = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
VARYING = (
    (r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d(\.\d+)?\+[\d:]+", "TIME"),
    (r"\d+ ?ms\b", "TOOK"),
    (r'(?<="execution_time_ms": )\d+', "TOOK"),
    (r"\S+@\S+:\d+\b", "WHO"),
    (r"\basync_migrations_scratch_\w+", "SCRATCH"),
    (r"\d+\.\d s", "SECONDS"),
    (r" +", " "),
    (r" $", ""),
)


def told(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run."""
    lines = []
    for line in text.splitlines():
        for pattern, constant in VARYING:
            line = re.sub(pattern, constant, line)  # noqa: PLW2901 - one after the other
        lines.append(line)
    return lines


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "DATABASE_URL": database_url.replace("+asyncpg", ""),
        "PATH": f"{scripts}:{os.environ['PATH']}",
    }


async def shell(line: str, directory: Path, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        line,
        cwd=directory,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_the_session_goes_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    for block in SESSION:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, expected = step.partition("\n")
            shown = told(expected)
            found = told(await shell(line, tmp_path, environment))
            if shown and shown[-1] == "…":
                shown.pop()
                found = found[: len(shown)]
            assert found == shown, line


async def test_the_documents_have_the_keys_that_the_page_lists(tmp_path: Path, environment: dict[str, str]) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (`\w+`.*) \|$", PAGE.partition("keys beside")[2], re.MULTILINE))
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_a.sql").write_text("SELECT 1;")
    lines = [
        "baseline 1",
        "downgrade 1",
        "new x --sql",
        "stamp 2",
        "renumber",
        "unlock",
        "wait",
        "plan",
        "verify",
        "diff",
    ]

    assert rows.keys() == main.commands.keys()
    (tmp_path / "models.py").write_text("from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    (tmp_path / "pyproject.toml").write_text('[tool.async_migrations]\nbase = "models:metadata"\n')
    for line in [*lines, "repair", "status", "upgrade", "schema show"]:
        command = line.partition(" ")[0]
        document = json.loads(await shell(f"async-migrations -q {line} --json", tmp_path, environment))
        listed = re.findall(r"`(\w+)`", re.sub(r" \(.*?\)", "", rows[command]))
        assert list(document) == ["command", *listed], command


def test_the_defaults_are_the_runners() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`[\w]+`|\d*) ?\| .* \|$", PAGE.partition("option and key")[2], re.MULTILINE)
    parameters = inspect.signature(MigrationRunner).parameters

    table = {name: default.strip("`") for name, default in rows if name in parameters}
    assert list(table) == [each.name for each in SETTINGS]
    for name, default in table.items():
        expected = parameters[name].default
        assert default == ("" if expected is None else str(expected).removesuffix(".0")), name
