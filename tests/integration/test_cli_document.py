"""docs/command-line.md: its session is run, its tables are compared."""

import inspect
import re
import shlex
import subprocess
from pathlib import Path

from async_migrations import MigrationRunner
from async_migrations.cli import main
from async_migrations.cli.settings import SETTINGS
from tests.support.shell import Shell

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


def typed(line: str, shell: Shell) -> str:
    """Run a line of the session; our own command without a process, which would take longer than its work."""
    command = re.fullmatch(r"async-migrations (.*?)(?P<quiet> > /dev/null)?(?P<then> (&&|\|\|) echo .*)?", line)
    if command is None:
        return in_bash(line, shell.project)
    done = shell(*shlex.split(command[1]))
    shown = done.err if command["quiet"] else done.both
    return shown + (in_bash(f"(exit {done.code}){command['then']}", shell.project) if command["then"] else "")


def in_bash(line: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", line], cwd=directory, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout


def test_the_session_goes_as_it_is_written(bare: Shell) -> None:
    for block in SESSION:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, expected = step.partition("\n")
            shown = told(expected)
            found = told(typed(line, bare))
            if shown and shown[-1] == "…":
                shown.pop()
                found = found[: len(shown)]
            assert found == shown, line


def test_the_documents_have_the_keys_that_the_page_lists(bare: Shell) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (`\w+`.*) \|$", PAGE.partition("keys beside")[2], re.MULTILINE))
    bare.write("migrations/001_a.sql", "SELECT 1;")
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
    bare.write("models.py", "from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    bare.write("pyproject.toml", '[tool.async_migrations]\nbase = "models:metadata"\n')
    for line in [*lines, "repair", "status", "upgrade", "schema show"]:
        command = line.partition(" ")[0]
        document = bare("-q", *line.split(), "--json").document
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
