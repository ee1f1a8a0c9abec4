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

from async_migrations.testing.postmaster import running_postmaster
from async_migrations.testing.server import Server, temporary_server
from tests.support.example import ALWAYS, PASSED, Example
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

OF_A_NEW_SERVER = {"postgres", "template0", "template1"}
SCOPES = ("function", "class", "module", "package", "session")
STRICT = "pytestmark = pytest.mark.asyncio"
ANYIO = """
pytestmark = pytest.mark.anyio

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
"""
RUNNERS = {
    "auto": ("", {"asyncio_mode": "auto"}, ()),
    "strict": (STRICT, {"asyncio_mode": "strict"}, ()),
    "anyio beside asyncio": (ANYIO, {"asyncio_mode": "strict"}, ()),
    "anyio alone": (ANYIO, {}, ("-p", "no:asyncio", "-W", "ignore::pytest.PytestConfigWarning")),
}
TRIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "trio"

@pytest.mark.anyio
async def test_it(migrated_session): ...
"""
WORKERS = {"one process": (), "two workers": ("-n2",)}


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, postgres_version: int) -> Example:
    return Example(pytester, monkeypatch, postgres_version)


@pytest.fixture
def quick(example: Example, given_server: Server) -> Example:
    """Return the example on a server that is there already, for tests of what is the same on any."""
    example.url = given_server.url(driver="")
    return example


@pytest.fixture(scope="module")
def given_server(postgres_version: int) -> Iterator[Server]:
    """A server that is there before the project's tests run, and on which nobody else is."""
    with temporary_server(version=postgres_version) as server:
        yield server


async def databases_on(server: Server) -> set[str]:
    connection = await asyncpg.connect(server.url(driver=""))
    try:
        return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


def is_there(data: Path) -> bool:
    """Tell whether anything is left of a private server."""
    home = data.parent
    return running_postmaster(data) is not None or home.exists() or home.with_name(f"{home.name}.gone").exists()


def assert_gone(example: Example) -> None:
    """Nothing is left of a private server, which all workers shared."""
    (data,) = example.servers()
    assert not is_there(data)


# Every runner of event loops, one process and several, a private server and a given one: each with each other, in pairs


@pytest.mark.parametrize(
    ("runner", "workers"),
    [
        ("auto", "one process"),
        ("strict", "two workers"),
        ("anyio beside asyncio", "two workers"),
        ("anyio alone", "one process"),
    ],
)
def test_every_fixture_works_on_a_private_server(example: Example, runner: str, workers: str) -> None:
    mark, ini, options = RUNNERS[runner]
    example.tests(mark)
    example.settings(async_migrations_base="models:Base", **ini)
    example.run(*options, *WORKERS[workers]).assert_outcomes(passed=PASSED + 1)
    assert_gone(example)


@pytest.mark.parametrize(
    ("runner", "workers"),
    [
        ("auto", "two workers"),
        ("strict", "one process"),
        ("anyio beside asyncio", "one process"),
        ("anyio alone", "two workers"),
    ],
)
async def test_every_fixture_works_on_a_given_server_and_leaves_nothing(
    example: Example, given_server: Server, runner: str, workers: str
) -> None:
    mark, ini, options = RUNNERS[runner]
    example.tests(mark)
    example.settings(async_migrations_url=given_server.url(driver=""), **ini)
    example.run(*options, *WORKERS[workers]).assert_outcomes(passed=PASSED + 1)
    assert example.servers() == set()
    assert await databases_on(given_server) == OF_A_NEW_SERVER


@pytest.mark.parametrize(("mode", "of_fixtures"), [("auto", "session"), ("strict", "function")])
def test_a_connection_opens_in_the_loop_of_its_test(quick: Example, mode: str, of_fixtures: str) -> None:
    quick.tests(*(f'pytestmark = pytest.mark.asyncio(loop_scope="{scope}")' for scope in SCOPES))
    quick.settings(asyncio_mode=mode, asyncio_default_fixture_loop_scope=of_fixtures)
    # A session opens as a connection does, and a test has both; the empty database is opened by the test.
    options = ("-k", "not test_connection and not test_empty")
    quick.run(*options).assert_outcomes(passed=(PASSED - 3) * len(SCOPES) + 1, deselected=3 * len(SCOPES))


def test_anyio_may_take_all_tests(quick: Example) -> None:
    quick.tests(ANYIO.partition("anyio\n")[2])
    quick.settings(asyncio_mode="strict", anyio_mode="auto")
    quick.run().assert_outcomes(passed=PASSED + 1)


@pytest.mark.parametrize("of_tests", ["module", "session"])
def test_a_connection_opens_in_the_loop_that_is_the_default_for_tests(quick: Example, of_tests: str) -> None:
    quick.tests()
    quick.settings(asyncio_mode="auto", asyncio_default_test_loop_scope=of_tests)
    quick.run().assert_outcomes(passed=PASSED + 1)


def test_fixtures_of_a_user_build_on_ours(quick: Example) -> None:
    quick.settings(asyncio_mode="auto")
    quick.write(
        "test_it.py",
        """
import pytest
from sqlalchemy import text

@pytest.fixture
async def ada(migrated_session):
    await migrated_session.execute(text("INSERT INTO users (email) VALUES ('ada@example.org')"))
    yield migrated_session
    assert await migrated_session.scalar(text("SELECT count(*) FROM users")) == 1

async def test_it(ada):
    assert await ada.scalar(text("SELECT theme FROM users")) == "light"
""",
    )
    quick.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "ini"), [("", {"asyncio_mode": "auto"}), (ANYIO, {"asyncio_mode": "strict"})], ids=["asyncio", "anyio"]
)
def test_a_raw_commit_is_a_sentence_and_harms_no_other_test(quick: Example, mark: str, ini: dict[str, str]) -> None:
    quick.settings(**ini)
    quick.write("test_it.py", f"import pytest\n{mark}\n{RAW_COMMIT}")
    result = quick.run()
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["The test has ended the transaction around it*COMMIT or ROLLBACK*", "*"])
    result.stdout.no_fnmatch_line("*SAVEPOINT*")


RAW_COMMIT = """
from sqlalchemy import text

COUNT = text("SELECT count(*) FROM users")
ADD = text("INSERT INTO users (email) VALUES ('ada@example.org')")

async def test_commit(migrated_session):
    await migrated_session.execute(ADD)
    await migrated_session.execute(text("COMMIT"))

async def test_rollback(migrated_connection):
    assert await migrated_connection.scalar(COUNT) == 0
    await migrated_connection.execute(text("ROLLBACK"))
    await migrated_connection.execute(ADD)

async def test_another(migrated_session):
    assert await migrated_session.scalar(COUNT) == 0
    await migrated_session.execute(ADD)
    await migrated_session.commit()

async def test_one_more(migrated_session):
    assert await migrated_session.scalar(COUNT) == 0
"""


async def test_a_role_that_may_create_databases_is_enough(example: Example, given_server: Server) -> None:
    connection = await asyncpg.connect(given_server.url(driver=""))
    await connection.execute("CREATE ROLE tester LOGIN CREATEDB")
    await connection.close()
    url = given_server.url(driver="").replace("postgres@", "tester@")
    example.tests()
    example.write("tests/test_migrations.py", "from async_migrations.testing.ready_made import *")
    example.settings(asyncio_mode="auto", async_migrations_url=url, async_migrations_base="models:Base")
    # There are no samples, and only a superuser can stop a leader inside a migration.
    example.run().assert_outcomes(passed=PASSED + 1 + 6, skipped=2)
    assert await databases_on(given_server) == OF_A_NEW_SERVER


def test_ready_made_tests_find_a_broken_history(quick: Example) -> None:
    quick.settings(async_migrations_base="models:Base")
    quick.write("tests/test_migrations.py", "from async_migrations.testing.ready_made import *")
    quick.write("tests/samples/001.sql", "INSERT INTO users (email) VALUES ('ada@example.org');")
    # The replicas are those of `test_documents.py`, where all eight pass on this history.
    alone = "not replicas and not leader"
    quick.run("-k", alone).assert_outcomes(passed=6, deselected=2)
    quick.write("migrations/004_gone.sql", "DELETE FROM users; ALTER TABLE users ADD COLUMN extra int;")
    quick.write("migrations/004_gone.down.sql", "SELECT 1;")
    quick.run("-k", alone).assert_outcomes(passed=1, failed=5, deselected=2)


# What is said when it cannot work


@pytest.mark.parametrize(
    ("test", "options", "sentence"),
    [
        ("def test_it(migrated_session): ...", {}, "*neither pytest-asyncio nor anyio runs it*"),
        ("async def test_it(migrated_session): ...", {"asyncio_mode": "strict"}, "*neither pytest-asyncio*"),
        (
            "import pytest\n@pytest.mark.anyio\nasync def test_it(migrated_session): ...",
            {"asyncio_mode": "auto"},
            "*claimed by pytest-asyncio and by anyio*asyncio_mode = strict*",
        ),
        (
            TRIO,
            {"asyncio_mode": "strict"},
            '*let your fixture `anyio_backend` return "asyncio"*',
        ),
        ("def test_it(migrated_database_url): ...", {"async_migrations_directory": "none"}, "*none: No such file*"),
        ("def test_it(migrated_database_url): ...", {"async_migrations_base": "models:Bass"}, "*'models:Bass'*has no*"),
        ("def test_it(postgres_server): ...", {"async_migrations_url": "mysql://a"}, "*is no URL of a PostgreSQL*"),
        (
            "def test_it(postgres_server): ...",
            {"async_migrations_postgres": "9", "async_migrations_url": ""},
            "*PostgreSQL 9 was not found*",
        ),
    ],
)
def test_a_mistake_is_a_sentence(
    example: Example, given_server: Server, test: str, options: dict[str, str], sentence: str
) -> None:
    example.settings(**{"async_migrations_url": given_server.url(driver=""), **options})
    example.write("test_it.py", test)
    result = example.run()
    assert "errors" in result.parseoutcomes() or "failed" in result.parseoutcomes()
    result.stdout.fnmatch_lines([sentence])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("role", "query", "sentence"),
    [
        ("nobody_here", "", '*//nobody_here:[*][*][*]@*: role "nobody_here" does not exist. See that*'),
        ("postgres", "?sslmode=hunter2", "*ssl=hunter2: `sslmode` parameter must be one of*See that the server runs*"),
        ("postgres", "?connect_timeout=9", "*unexpected keyword argument 'connect_timeout'*See that*"),
        ("creates_nothing", "", "*permission denied to create database (SQLSTATE 42501). Give this role CREATEDB*"),
    ],
)
async def test_a_server_that_is_of_no_use_is_a_sentence_without_the_password(
    example: Example, given_server: Server, role: str, query: str, sentence: str
) -> None:
    if role == "creates_nothing":
        connection = await asyncpg.connect(given_server.url(driver=""))
        await connection.execute("CREATE ROLE creates_nothing LOGIN")
        await connection.close()
    url = given_server.url(driver="").replace("postgres@", f"{role}:S3CRET@")
    example.settings(async_migrations_url=url + query)
    example.write("test_it.py", "def test_it(migrated_database_url): ...")
    result = example.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])
    result.stdout.no_fnmatch_line("*S3CRET*")
    result.stdout.no_fnmatch_line("*Error:*")
    assert result.stdout.str().count("See that") <= 1


def test_a_url_as_postgresqls_own_library_has_it_will_do(example: Example, given_server: Server) -> None:
    example.settings(asyncio_mode="auto", async_migrations_url=given_server.url(driver="") + "?sslmode=prefer")
    example.tests()
    example.run().assert_outcomes(passed=PASSED + 1)


def test_a_failed_migration_is_told_to_every_test_that_needs_it(quick: Example) -> None:
    quick.settings(asyncio_mode="auto")
    quick.write("migrations/003_broken.sql", "ALTER TABLE nobody ADD COLUMN x int;")
    quick.tests()
    result = quick.run()
    result.stdout.fnmatch_lines(['*The upgrade of 003_broken failed*relation "nobody" does not exist*'])
    assert result.parseoutcomes()["passed"] == 2  # the empty database, and the one before 002


# Configured


def test_pyproject_says_where_migrations_and_models_are(example: Example, given_server: Server) -> None:
    (example.pytester.path / "migrations").rename(example.pytester.path / "history")
    example.write(
        "pyproject.toml",
        '[tool.async_migrations]\ndirectory = "history"\nbase = "models:Base"\ntable = "ledger"\n'
        '[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"\n',
    )
    example.write(
        "test_it.py",
        "def test_it(migration_recipe, migrated_template):\n"
        "    assert migration_recipe.base.__name__ == 'Base'\n"
        "    assert migration_recipe.options == {'table': 'ledger'}\n",
    )
    example.run("-o", f"async_migrations_url={given_server.url(driver='')}").assert_outcomes(passed=1)


async def test_one_fixture_says_it_all_in_python(example: Example, given_server: Server) -> None:
    example.settings(asyncio_mode="auto", async_migrations_url="$NOWHERE")
    example.tests()
    example.write(
        "conftest.py",
        f"""
import pytest
from async_migrations.testing import GivenServer, Recipe
from models import Base

@pytest.fixture(scope="session")
def migration_recipe():
    return Recipe("migrations", Base)

@pytest.fixture(scope="session")
def postgres_server():
    return GivenServer({given_server.url()!r})
""",
    )
    example.run().assert_outcomes(passed=PASSED + 1)
    assert await databases_on(given_server) == OF_A_NEW_SERVER


def test_the_url_may_stand_in_the_environment(
    example: Example, given_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE", given_server.url(driver=""))
    example.settings(async_migrations_url="$TEST_DATABASE")
    port = given_server.port
    example.write("test_it.py", f"def test_it(migrated_database_url): assert ':{port}/' in migrated_database_url")
    example.run().assert_outcomes(passed=1)


def test_unused_it_starts_nothing_and_imports_nothing_heavy(example: Example) -> None:
    example.settings()
    example.write(
        "test_it.py",
        "import sys\n"
        "def test_it():\n"
        "    assert not {'sqlalchemy', 'asyncpg', 'anyio.from_thread'} & sys.modules.keys()\n"
        "    assert 'async_migrations.integrations.pytest_plugin' in sys.modules\n",
    )
    example.execute("-p", "no:anyio").assert_outcomes(passed=1)


# Kept


FAILING = """
def test_it(migrated_database_url, empty_database_url):
    assert "postgres" not in migrated_database_url
def test_other(migrated_database_url): ...
"""


async def test_a_failed_test_keeps_its_databases_on_a_given_server(example: Example, given_server: Server) -> None:
    example.settings(async_migrations_url=given_server.url(driver="").replace("postgres@", "postgres:secret@"))
    example.write("test_it.py", FAILING)
    result = example.run("--keep-databases")
    kept = example.kept(result)
    names = {url.rpartition("/")[2] for url in kept}
    assert len(kept) == 2
    assert all("postgres:***@" in url for url in kept)
    assert await databases_on(given_server) == OF_A_NEW_SERVER | names
    example.write("test_it.py", "def test_it(migrated_database_url): ...")
    example.run().assert_outcomes(passed=1)
    assert await databases_on(given_server) == OF_A_NEW_SERVER | names
    connection = await asyncpg.connect(given_server.url(driver=""))
    drops = re.findall(r"^DROP DATABASE .*;$", result.stdout.str(), re.MULTILINE)
    for drop in drops:
        await connection.execute(drop)
    await connection.close()
    assert await databases_on(given_server) == OF_A_NEW_SERVER


async def test_a_failed_test_keeps_its_database_and_its_private_server(example: Example) -> None:
    example.settings()
    example.write("test_it.py", FAILING)
    result = example.run("--keep-databases")
    kept = example.kept(result)
    pid = int(result.stdout.str().rpartition("until you end it: kill ")[2].split()[0])
    connection = await asyncpg.connect(kept[0].replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT to_regclass('users') IS NOT NULL")
    data = await connection.fetchval("SHOW data_directory")
    await connection.close()
    os.kill(pid, signal.SIGTERM)

    async def all_is_gone() -> bool:
        return not is_there(Path(data))

    await eventually(all_is_gone, deadline=60)


def test_without_the_option_a_failed_test_keeps_nothing(example: Example) -> None:
    example.settings(asyncio_mode="auto")
    example.tests()
    example.write("tests/test_it.py", FAILING)
    result = example.run()
    assert example.kept(result) == []
    assert_gone(example)


async def test_a_kept_template_serves_the_next_run_on_a_private_server(example: Example, postgres_version: int) -> None:
    example.settings(async_migrations_keep_template="true")
    example.tests()
    example.write("tests/test_it.py", TEMPLATE)
    try:
        example.run("tests/test_it.py", "tests/test_where.py").assert_outcomes(passed=2)
        example.run("tests/test_it.py", "tests/test_where.py", "-n2").assert_outcomes(passed=2)
        first, second = example.said("template")
        assert first == second
        example.write("migrations/003_more.sql", "CREATE TABLE more ()")
        example.run("tests/test_it.py", "tests/test_where.py").assert_outcomes(passed=2)
        (data,) = example.servers()
        assert running_postmaster(data) is None
        with Server(data, version=postgres_version) as server:
            left = await databases_on(server) - OF_A_NEW_SERVER
        # What the old migrations made is not wanted any more.
        assert left == {example.said("template")[-1].split()[0]}
        assert left != {first.split()[0]}
    finally:
        for data in example.servers():
            shutil.rmtree(data.parent)


async def test_a_kept_template_serves_the_next_run_on_a_given_server(example: Example, own_server: Server) -> None:
    example.settings(async_migrations_url=own_server.url())
    example.write("test_it.py", TEMPLATE)
    example.run("--keep-template").assert_outcomes(passed=1)
    example.run("--keep-template").assert_outcomes(passed=1)
    # Who keeps none may use it, and leaves it to who does.
    example.run().assert_outcomes(passed=1)
    first, second, third = example.said("template")
    assert first == second == third
    assert await databases_on(own_server) == OF_A_NEW_SERVER | {first.split()[0]}


TEMPLATE = """
import asyncio, os
import asyncpg

def test_template(postgres_server, migrated_template):
    async def oid():
        connection = await asyncpg.connect(postgres_server.url("postgres", driver=""))
        number = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = $1", migrated_template)
        await connection.close()
        return number
    with open(os.environ["WHERE"] + ".template", "a") as file:
        print(migrated_template, asyncio.run(oid()), file=file)
"""


# Killed

HANGING = """
import os, time

def test_hangs(migrated_database_url, postgres_server):
    with open(os.environ["WHERE"] + ".part", "w") as file:
        print(getattr(postgres_server, "data_directory", ""), file=file)
    os.rename(os.environ["WHERE"] + ".part", os.environ["WHERE"])
    time.sleep(1000)
"""


async def hangs(example: Example) -> None:
    async def it_does() -> bool:
        return example.where.exists()

    await eventually(it_does, deadline=120)


async def killed_in_a_test(example: Example, *options: str) -> None:
    """Run a test that hangs, and kill its process."""
    example.write("test_hangs.py", HANGING)
    with example.begin(*options) as end:
        pid = int(end.readline())
        try:
            await hangs(example)
        finally:
            os.kill(pid, signal.SIGKILL)
            end.read()


def executed(example: Example, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *ALWAYS, *options]
    return subprocess.Popen(command, cwd=example.pytester.path, start_new_session=True, stdout=subprocess.DEVNULL)


async def all_killed_in_a_test(example: Example, *options: str) -> None:
    """Run a test that hangs in a process group of its own, by an interpreter of its own, and kill that."""
    example.write("test_hangs.py", HANGING)
    process = executed(example, *options)
    try:
        await hangs(example)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def test_a_killed_run_leaves_no_private_server(example: Example) -> None:
    example.settings()
    await all_killed_in_a_test(example, *WORKERS["two workers"])
    (data,) = example.servers()

    async def gone() -> bool:
        return not is_there(data)

    await eventually(gone, deadline=60)


async def test_a_killed_run_stops_the_server_whose_template_it_keeps(example: Example, postgres_version: int) -> None:
    example.settings()
    await killed_in_a_test(example, "--keep-template")
    (data,) = example.servers()

    async def stopped() -> bool:
        return running_postmaster(data) is None

    await eventually(stopped, deadline=60)
    try:
        example.write("test_hangs.py", TEMPLATE)
        example.run("--keep-template").assert_outcomes(passed=1)
        with Server(data, version=postgres_version) as server:
            assert await databases_on(server) == OF_A_NEW_SERVER | {example.said("template")[0].split()[0]}
    finally:
        shutil.rmtree(data.parent)


async def test_what_a_killed_run_left_on_a_given_server_goes_with_the_next(
    example: Example, given_server: Server
) -> None:
    example.settings(async_migrations_url=given_server.url())
    await killed_in_a_test(example)
    assert await databases_on(given_server) > OF_A_NEW_SERVER

    async def nobody_is_connected() -> bool:
        connection = await asyncpg.connect(given_server.url(driver=""))
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        count: int = await connection.fetchval(others)
        await connection.close()
        return count == 0

    await eventually(nobody_is_connected, deadline=60)
    example.write("test_hangs.py", "def test_it(empty_database_url, migrated_database_url): ...")
    example.write("migrations/003_more.sql", "CREATE TABLE more ()")
    example.run().assert_outcomes(passed=1)
    assert await databases_on(given_server) == OF_A_NEW_SERVER
