"""The command line on a terminal, and through a pooler."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from async_migrations.testing.server import Server
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import module_process
from tests.support.terminal import DEADLINE, Terminal, opened_terminal

HELD = 4711


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with opened_terminal() as terminal:
        yield terminal


def write(project: Path, files: Mapping[str, str]) -> None:
    (project / "migrations").mkdir()
    for name, text in files.items():
        (project / "migrations" / name).write_text(text)


async def command(project: Path, url: str, *arguments: str, output: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "async_migrations",
        "-C",
        str(project),
        *arguments,
        env={**os.environ, "DATABASE_URL": url, "TERM": "xterm", "NO_COLOR": ""},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


async def test_a_terminal_shows_what_takes_long_and_errors_in_red(
    tmp_path: Path, database_url: str, terminal: Terminal
) -> None:
    write(tmp_path, {"001_long.sql": f"SELECT pg_advisory_lock({HELD});", "002_bad.sql": "SELECT nothing;"})
    url = database_url.replace("+asyncpg", "")
    asyncio.get_running_loop().add_reader(terminal.ours, terminal.read)
    holder = await asyncpg.connect(url)
    await holder.execute(f"SELECT pg_advisory_lock({HELD})")
    process = await command(tmp_path, url, "--lock-timeout", "60", "upgrade", output=terminal.theirs)
    try:
        await terminal.shows("\r\x1b[K… 001_long: at work for ")
        await holder.execute(f"SELECT pg_advisory_unlock({HELD})")
        await terminal.shows("\r\x1b[K✓ 001_long: Completed in")
        await terminal.shows("\x1b[31mThe upgrade of 002_bad failed")
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 1
    finally:
        asyncio.get_running_loop().remove_reader(terminal.ours)
        if process.returncode is None:
            process.kill()
        await holder.close()


async def test_every_command_works_through_a_transaction_pooler(
    tmp_path: Path, server: Server, database_url: str
) -> None:
    create, drop = "CREATE TABLE a (x int);", "DROP TABLE a;"
    write(tmp_path, {"001_a.sql": "SELECT 1;", "002_b.sql": create, "002_b.down.sql": drop})
    database = database_url.rpartition("/")[2]
    # Few backends, so that whatever one command left behind would meet the next.
    with pgbouncer(server, "transaction", default_pool_size="3") as bouncer:
        url = bouncer.url(database, driver="")
        for line in (
            "upgrade",
            "status --check",
            "verify",
            "plan",
            "downgrade 1",
            "stamp 2",
            "repair",
            "unlock",
            "wait --deadline 5",
            "renumber",
        ):
            arguments = ("-C", str(tmp_path), *line.split())
            async with module_process("async_migrations", *arguments, environment={"DATABASE_URL": url}) as child:
                assert await child.wait() == 0, f"{line}\n{child.transcript()}"
