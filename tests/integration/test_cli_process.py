"""The command line as a process: its streams, signals, and others beside it."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from async_migrations.testing.server import Server
from tests.support.processes import COMMAND, child_process
from tests.support.shell import DEADLINE, PYPROJECT, Shell, ended
from tests.support.waiting import eventually

SLEEP = "SELECT pg_sleep(600);"
LEAK = "SELECT pg_sleep(600), 'host=db password=hunter2';"
SLEEPERS = """
SELECT true FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()
"""
Ask = Callable[[str], Awaitable[Any]]


@pytest.fixture
def ask(bare: Shell) -> Ask:
    """Return a function that runs a query and returns its one value."""
    return bare.value


@pytest.mark.any_server
async def test_upgrade_tells_the_story_on_stderr(shell: Shell) -> None:
    done = await shell.run("upgrade", PYTHONWARNINGS="error")  # in a new interpreter, what it imports included

    assert done.code == 0, done.err
    assert done.err.splitlines()[1] == "Starting database migration process"
    assert "▶ 002_orders: Orders" in done.err
    assert "Migration summary: 3 migration(s) applied" in done.err
    assert done.out == "hello from a migration\n"
    again = await shell.run("upgrade", "-v")
    assert "⊘ 003_items: Already applied, skipping" in again.err
    assert "no migrations needed" in again.err


async def test_wait_ends_when_another_has_migrated(shell: Shell) -> None:
    async with shell.start("wait", "--deadline", "50", "--json") as waiting:
        await shell.run("upgrade")
        done = await ended(waiting)

    assert done.code == 0, done.err
    assert done.document.keys() == {"command", "waited"}


async def sleeping(ask: Ask) -> bool:
    return bool(await ask(SLEEPERS))


async def test_unlock_shows_the_holder_and_ends_it_only_with_yes(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", SLEEP)
    assert (await bare.run("unlock")).out == "Nobody holds the migration lock.\n"
    async with bare.start("upgrade", "--json"):
        await eventually(lambda: sleeping(ask), deadline=30)
        shown, programs = await bare.run("unlock"), await bare.run("unlock", "--json")
        assert "The lock is held by pid" in shown.out
        assert "unlock --yes" in shown.out
        assert (programs.document["ended"], programs.document["holder"]["state"]) == (False, "active")
        assert await sleeping(ask)
        assert (await bare.run("unlock", "--yes", "--json")).document["ended"] is True
        await eventually(lambda: gone(ask, programs.document["holder"]["pid"]), deadline=30)


async def test_nobody_is_shown_the_passwords_in_the_holders_statement(bare: Shell) -> None:
    bare.write("migrations/001_a.sql", f"-- transactional: false\n{LEAK}")
    async with bare.start("upgrade") as leader:
        await leader.line_matching("001_a")
        async with bare.start("upgrade") as waiter:
            told = await waiter.line_matching("The lock is held by pid .* running: ")
        shown, programs = await bare.run("unlock"), await bare.run("unlock", "--json", "--yes")
    assert "'host=db password=***'" in shown.out
    assert "password=***" in programs.document["holder"]["query"]
    assert "hunter2" not in f"{told} {shown.out} {programs.document}"


async def test_who_may_not_end_the_holder_is_told_whom_to_ask(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", SLEEP)
    role = f"weak_{secrets.token_hex(4)}"
    await ask(f"CREATE ROLE {role} LOGIN")
    await ask(f"GRANT USAGE ON SCHEMA public TO {role}")
    weak = Shell(bare.project, (bare.url or "").replace("postgres@", f"{role}@"))
    try:
        async with bare.start("upgrade"):
            await eventually(lambda: sleeping(ask), deadline=30)
            refused, waited = await weak.run("unlock", "--yes"), await bare.run("wait", "--deadline", "0.3")
            assert await sleeping(ask)
    finally:
        await ask(f"DROP OWNED BY {role}")
        await ask(f"DROP ROLE {role}")

    assert refused.code == 1
    for words in ("from an address that this role may not see", 'belongs to the role "postgres"', "pg_signal_backend"):
        assert words in refused.err
    assert "the next is 001_a. The lock is held by pid" in waited.err
    assert "at migration 001_a for" in waited.err
    assert "BEGIN" not in waited.err


async def gone(ask: Ask, pid: int) -> bool:
    return not await ask(f"SELECT true FROM pg_stat_activity WHERE pid = {pid}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_cancels_and_says_what_was_done(
    bare: Shell, ask: Ask, number: signal.Signals, code: int
) -> None:
    bare.write("migrations/001_a.sql", "CREATE TABLE a (x int);")
    bare.write("migrations/002_b.sql", f"CREATE TABLE b (x int);\n{SLEEP}")
    async with bare.start("upgrade", "--json") as running:
        await eventually(lambda: sleeping(ask), deadline=30)
        running.send_signal(number)
        done = await ended(running)

    assert done.code == code
    assert done.error["type"] == "Stopped"
    assert (done.error["signal"], done.error["done"], done.error["at_work"]) == (number.name, ["001_a"], "002_b")
    assert f"Stopped by {number.name}. 002_b was cancelled. Done before: 001_a" in done.err
    assert not await sleeping(ask)
    assert await ask("SELECT to_regclass('b')") is None


BLOCKING = """
import time
from async_migrations import BaseMigration

class Migration(BaseMigration):
    async def upgrade(self):
        await self.execute("CREATE TABLE a (x int)")
        print("blocked", flush=True)
        {body}
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    ("body", "grace"), [("while True: pass", "0"), ("time.sleep(600)", "0"), ("time.sleep(600)", "0.2")]
)
async def test_one_signal_cancels_a_migration_that_blocks_the_event_loop(
    bare: Shell, ask: Ask, body: str, grace: str, number: signal.Signals, code: int
) -> None:
    bare.write("migrations/001_a.py", BLOCKING.format(body=body))
    async with bare.start("upgrade", "--grace", grace) as running:
        await running.line_matching("^blocked$")
        running.send_signal(number)
        done = await ended(running)

    assert done.code == code
    assert f"Stopped by {number.name}. 001_a was cancelled. Nothing was done before." in done.err.splitlines()[-1]
    await eventually(lambda: rolled_back(ask))


DEAF = """
        while True:
            try:
                time.sleep(600)
            except BaseException:
                print("deaf", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_the_third_signal_ends_a_migration_that_hears_of_none(
    bare: Shell, ask: Ask, number: signal.Signals, code: int
) -> None:
    bare.write("migrations/001_a.py", BLOCKING.format(body=DEAF.strip()))
    async with bare.start("upgrade") as running:
        await running.line_matching("^blocked$")
        running.send_signal(number)
        await running.line_matching("^deaf$")

        async def has_ended() -> bool:
            if running.returncode is None:
                running.send_signal(number)
            return running.returncode is not None

        await eventually(has_ended, deadline=30)
        done = await ended(running)

    assert done.code == code
    assert done.err.splitlines()[-1] == f"Ended at once by {number.name}: the server rolls back what was at work."
    await eventually(lambda: rolled_back(ask), deadline=30)


async def rolled_back(ask: Ask) -> bool:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return not await ask(others) and await ask("SELECT to_regclass('a')") is None


@pytest.mark.any_server
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_one_signal_ends_a_command_whose_migration_is_still_imported(
    bare: Shell, number: signal.Signals, code: int
) -> None:
    bare.write("migrations/001_a.py", "import time\nprint('asleep', flush=True)\ntime.sleep(600)\n")
    async with bare.start("upgrade", PYTHONUNBUFFERED="1") as running:  # by an interpreter of its own, up to its end
        await running.line_matching("^asleep$")
        running.send_signal(number)
        done = await ended(running)

    assert done.code == code
    assert done.err.splitlines()[-1].startswith(f"Stopped by {number.name}.")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_a_command_that_has_only_begun(number: signal.Signals, code: int) -> None:
    interrupted = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "async_migrations.cli.answer":
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Finder())
{COMMAND}
"""
    async with child_process(interrupted, "status", environment={"PYTHONUNBUFFERED": "1"}) as child:
        assert await child.wait() == code
    assert child.errors == []


LOUD = """
import os, sys
from async_migrations import BaseMigration

class Migration(BaseMigration):
    async def upgrade(self):
        os.system("echo of a program")
        os.write(1, b"of a descriptor\\n")
        sys.__stdout__.write("of a stream\\n")
        print("of Python")
"""


@pytest.mark.any_server
async def test_the_document_is_alone_on_standard_output(bare: Shell) -> None:
    bare.write("migrations/001_a.py", LOUD)
    done = await bare.run("upgrade", "--json")

    assert done.document["applied"] == ["001_a"]
    assert {"of a program", "of a descriptor", "of a stream", "of Python"} <= {*done.err.splitlines()}


FULL = "standard output: No space left on device"
PRINTING = """
from async_migrations import BaseMigration

class Migration(BaseMigration):
    async def upgrade(self):
        print("hello")
"""


@pytest.mark.any_server
@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("status > /dev/full", 1, FULL),
        ("--json status > /dev/full", 1, FULL),
        ("--help > /dev/full", 1, FULL),
        ("status >&-", 1, "standard output: Bad file descriptor"),
        ("--json upgrade --nonsense > /dev/full", 1, FULL),
        ("upgrade > /dev/full", 1, FULL),  # since a migration prints
        ("status | true", 0, ""),
        ("upgrade 2> /dev/full", 0, ""),
        ("upgrade 2>&-", 0, ""),
        ("upgrade --nonsense 2> /dev/full", 2, ""),
        ("--json upgrade 2>&-", 0, ""),
        ("upgrade 2> >(true)", 0, ""),
        ("downgrade 99 2> /dev/full", 2, ""),
    ],
)
async def test_a_stream_that_cannot_be_written_stops_nothing(
    shell: Shell, ask: Ask, line: str, code: int, word: str
) -> None:
    shell.write("migrations/001_users.py", PRINTING)
    variables = {**os.environ, "DATABASE_URL": shell.url or "", "PYTHONUNBUFFERED": ""}
    script = f"{sys.executable} -m async_migrations {line}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script), cwd=shell.project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE):
        _, said = await process.communicate()

    last = said.decode().splitlines()[-1:]
    assert process.returncode == code, said.decode()
    assert "Traceback" not in said.decode()
    assert "Exception" not in said.decode()
    assert (word in last[0]) if word else not last
    if "upgrade" in line and "nonsense" not in line:
        assert await ask("SELECT count(*) FROM schema_migrations") == 3


@pytest.mark.any_server
async def test_an_embedded_server_runs_for_a_command(shell: Shell) -> None:
    shell.url = None
    shell.write("pyproject.toml", f'{PYPROJECT}[project]\nname = "my-shop"\n')

    first = await shell.run("--embedded", "upgrade")
    second = await shell.run("status", "--embedded", "--json")

    home = shell.project / ".async-migrations"
    assert first.code == 0, first.err
    assert "PostgreSQL 18 runs at postgresql://postgres@127.0.0.1:" in first.err
    assert "/my-shop until this command ends" in first.err
    assert second.document["counts"] == {"applied": 3}
    assert (home / ".gitignore").read_text() == "*\n"
    assert not Server(home / "postgres18").is_running()


@pytest.mark.any_server
async def test_commands_that_run_together_share_an_embedded_server_elsewhere_which_goes_before_the_environment(
    shell: Shell, ask: Ask
) -> None:
    line = ("upgrade", "--embedded=data", "--json")
    async with AsyncExitStack() as stack:
        commands = [await stack.enter_async_context(shell.start(*line)) for _ in range(3)]
        done = [await ended(command) for command in commands]

    assert [each.code for each in done] == [0, 0, 0], done
    assert sorted(each.document["applied"] for each in done) == [[], [], ["001_users", "002_orders", "003_items"]]
    assert await ask("SELECT to_regclass('users')") is None
    assert not (shell.project / ".async-migrations").exists()
    assert not Server(shell.project / "data").is_running()
