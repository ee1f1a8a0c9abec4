"""`async-migrations wait`: what an init container runs, without SQLAlchemy and with the runner's own meaning."""

import asyncio
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner
from async_migrations.cli.address import read_address
from async_migrations.cli.project import make_engine
from async_migrations.testing.binaries import unprivileged
from async_migrations.testing.server import Server
from tests.support.history import History
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.processes import COMMAND, Child, child_process
from tests.support.schemas import ALCHEMY

IMPORTED = re.compile(r"^import time:.*\| +(\S+)$")


def imported(errors: list[str]) -> set[str]:
    """Return the modules that `python -X importtime` has told of."""
    return {found[1] for line in errors if (found := IMPORTED.match(line))}


def plain(url: str) -> str:
    return url.replace("+asyncpg", "")


async def wait(history: History, url: str, *arguments: str, **environment: str) -> Child:
    variables = {"DATABASE_URL": plain(url), "ASYNC_MIGRATIONS_DIRECTORY": str(history.directory), **environment}
    async with child_process(COMMAND, "wait", *arguments, environment=variables) as child:
        await child.wait()
    return child


@pytest.fixture
def two(history: History) -> History:
    history.sql("001_a", "CREATE TABLE a (id int);")
    history.python("002_b", 'await self.execute("CREATE TABLE b (id int)")')
    return history


async def test_a_wait_with_nothing_pending_imports_neither_sqlalchemy_nor_an_event_loop_of_anyio(
    two: History, database_url: str
) -> None:
    await two.runner().run_migrations()
    child = await wait(two, database_url, PYTHONPROFILEIMPORTTIME="1")
    modules = imported(child.errors)
    assert (child.returncode, child.lines) == (0, ["Nothing is pending (0.0 s)."])
    assert {"asyncpg", "async_migrations.glance"} <= modules
    assert [name for name in modules if name.startswith(("sqlalchemy", "anyio._backends"))] == []


async def test_a_wait_that_has_to_wait_needs_no_sqlalchemy_either(two: History, database_url: str) -> None:
    variables = {
        "DATABASE_URL": plain(database_url),
        "ASYNC_MIGRATIONS_DIRECTORY": str(two.directory),
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    async with child_process(COMMAND, "wait", environment=variables) as child:
        await child.line_matching("Starting database wait process")
        await two.runner().run_migrations()
        assert await child.wait() == 0
    assert re.fullmatch(r"Nothing is pending \(\d+\.\d s\)\.", child.lines[-1])
    assert "async_migrations.waiting" in imported(child.errors)
    assert [name for name in imported(child.errors) if name.startswith("sqlalchemy")] == []


async def test_an_older_image_does_not_wait_for_what_only_the_newer_one_has(two: History, database_url: str) -> None:
    newer = two.sql("003_c", "CREATE TABLE c (id int);")
    await two.runner().run_migrations()
    newer.unlink()
    child = await wait(two, database_url, "--deadline", "20", "--json")
    assert child.returncode == 0


async def test_what_is_still_pending_at_the_deadline_is_named(two: History, database_url: str) -> None:
    await two.runner().run_migrations(1)
    child = await wait(two, database_url, "--deadline", "0.3")
    assert child.returncode == 1
    assert "After 0.3 s the database still lacks 1 migration(s), the next is 002_b" in child.errors[-1]


async def test_another_ledger_is_another_wait(two: History, database_url: str) -> None:
    await two.runner(table="other").run_migrations()
    assert (await wait(two, database_url, "--deadline", "0.2")).returncode == 1
    assert (await wait(two, database_url, "--table", "other")).returncode == 0
    assert (await wait(two, database_url, "--table", "other", "--schema", "public")).returncode == 0


async def test_a_database_that_is_not_there_yet_is_waited_for(two: History, own_server: Server) -> None:
    url = own_server.url()
    own_server.stop()
    variables = {"DATABASE_URL": plain(url), "ASYNC_MIGRATIONS_DIRECTORY": str(two.directory)}
    async with child_process(COMMAND, "wait", "--deadline", "60", environment=variables) as child:
        await child.line_matching(r"Waiting for the database 127\.0\.0\.1:\d+/postgres: connection refused")
        own_server.start()
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", COMMAND, "upgrade"],
            env={**variables, "PATH": ""},
            check=True,
            capture_output=True,
        )
        assert await child.wait() == 0


async def test_sigterm_at_the_first_look_is_told_like_any_other(two: History) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        variables = {
            "DATABASE_URL": f"postgresql://u@127.0.0.1:{port}/d",
            "ASYNC_MIGRATIONS_DIRECTORY": str(two.directory),
        }
        async with child_process(COMMAND, "wait", environment=variables) as child:
            await asyncio.wait_for(reached.wait(), 30)
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 128 + signal.SIGTERM
        await asyncio.wait_for(left.wait(), 30)
    assert "Stopped by SIGTERM. Nothing was done before." in child.transcript()


async def test_sigterm_while_it_waits_is_told_like_any_other(two: History, database_url: str) -> None:
    variables = {"DATABASE_URL": plain(database_url), "ASYNC_MIGRATIONS_DIRECTORY": str(two.directory)}
    async with child_process(COMMAND, "wait", environment=variables) as child:
        await child.line_matching("Starting database wait process")
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM. Nothing was done before." in child.transcript()


async def test_it_waits_through_a_transaction_pooler(two: History, database_url: str, server: Server) -> None:
    with pgbouncer(server, "transaction") as bouncer:
        url = bouncer.url(make_url(database_url).database or "", driver="")
        variables = {"DATABASE_URL": url, "ASYNC_MIGRATIONS_DIRECTORY": str(two.directory)}
        async with child_process(COMMAND, "wait", environment=variables) as child:
            await child.line_matching("Starting database wait process")
            await two.runner().run_migrations()
            assert await child.wait() == 0


async def test_a_role_that_may_not_read_the_ledger_is_told_what_to_grant(two: History, own_server: Server) -> None:
    engine = create_async_engine(own_server.url(), poolclass=NullPool)
    await MigrationRunner(engine, directory=two.directory, observers=()).run_migrations()
    connection = await asyncpg.connect(plain(own_server.url()))
    await connection.execute("CREATE ROLE blind LOGIN")
    await connection.close()
    child = await wait(two, own_server.url().replace("postgres@", "blind@"))
    assert child.returncode == 1
    assert 'GRANT SELECT ON "schema_migrations" to this role' in child.transcript()


async def test_a_parameter_that_nobody_understands_is_named_once(two: History, database_url: str) -> None:
    await two.runner().run_migrations()
    child = await wait(two, f"{plain(database_url)}?pool=5")
    assert child.errors == ["The database URL's parameter pool is unknown here and left out"]


async def test_a_folder_that_is_not_in_order_is_told_at_once(two: History, database_url: str) -> None:
    two.sql("002_twin", "SELECT 1;")
    child = await wait(two, database_url)
    assert child.returncode == 1
    assert "have the same number 002" in "\n".join(child.errors)


@pytest.fixture
def tls_front(server: Server, reachable_path: Path) -> Iterator[tuple[PgBouncer, Path]]:
    """Run a front that lets nobody in without TLS; its certificate is for localhost.

    PostgreSQL's wheel is built without TLS, and PgBouncer speaks it as a server does.
    """
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not here: install it with apt-get install openssl")
    key, certificate = reachable_path / "server.key", reachable_path / "server.crt"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([program, *request.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    if account := unprivileged():
        os.chown(key, account["user"], account["group"])
    files = {"client_tls_key_file": str(key), "client_tls_cert_file": str(certificate)}
    with pgbouncer(server, "session", client_tls_sslmode="require", **files) as front:
        yield front, certificate


@pytest.mark.parametrize(
    ("host", "query", "code", "word"),
    [
        ("127.0.0.1", "sslmode=require", 0, "Nothing is pending"),
        ("localhost", "sslmode=verify-full&sslrootcert={certificate}", 0, "Nothing is pending"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={certificate}", 0, "Nothing is pending"),
        ("127.0.0.1", "sslmode=disable", 1, "SSL required"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={certificate}", 1, "certificate verify failed"),
    ],
)
async def test_tls_is_as_the_url_asks(
    two: History,
    database_url: str,
    tls_front: tuple[PgBouncer, Path],
    host: str,
    query: str,
    code: int,
    word: str,
) -> None:
    front, certificate = tls_front
    await two.runner().run_migrations()
    database = make_url(database_url).database
    url = f"postgresql://postgres@{host}:{front.port}/{database}?{query.format(certificate=certificate)}"
    child = await wait(two, url, "--deadline", "20" if code == 0 else "0.5")
    assert child.returncode == code, child.transcript()
    assert word in child.transcript()


@pytest.mark.parametrize(
    ("url", "code", "word"),
    [
        ("{url}?sslmode=require", 1, "the server has no TLS, and the database URL demands it. Waiting would not help"),
        ("postgresql://?service=nosuch", 2, "has no such service. There is shop."),
    ],
)
async def test_what_waiting_does_not_mend_is_not_waited_for(
    two: History, database_url: str, url: str, code: int, word: str
) -> None:
    services = two.directory.parent / "services.conf"
    services.write_text("[shop]\nhost=h\n")
    child = await wait(two, url.format(url=database_url), PGSERVICEFILE=str(services))
    assert child.returncode == code
    assert word in child.transcript()
    assert "Waiting for the database" not in child.transcript()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h:5433/d",
        "postgresql://u:p%40%2F%3A@h/d%20e",
        "postgresql://h",
        "postgresql:///d?host=/run/postgresql",
        "postgresql:///d?host=/run/postgresql&port=5433",
        "postgresql://u@/d?host=a:1&host=b:2",
        "postgresql://u@/d?host=a,b&port=1,2",
        "postgresql://u@[::1]:5433/d",
        "postgresql://u@/d?host=a:1",
        "postgresql://u@/d?port=7",
        "postgresql://h/?user=u&password=p&dbname=d",
        "postgresql://u@h/d?sslmode=require&application_name=shop&connect_timeout=3&options=-c%20search_path%3Da",
        "postgresql://u@h/d?passfile=/a&target_session_attrs=primary",
    ],
)
def test_the_bare_driver_is_called_as_sqlalchemy_calls_it(url: str) -> None:
    address = read_address(url)
    _, arguments = make_engine(address).dialect.create_connect_args(address.url)
    expected = {**arguments, **address.connect_args}
    given = dict(address.connector.arguments)
    assert given.pop("statement_cache_size") == 0
    assert given == expected


def test_a_url_is_read_as_sqlalchemy_reads_it() -> None:
    names = ["", "u@", "u:p@", "u:@", "a%20b:c%3A@", ":p@"]
    places = ["", "h", "h:1", "10.0.0.1:5432", "[::1]", "[fe80::1]:5", ":6"]
    # SQLAlchemy 2.0 takes a database's name as it stands; PostgreSQL's own library, and 2.1, read %20 as a space.
    ends = ["", "/", "/d", "/d-e_f", *(["/d%20e"] if ALCHEMY >= (2, 1) else [])]
    for name, place, end in itertools.product(names, places, ends):
        given = f"postgresql://{name}{place}{end}"
        ours, theirs = read_address(given).url, make_url(given)
        for part in ("username", "password", "host", "port", "database"):
            assert (getattr(ours, part) or None) == (getattr(theirs, part) or None), (given, part)
