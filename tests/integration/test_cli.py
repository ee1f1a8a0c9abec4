"""The command line as its users run it: real processes on a real server."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from async_migrations.testing.server import Server, temporary_server
from tests.conftest import MakeDatabase
from tests.support.waiting import eventually

SECRET = "s3cret-pass"
DEADLINE = 60.0
MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
AUTO = """
from async_migrations import AutoSchemaMigration, BaseMigration

class Migration(BaseMigration):
    '''Create what the models have'''
    async def upgrade(self):
        print("hello from a migration")
        return await AutoSchemaMigration(self.engine, self.base).run()
"""
PYPROJECT = '[tool.async_migrations]\nbase = "cli_models:Base"\n'
SLEEP = "SELECT pg_sleep(600);"
SLEEPERS = """
SELECT true FROM pg_stat_activity
WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return self.document["error"]


class Shell:
    """A project's directory, and commands run in it."""

    def __init__(self, project: Path, url: str | None) -> None:
        self.project = project
        self.url = url
        (project / "migrations").mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.write_text(text)
        return path

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        kept = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        ours = {"DATABASE_URL": self.url} if self.url else {}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-Werror",
            # A server that others still use is left running on purpose.
            "-Wignore:subprocess:ResourceWarning",
            "-m",
            "async_migrations",
            *arguments,
            cwd=self.project,
            env={**kept, **ours, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, **environment: str) -> Done:
        return await ended(await self.start(*arguments, **environment))


async def ended(process: asyncio.subprocess.Process) -> Done:
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    done = Done(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in done.out + done.err
    assert SECRET not in done.out + done.err
    return done


@pytest.fixture
def shell(tmp_path: Path, database_url: str) -> Shell:
    """Return a project with three migrations and an empty database."""
    shell = Shell(tmp_path, database_url.replace("+asyncpg", ""))
    shell.write("cli_models.py", MODELS)
    shell.write("pyproject.toml", PYPROJECT)
    shell.write("migrations/001_users.py", AUTO)
    shell.write("migrations/002_orders.sql", "-- description: Orders\nCREATE TABLE orders (id int);")
    shell.write("migrations/002_orders.down.sql", "DROP TABLE orders;")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id int);")
    return shell


@pytest.fixture
def bare(tmp_path: Path, database_url: str) -> Shell:
    """Return a project without migrations and an empty database."""
    return Shell(tmp_path, database_url.replace("+asyncpg", ""))


@pytest.fixture
async def ask(database_url: str) -> Callable[[str], Awaitable[Any]]:
    """Return a function that runs a query and returns its one value."""

    async def query(text: str) -> Any:
        connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        try:
            return await connection.fetchval(text)
        finally:
            await connection.close()

    return query


Ask = Callable[[str], Awaitable[Any]]


# upgrade, downgrade, status, plan, verify


async def test_upgrade_tells_the_story_on_stderr(shell: Shell) -> None:
    done = await shell("upgrade")

    assert done.code == 0, done.err
    assert done.err.splitlines()[1] == "Starting database migration process"
    assert "▶ 002_orders: Orders" in done.err
    assert "Migration summary: 3 migration(s) applied" in done.err
    assert done.out == "hello from a migration\n"
    again = await shell("upgrade", "-v")
    assert "⊘ 003_items: Already applied, skipping" in again.err
    assert "no migrations needed" in again.err


async def test_upgrade_as_a_document(shell: Shell) -> None:
    first = await shell("--json", "upgrade", "--to", "2")
    rest = await shell("upgrade", "--json", "-q")

    assert first.document.keys() == {"command", "applied", "waited", "duration_ms", "statistics"}
    assert first.document["applied"] == ["001_users", "002_orders"]
    assert first.document["statistics"]["tables_created"] == 1
    assert "hello from a migration" in first.err
    assert (rest.document["applied"], rest.err) == (["003_items"], "")


async def test_downgrade_takes_back(shell: Shell) -> None:
    await shell("upgrade", "--to", "2")

    refused = await shell("downgrade", "0", "--json")
    down = await shell("downgrade", "001_users", "--json")

    assert (refused.code, refused.error["type"], refused.error["names"]) == (1, "IrreversibleError", ["001_users"])
    assert (down.code, down.document["reverted"]) == (0, ["002_orders"])


async def test_status_shows_where_each_stands(shell: Shell) -> None:
    await shell("upgrade", "--to", "2")

    people, programs = await shell("status"), await shell("status", "--json")

    assert people.code == 0
    assert people.out.splitlines()[0].split() == ["migration", "state", "applied", "at", "took", "by"]
    assert people.out.splitlines()[3] == "003_items   pending"
    assert people.out.splitlines()[-1] == "3 migrations: 2 applied, 1 pending"
    found = programs.document
    assert (found["current"], found["counts"]) == (False, {"applied": 2, "pending": 1})
    assert [each["state"] for each in found["migrations"]] == ["applied", "applied", "pending"]
    assert found["migrations"][1]["description"] == "Orders"


async def test_status_check_is_3_until_all_is_applied(shell: Shell) -> None:
    assert (await shell("status", "--check")).code == 3
    await shell("upgrade")
    assert (await shell("status", "--check")).code == 0
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")
    assert (await shell("status", "--check")).code == 3
    assert (await shell("status", "--check", "--changed", "ignore")).code == 0


async def test_verify_is_3_when_files_and_ledger_differ(shell: Shell) -> None:
    await shell("upgrade")
    well = await shell("verify")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")
    shell.write("migrations/004_new.sql", "SELECT 1;")
    people, programs = await shell("verify"), await shell("verify", "--json")

    assert (well.code, well.out) == (0, "Files and ledger agree, and nothing is pending.\n")
    assert (people.code, people.out.splitlines()[1]) == (3, "pending: 004_new is not applied.")
    assert (programs.code, programs.document["ok"]) == (3, False)
    assert [each["kind"] for each in programs.document["findings"]] == ["changed", "pending"]


async def test_plan_shows_what_would_run_and_changes_nothing(shell: Shell, ask: Ask) -> None:
    people, programs = await shell("plan"), await shell("plan", "--to", "1", "--json")

    assert people.out.splitlines() == [
        "3 migrations would be applied:",
        "  migrations/001_users.py",
        "  migrations/002_orders.sql",
        "  migrations/003_items.sql",
    ]
    assert programs.document == {
        "command": "plan",
        "pending": [{"name": "001_users", "path": "migrations/001_users.py"}],
        "applied": [],
        "findings": [],
    }
    assert await ask("SELECT to_regclass('schema_migrations')") is None


async def test_policies_hold_from_the_command_line(shell: Shell) -> None:
    await shell("upgrade")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")

    refused = await shell("upgrade", "--json")
    warned = await shell("upgrade", "--changed", "warn")
    shown = await shell("plan")

    assert (refused.code, refused.error["type"]) == (1, "HistoryError")
    assert "was changed after it was applied" in refused.error["problems"][0]
    assert (warned.code, "was changed after it was applied" in warned.err) == (0, True)
    assert "error: migrations/003_items.sql was changed" in shown.out


# stamp, baseline, repair, renumber


async def test_stamp_records_without_running(shell: Shell, ask: Ask) -> None:
    done, again = await shell("stamp", "1", "003_items"), await shell("stamp", "3", "--json")

    assert done.out == "Recorded as applied, without running: 001_users, 003_items.\n"
    assert again.document == {"command": "stamp", "recorded": []}
    assert await ask("SELECT to_regclass('items')") is None


async def test_baseline_records_all_up_to_a_target_once(shell: Shell) -> None:
    done, again = await shell("baseline", "2", "--json"), await shell("baseline", "2")

    assert done.document == {"command": "baseline", "recorded": ["001_users", "002_orders"]}
    assert again.code == 1
    assert "A baseline needs an empty ledger" in again.err


async def test_repair_accepts_a_changed_file(shell: Shell) -> None:
    await shell("upgrade")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")

    done, again = await shell("repair"), await shell("repair", "--json")

    assert done.out == "Repaired: 003_items.\n"
    assert again.document == {"command": "repair", "repaired": []}
    assert (await shell("verify")).code == 0


async def test_repair_records_what_was_finished_by_hand(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", "-- transactional: false\nCREATE TABLE a (x int);\nSELECT 1/0;")
    failed = await bare("upgrade", "--json")

    assert failed.code == 1
    assert (await bare("status", "--json")).document["counts"] == {"dirty": 1}
    assert (await bare("repair", "1")).code == 0
    assert (await bare("status", "--json")).document["counts"] == {"applied": 1}
    assert await ask("SELECT to_regclass('a')") == "a"


async def test_renumber_asks_the_ledger(shell: Shell) -> None:
    await shell("upgrade")
    shell.write("migrations/002_a_rival.sql", "SELECT 1;")
    refused = await shell("upgrade")

    done = await shell("renumber", "--json")

    assert (refused.code, "async-migrations renumber" in refused.err) == (1, True)
    assert done.document["renames"] == [{"old": "002_a_rival", "new": "004_a_rival"}]
    assert (await shell("upgrade", "--json")).document["applied"] == ["004_a_rival"]


# wait, unlock


async def test_wait_ends_when_another_has_migrated(shell: Shell) -> None:
    waiting = await shell.start("wait", "--deadline", "50", "--json")
    await shell("upgrade")

    done = await ended(waiting)

    assert done.code == 0, done.err
    assert done.document.keys() == {"command", "waited"}


async def test_wait_gives_up(shell: Shell) -> None:
    done = await shell("wait", "--deadline", "0.2", "--json")

    assert (done.code, done.error["type"]) == (1, "NotCurrentError")
    assert done.error["pending"] == ["001_users", "002_orders", "003_items"]


async def test_wait_gives_up_on_a_database_that_is_not_there(shell: Shell) -> None:
    done = await shell("wait", "--deadline", "0.2", DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:1/x")

    assert done.code == 1
    assert "connection refused" in done.err


async def sleeping(ask: Ask) -> bool:
    return bool(await ask(SLEEPERS))


async def test_unlock_shows_the_holder_and_ends_it_only_with_yes(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", SLEEP)
    assert (await bare("unlock")).out == "Nobody holds the migration lock.\n"
    running = await bare.start("upgrade", "--json")
    try:
        await eventually(lambda: sleeping(ask), deadline=30)
        shown, programs = await bare("unlock"), await bare("unlock", "--json")
        assert "The lock is held by pid" in shown.out
        assert "unlock --yes" in shown.out
        assert (programs.document["ended"], programs.document["holder"]["state"]) == (False, "active")
        assert await sleeping(ask)
        assert (await bare("unlock", "--yes", "--json")).document["ended"] is True
        await eventually(lambda: gone(ask, programs.document["holder"]["pid"]), deadline=30)
    finally:
        running.terminate()
        await ended(running)


async def gone(ask: Ask, pid: int) -> bool:
    return not await ask(f"SELECT true FROM pg_stat_activity WHERE pid = {pid}")


# Stopped


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_cancels_and_says_what_was_done(
    bare: Shell, ask: Ask, number: signal.Signals, code: int
) -> None:
    bare.write("migrations/001_a.sql", "CREATE TABLE a (x int);")
    bare.write("migrations/002_b.sql", f"CREATE TABLE b (x int);\n{SLEEP}")
    running = await bare.start("upgrade", "--json")
    await eventually(lambda: sleeping(ask), deadline=30)
    running.send_signal(number)
    done = await ended(running)

    assert done.code == code
    assert done.error["type"] == "Stopped"
    assert (done.error["signal"], done.error["done"], done.error["at_work"]) == (number.name, ["001_a"], "002_b")
    assert f"Stopped by {number.name}. 002_b was cancelled. Done before: 001_a" in done.err
    assert not await sleeping(ask)
    assert await ask("SELECT to_regclass('b')") is None


# What goes wrong


async def test_an_sql_error_in_the_middle(shell: Shell, ask: Ask) -> None:
    shell.write("migrations/002_orders.sql", "CREATE TABLE orders (id int);\nSELECT nothing;")

    people = await shell("upgrade")
    programs = await shell("upgrade", "--json")

    assert people.code == 1
    assert 'The upgrade of 002_orders failed: column "nothing" does not exist (SQLSTATE 42703)' in people.err
    assert "applied before it in this run: 001_users (stays so)" in people.err
    error = programs.error
    assert (error["type"], error["migration"], error["sqlstate"]) == ("MigrationFailedError", "002_orders", "42703")
    assert (error["path"], error["statement"]) == ("migrations/002_orders.sql", "SELECT nothing")
    assert await ask("SELECT to_regclass('orders')") is None


async def test_a_wrong_password(shell: Shell, postgres_version: int) -> None:
    hba = ["host all postgres 127.0.0.1/32 scram-sha-256"]
    with temporary_server(version=postgres_version, hba=hba) as server:
        url = make_url(server.url(driver="")).set(password=SECRET).render_as_string(hide_password=False)
        done = await shell("upgrade", "--json", "--database-url", url)

    assert (done.code, done.error["type"]) == (1, "DatabaseUnavailableError")
    assert "the password is wrong" in done.error["message"]


@pytest.mark.parametrize("command", ["upgrade", "status", "unlock"])
async def test_an_unreachable_host(shell: Shell, command: str) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/x"

    done = await shell(command, "--database-url", url, "--connect-deadline", "0.3", "--json")

    assert (done.code, done.error["type"]) == (1, "DatabaseUnavailableError")
    assert "127.0.0.1:1/x: connection refused" in done.error["message"]


async def test_an_unknown_database(shell: Shell, server: Server) -> None:
    done = await shell("status", "--database-url", server.url("no_such_database", driver=""))

    assert done.code == 1
    assert "there is no such database" in done.err


async def test_a_url_with_what_libpq_takes(shell: Shell) -> None:
    done = await shell("upgrade", DATABASE_URL=f"{shell.url}?sslmode=disable&application_name=me&schema=x")

    assert done.code == 0
    assert "The database URL's parameter schema is unknown here and left out" in done.err


async def test_an_ssl_mode_that_there_is_not(shell: Shell) -> None:
    done = await shell("status", DATABASE_URL=f"{shell.url}?sslmode=maybe")

    assert done.code == 2
    assert "'maybe', and SSL is one of disable, " in done.err


@pytest.mark.parametrize(
    ("files", "code", "sentence"),
    [
        ({"pyproject.toml": "[tool"}, 2, "no valid TOML"),
        ({"pyproject.toml": PYPROJECT.replace("Base", "Bse")}, 2, "There is Base."),
        ({"pyproject.toml": PYPROJECT.replace("models", "modells")}, 2, "there is no module cli_modells"),
        ({"cli_models.py": "1/0"}, 2, "cannot be imported: ZeroDivisionError"),
        ({"migrations/004_x.py": "x ="}, 1, "004_x.py, line 1"),
        ({"migrations/003_y.sql": ""}, 1, "have the same number 003"),
    ],
)
async def test_a_project_that_is_not_in_order(
    shell: Shell, ask: Ask, files: Mapping[str, str], code: int, sentence: str
) -> None:
    for name, text in files.items():
        shell.write(name, text)

    done = await shell("upgrade")

    assert (done.code, sentence in done.err) == (code, True), done.err
    assert await ask("SELECT to_regclass('users')") is None


async def test_broken_models_are_no_trouble_to_who_needs_none(shell: Shell) -> None:
    shell.write("cli_models.py", "1/0")

    assert (await shell("unlock")).code == 0
    assert (await shell("status")).code == 0


async def test_a_target_that_there_is_not(shell: Shell) -> None:
    done = await shell("upgrade", "--to", "002_ordres", "--json")

    assert (done.code, done.error["type"]) == (2, "ConfigurationError")
    assert "Did you mean 002_orders?" in done.error["message"]


async def test_a_folder_that_is_not_there(bare: Shell) -> None:
    done = await bare("upgrade", "--directory", "nowhere")

    assert done.code == 1
    assert "async-migrations new" in done.err


# Options


async def test_another_table_and_schema(shell: Shell, ask: Ask) -> None:
    done = await shell("--table", 'my "ledger"', "upgrade", "--schema", "my schema")

    assert done.code == 0, done.err
    assert await ask('SELECT count(*) FROM "my schema"."my ""ledger"""') == 3


async def test_another_directory_is_the_project(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    project, shell.project = shell.project, elsewhere

    done = await shell("-C", str(project), "upgrade")
    path = await shell("new", "x", "-C", str(project))

    assert done.code == 0, done.err
    assert (elsewhere / path.out.strip()).resolve() == project / "migrations" / "004_x.py"


async def test_a_variable_that_the_file_names(shell: Shell) -> None:
    url, shell.url = shell.url, None
    shell.write("pyproject.toml", f'{PYPROJECT}database_url_env = "APP_URL"\n')

    assert (await shell("upgrade", APP_URL=str(url))).code == 0
    assert (await shell("upgrade")).code == 2


async def test_a_terminal_gets_no_colour_when_there_is_none(shell: Shell) -> None:
    shell.write("migrations/002_orders.sql", "SELECT nothing;")

    assert "\x1b" not in (await shell("upgrade")).err


# The embedded server


async def test_an_embedded_server_runs_for_a_command(shell: Shell) -> None:
    shell.url = None
    shell.write("pyproject.toml", f'{PYPROJECT}[project]\nname = "my-shop"\n')

    first = await shell("--embedded", "upgrade")
    second = await shell("status", "--embedded", "--json")

    home = shell.project / ".async-migrations"
    assert first.code == 0, first.err
    assert "PostgreSQL 18 runs at postgresql://postgres@127.0.0.1:" in first.err
    assert "/my-shop until this command ends" in first.err
    assert second.document["counts"] == {"applied": 3}
    assert (home / ".gitignore").read_text() == "*\n"
    assert not Server(home / "postgres18").is_running()


async def test_an_embedded_server_elsewhere_goes_before_the_environment(shell: Shell, ask: Ask) -> None:
    done = await shell("upgrade", "--embedded=data")

    assert done.code == 0, done.err
    assert await ask("SELECT to_regclass('users')") is None
    assert not (shell.project / ".async-migrations").exists()
    assert not Server(shell.project / "data").is_running()


async def test_commands_that_run_together_share_the_embedded_server(shell: Shell) -> None:
    commands = [await shell.start("upgrade", "--embedded", "--json") for _ in range(3)]
    done = [await ended(command) for command in commands]

    assert [each.code for each in done] == [0, 0, 0], done
    assert sorted(each.document["applied"] for each in done) == [[], [], ["001_users", "002_orders", "003_items"]]


async def test_the_ledger_of_another_tool_is_refused(shell: Shell, make_database: MakeDatabase) -> None:
    url = (await make_database()).replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    await connection.close()

    done = await shell("upgrade", "--json", DATABASE_URL=url)

    assert (done.code, done.error["type"], done.error["table"]) == (
        1,
        "ForeignLedgerError",
        '"public"."schema_migrations"',
    )
