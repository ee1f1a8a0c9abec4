import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from async_migrations.errors import MigrationFailedError
from async_migrations.testing.binaries import ServerError
from async_migrations.testing.databases import Databases, databases_of
from async_migrations.testing.given import DatabaseServer, GivenServer
from async_migrations.testing.postmaster import running_postmaster
from async_migrations.testing.recipe import Recipe
from async_migrations.testing.server import Server, temporary_server
from async_migrations.testing.shared import Home, home_of, shared_server
from async_migrations.testing.template import Template, template_of
from tests.support.processes import child_process
from tests.support.waiting import eventually

COPY = "SELECT count(*) FROM things"


@pytest.fixture(scope="module")
def quiet_server(postgres_version: int) -> Iterator[Server]:
    """A server on which nobody else is."""
    with temporary_server(version=postgres_version) as server:
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "001_things.sql").write_text("CREATE TABLE things (id int); INSERT INTO things VALUES (1), (2);")
    # No two tests share a template.
    (tmp_path / "_key.py").write_text(uuid4().hex)
    return Recipe(tmp_path)


@pytest.fixture
def makers(quiet_server: Server) -> Iterator[tuple[Databases, Databases]]:
    """Two processes of a test run, as it were."""
    with databases_of(quiet_server, lasting=True) as first, databases_of(quiet_server, lasting=True) as second:
        yield first, second


@pytest.fixture
async def roles(quiet_server: Server) -> AsyncIterator[tuple[GivenServer, GivenServer]]:
    """The server as two roles have it that may create databases, and nothing else."""
    names = [f"role_{uuid4().hex}" for _ in range(2)]
    for name in names:
        await ask(quiet_server, "postgres", f"CREATE ROLE {name} LOGIN CREATEDB")
    given = quiet_server.url(driver="")
    first, second = (GivenServer(given.replace("postgres@", f"{name}@")) for name in names)
    yield first, second
    for name in names:
        await ask(quiet_server, "postgres", f"DROP ROLE {name}")


@asynccontextmanager
async def left_by_a_killed_run(server: DatabaseServer) -> AsyncIterator[str]:
    """Make a database whose owner does not live."""
    connection = await asyncpg.connect(server.url("postgres", driver=""))
    oid = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = 'postgres'")
    name = f"test_{oid}_{uuid4().hex[:12]}_1"
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield name
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.close()


async def names_on(server: Server) -> set[str]:
    return {row[0] for row in await ask(server, "postgres", "SELECT datname FROM pg_database")}


async def ask(server: Server, database: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(server.url(database, driver=""))
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


class TestTemplate:
    async def test_two_at_once_make_it_once(
        self, quiet_server: Server, makers: tuple[Databases, Databases], recipe: Recipe, tmp_path: Path
    ) -> None:
        slow = "SELECT pg_sleep(0.2); CREATE TABLE slow ();"
        (tmp_path / "002_slow.sql").write_text(slow)
        templates = [Template(each, recipe) for each in makers]
        made = [each.databases.portal.start_task_soon(each.prepare) for each in templates]
        first, second = [await asyncio.wrap_future(each) for each in made]
        copies = [await asyncio.wrap_future(each.take(first)) for each in makers]

        assert first == second
        assert [(await ask(quiet_server, copy, COPY))[0][0] for copy in copies] == [2, 2]
        templates[0].databases.portal.call(templates[0].leave)
        assert first in await names_on(quiet_server)
        templates[1].databases.portal.call(templates[1].leave)
        assert first not in await names_on(quiet_server)

    async def test_one_that_a_crash_left_unfinished_is_made_again(
        self, quiet_server: Server, makers: tuple[Databases, Databases], recipe: Recipe
    ) -> None:
        maker, _ = makers
        name = maker.portal.call(Template(maker, recipe).name)
        await ask(quiet_server, "postgres", f"CREATE DATABASE {name}")
        with template_of(maker, recipe) as template:
            copy = await asyncio.wrap_future(maker.take(template))
            assert template == name
            assert (await ask(quiet_server, copy, COPY))[0][0] == 2

    async def test_a_failure_leaves_nothing(
        self, quiet_server: Server, makers: tuple[Databases, Databases], recipe: Recipe, tmp_path: Path
    ) -> None:
        (tmp_path / "002_broken.sql").write_text("SELECT 1/0")
        before = await names_on(quiet_server)
        with pytest.raises(MigrationFailedError, match="002_broken"), template_of(makers[0], recipe):
            raise AssertionError("there is none")
        assert await names_on(quiet_server) == before

    async def test_each_role_has_its_own(
        self, quiet_server: Server, roles: tuple[GivenServer, GivenServer], recipe: Recipe
    ) -> None:
        templates = set()
        for role in roles:
            with databases_of(role, lasting=True) as databases:
                with template_of(databases, recipe, kept_for="us") as template:
                    copy = await asyncio.wrap_future(databases.take(template))
                    connection = await asyncpg.connect(role.url(copy, driver=""))
                    await connection.execute("ALTER TABLE things ADD COLUMN mine int")
                    await connection.close()
                templates.add(template)
        assert len(templates) == 2
        assert templates <= await names_on(quiet_server)
        for template in templates:
            await ask(quiet_server, "postgres", f"ALTER DATABASE {template} IS_TEMPLATE false")
            await ask(quiet_server, "postgres", f"DROP DATABASE {template}")

    async def test_nobody_can_connect_to_it(
        self, quiet_server: Server, makers: tuple[Databases, Databases], recipe: Recipe
    ) -> None:
        with template_of(makers[0], recipe) as template, pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
            await asyncpg.connect(quiet_server.url(template, driver=""))


class TestDatabases:
    async def test_what_the_living_have_is_left_alone(
        self, quiet_server: Server, makers: tuple[Databases, Databases]
    ) -> None:
        theirs = await asyncio.wrap_future(makers[0].take())
        makers[1].portal.call(makers[1].clean_up)
        assert theirs in await names_on(quiet_server)

    async def test_a_lost_session_is_replaced_with_its_locks(
        self, quiet_server: Server, makers: tuple[Databases, Databases]
    ) -> None:
        maker, other = makers
        first = await asyncio.wrap_future(maker.create())
        backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND pid IN "
        holders = "(SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        await ask(quiet_server, "postgres", backends + holders)

        async def are_lost() -> bool:
            # Between the server's last word and the connection's end a driver refuses whatever is asked.
            connections = [each.maker._connection for each in makers]
            return all(each is not None and each.is_closed() for each in connections)

        await eventually(are_lost)
        second = await asyncio.wrap_future(maker.create())
        await asyncio.wrap_future(other.create())
        other.portal.call(other.clean_up)
        assert {first, second} <= await names_on(quiet_server)

    async def test_what_another_role_left_is_left_to_it(
        self, quiet_server: Server, roles: tuple[GivenServer, GivenServer]
    ) -> None:
        theirs, ours = roles
        async with left_by_a_killed_run(theirs) as left:
            before = await names_on(quiet_server)
            with databases_of(ours, lasting=True) as databases:
                await asyncio.wrap_future(databases.take())
            assert await names_on(quiet_server) == before
            with databases_of(theirs, lasting=True):
                pass
            assert await names_on(quiet_server) == before - {left}

    async def test_what_cannot_be_cleaned_up_fails_nobody(
        self, quiet_server: Server, roles: tuple[GivenServer, GivenServer], caplog: pytest.LogCaptureFixture
    ) -> None:
        async with left_by_a_killed_run(roles[0]) as left:
            before = await names_on(quiet_server)
            # A superuser's session, which the owner of the database may not end.
            session = await asyncpg.connect(quiet_server.url(left, driver=""))
            with databases_of(roles[0], lasting=True) as databases:
                await asyncio.wrap_future(databases.take())
            await session.close()
            assert await names_on(quiet_server) == before
        (record,) = caplog.records
        assert record.message.startswith("Databases of earlier test runs may still be there: ")

    async def test_what_was_kept_outlives_the_next_run(
        self, quiet_server: Server, makers: tuple[Databases, Databases]
    ) -> None:
        with databases_of(quiet_server, lasting=True) as databases:
            kept = await asyncio.wrap_future(databases.create())
            databases.keep(kept)
        makers[0].portal.call(makers[0].clean_up)
        assert kept in await names_on(quiet_server)
        await ask(quiet_server, "postgres", f"DROP DATABASE {kept}")

    async def test_all_that_is_left_goes_at_the_end(self, quiet_server: Server) -> None:
        before = await names_on(quiet_server)
        with databases_of(quiet_server, lasting=True) as databases:
            kept, dropped, _ = [await asyncio.wrap_future(databases.take()) for _ in range(3)]
            databases.keep(kept)
            databases.drop(dropped)
        assert await names_on(quiet_server) == before | {kept}


FORKING = """
import os, signal, sys
from async_migrations.testing.shared import home_of, shared_server
home = home_of(sys.argv[1])
with shared_server(home, int(sys.argv[2])):
    print("home", home.directory)
    print("sleeper", os.fork() or signal.pause())
print("left")
"""


class TestSharedServer:
    def test_lives_as_long_as_any_user(self, postgres_version: int) -> None:
        home = home_of(uuid4().hex)
        with shared_server(home, postgres_version) as first:
            with shared_server(
                home_of(home.directory.name.removeprefix("async-migrations-")), postgres_version
            ) as second:
                assert second.port == first.port
            assert first.is_running()
        assert not home.directory.exists()

    async def test_goes_although_a_forked_child_of_its_user_lives_on(self, postgres_version: int) -> None:
        async with child_process(FORKING, uuid4().hex, str(postgres_version)) as child:
            directory = (await child.line_matching("^home", deadline=60)).split()[1]
            sleeping = int((await child.line_matching("^sleeper")).split()[1])
            await child.line_matching("left", deadline=60)
            assert not os.path.lexists(directory)  # noqa: ASYNC240 - one look
            os.kill(sleeping, signal.SIGKILL)

    def test_one_that_is_left_by_all_is_not_joined_but_made_anew(self, postgres_version: int) -> None:
        home = home_of(uuid4().hex)
        for _ in range(2):
            with shared_server(home, postgres_version) as server:
                assert server.is_running()
        assert not home.directory.exists()

    def test_one_that_stays_keeps_its_data_and_is_stopped(self, reachable_path: Path, postgres_version: int) -> None:
        home = Home(reachable_path / "home", stays=True)
        for exists in (False, True):
            assert (home.data / "PG_VERSION").exists() is exists
            with shared_server(home, postgres_version):
                assert running_postmaster(home.data)
            assert running_postmaster(home.data) is None

    def test_a_place_that_somebody_else_has_made_is_not_joined(self, tmp_path: Path) -> None:
        (tmp_path / "theirs" / "users").mkdir(parents=True)
        (tmp_path / "theirs" / "data").mkdir()
        (tmp_path / "home").symlink_to(tmp_path / "theirs")
        with pytest.raises(ServerError, match="belongs to another account, or is a symbolic link"):
            Home(tmp_path / "home", stays=True).join()
        assert list((tmp_path / "theirs" / "users").iterdir()) == []

    def test_a_place_that_nobody_leaves_is_an_error(
        self, reachable_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = Home(reachable_path / "home")
        home.directory.mkdir()
        monkeypatch.setattr("async_migrations.testing.shared.DEADLINE", 0.1)
        started = time.monotonic()
        with pytest.raises(ServerError, match="Remove it"):
            home.join()
        assert time.monotonic() > started
