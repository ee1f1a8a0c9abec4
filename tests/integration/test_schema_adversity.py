"""Comparing schemas against odds: killed processes, lost connections, poolers, missing rights, read-only servers."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import compare_schema, session
from async_migrations.errors import DatabaseUnavailableError, MetadataRefusedError, SchemaError
from async_migrations.schema import bench, patience, shadow
from async_migrations.schema.comparison import read_schema
from async_migrations.schema.kept import PREFIX
from async_migrations.testing.server import Server, temporary_directory, temporary_server
from tests.conftest import MakeDatabase
from tests.integration.test_schema_comparison import answer, as_role, kinds, simple
from tests.integration.test_standby import REPLICATION
from tests.support.pgbouncer import PoolMode, pgbouncer
from tests.support.processes import Child, module_process
from tests.support.proxy import Action, Fault, WireProxy
from tests.support.replica_launcher import open_engine
from tests.support.schemas import run_sql
from tests.support.wire import Message


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    bench.forget()


@asynccontextmanager
async def engine_on(url: str, **options: Any) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, poolclass=NullPool, **options)
    try:
        yield engine
    finally:
        await engine.dispose()


# Processes


@asynccontextmanager
async def comparer(url: str, point: str = "") -> AsyncIterator[Child]:
    async with module_process("tests.support.comparer", url, point) as child:
        yield child


async def test_a_comparison_that_was_killed_is_in_nobodys_way(own_server: Server) -> None:
    url = own_server.url()
    async with comparer(url, "ensured") as first, comparer(url, "locked") as second, engine_on(url) as engine:
        await second.line_matching("at locked", deadline=60)
        async with comparer(url, "created") as third:  # waits for what the second holds
            for child, point in ((first, "ensured"), (second, "locked"), (third, "created")):
                await child.line_matching(f"at {point}", deadline=60)
                child.kill()
                await child.wait()
        assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]
        names = await answer(engine, f"SELECT datname::text FROM pg_database WHERE datname LIKE '{PREFIX}%'")
    assert len(names) == 1
    async with engine_on(own_server.url(names[0])) as scratch:
        assert not await answer(scratch, "SELECT relname::text FROM pg_class WHERE relname = 't'")


async def test_two_processes_compare_one_after_the_other(own_server: Server) -> None:
    url = own_server.url()
    async with comparer(url, "created") as first, engine_on(url) as engine:
        await first.line_matching("at created", deadline=60)
        async with comparer(url) as second:
            with pytest.raises(
                SchemaError, match=r"Another comparison has been at work in async_migrations_scratch_\w+"
            ):
                await compare_schema(engine, simple(), deadline=2)
            await first.write_line()
            await first.line_matching("found 1", deadline=60)
            await second.line_matching("found 1", deadline=60)


async def test_a_cancelled_comparison_gives_the_scratch_place_back(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create", "snapshot"):
        with anyio.CancelScope() as scope, monkeypatch.context() as patched:
            patched.setattr(bench, name, _first(getattr(bench, name), scope.cancel))
            await compare_schema(engine, simple())
        assert scope.cancelled_caught
        # It would wait for the lock of the scratch database.
        assert kinds(await compare_schema(engine, simple(), deadline=30)) == ["TableAdded"]
        bench.forget()


@pytest.mark.parametrize("which", ["live", "scratch"])
async def test_a_connection_that_is_lost_is_an_error_and_the_next_comparison_works(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    honest = shadow.create

    async def cut_off(scratch: Any, *arguments: Any) -> Any:
        pid = scratch.driver.get_server_pid() if which == "scratch" else live[0]
        await run_sql(engine, f"SELECT pg_terminate_backend({pid}, 10000)")
        return await honest(scratch, *arguments)

    live: list[int] = []
    opened = bench.Bench.__init__

    def noted(self: Any, engine: Any, session: Any, *arguments: Any, **options: Any) -> None:
        live.append(session.session.driver.get_server_pid())
        opened(self, engine, session, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(bench, "create", cut_off)
        patched.setattr(bench.Bench, "__init__", noted)
        if which == "scratch":
            with pytest.raises(DatabaseUnavailableError, match="Nothing was compared; try again"):
                await compare_schema(engine, simple())
        else:  # What was read is enough.
            assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]
    assert kinds(await compare_schema(engine, simple())) == ["TableAdded"]


def _first(work: Any, before: Any) -> Any:
    async def both(*arguments: Any, **options: Any) -> Any:
        before()
        return await work(*arguments, **options)

    return both


# Waits


@pytest.mark.parametrize(
    "look", [lambda e: compare_schema(e, simple(), deadline=1), lambda e: read_schema(e, deadline=1)]
)
async def test_a_table_that_is_locked_ends_the_wait_and_its_holder_is_named(
    engine: AsyncEngine, look: Callable[[AsyncEngine], Awaitable[Any]]
) -> None:
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY)")
    async with engine.connect() as other:
        await other.execute(text("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"))
        pid = (await other.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        with anyio.fail_after(60), pytest.raises(SchemaError) as caught:
            await look(engine)
    assert re.fullmatch(
        r'The table "public"\."t" is locked, and the schema could not be read for 1 s\. Nothing was (compared|read)\. '
        rf"It is held by pid {pid} \(no application_name\), idle in transaction for \d+ s\. Try again when that has "
        rf"ended, or end it with SELECT pg_terminate_backend\({pid}\)\.",
        str(caught.value),
    )
    assert not await compare_schema(engine, simple())


async def test_a_lock_that_comes_later_ends_the_wait_in_scratch_schemas_too(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY)")
    async with as_role(engine, "poor") as poor, engine.connect() as other:
        await run_sql(engine, f"GRANT CREATE ON DATABASE {engine.url.database} TO {poor.url.username}")

        async def lock() -> None:
            await other.execute(text("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"))

        monkeypatch.setattr(bench, "create", _after(shadow.create, lock))
        with anyio.fail_after(60), pytest.raises(SchemaError, match=r'"public"\."t" is locked.*held by pid'):
            await compare_schema(poor, simple(), deadline=1)


async def test_a_look_at_the_holder_that_has_to_wait_itself_ends_too(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "RELEASE_DEADLINE", 0.5)
    engine = create_async_engine(own_server.url())
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY)")
    async with engine.connect() as other:
        assert not await compare_schema(engine, simple())  # nobody can log in below
        await other.execute(text("LOCK TABLE t, pg_authid IN ACCESS EXCLUSIVE MODE"))
        with anyio.fail_after(60), pytest.raises(SchemaError, match="A table is locked, and the schema could not be"):
            await compare_schema(engine, simple(), deadline=1)
    await engine.dispose()


SILENCES = {"the live schema is read": b"pg_get_partkeydef", "the models are created": b"CREATE TABLE t"}


@pytest.mark.parametrize("cancelled", [False, True], ids=["waited for", "cancelled"])
@pytest.mark.parametrize("words", SILENCES.values(), ids=SILENCES.keys())
async def test_a_network_that_goes_silent_ends_the_comparison(
    server: Server, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, words: bytes, *, cancelled: bool
) -> None:
    for module in (patience, session):
        monkeypatch.setattr(module, "RELEASE_DEADLINE", 0.5)
    await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY)")

    async def strike(message: Message) -> None:
        if words in message.data:
            proxy.arm(Fault(message.index, Action.SILENCE, before=True))

    async with WireProxy("127.0.0.1", server.port, on_message=strike) as proxy:
        url = proxy.url(engine.url.render_as_string(hide_password=False))
        async with engine_on(url) as through:
            work = asyncio.create_task(compare_schema(through, simple(), deadline=60 if cancelled else 1))
            with anyio.fail_after(60):
                await proxy.struck.wait()
            if cancelled:
                work.cancel()
            await asyncio.wait([work], timeout=50)
            assert work.done()
            if cancelled:
                assert work.cancelled()
            else:
                with pytest.raises(
                    DatabaseUnavailableError, match=r"no answer in time\. Nothing was compared; try again"
                ):
                    await work


def _after(work: Any, also: Any) -> Any:
    async def both(*arguments: Any, **options: Any) -> Any:
        result = await work(*arguments, **options)
        await also()
        return result

    return both


# Poolers


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_comparison_works_through_a_pooler(server: Server, engine: AsyncEngine, mode: PoolMode) -> None:
    m = simple(Column("a", Integer, server_default="1"), Column("b", String(5), index=True))
    async with engine.begin() as connection:
        await connection.run_sync(m.create_all)
    with pgbouncer(server, mode) as bouncer:
        through = open_engine(bouncer.url(engine.url.database or ""), unnamed_statements=True)
        difference = await compare_schema(through, m)
        assert (str(difference), difference.notes) == ("The database has the schema of the metadata.", ())
        # Nothing of ours stays with the server's connections.
        assert await answer(through, "SELECT current_setting('search_path')") == ['"$user", public']
        await run_sql(engine, "ALTER TABLE t ALTER a DROP DEFAULT")
        assert kinds(await compare_schema(through, m)) == ["DefaultChanged"]
        await through.dispose()


async def test_a_pooler_that_knows_one_database_only_makes_it_scratch_schemas(
    server: Server, engine: AsyncEngine
) -> None:
    database = engine.url.database or ""
    with pgbouncer(server, only=database) as bouncer:
        through = open_engine(bouncer.url(database), unnamed_statements=True)
        difference = await compare_schema(through, simple())
        assert kinds(difference) == ["TableAdded"]
        assert "scratch schemas in the live database" in difference.notes[0]
        assert "cannot be reached" in difference.notes[0]
        await through.dispose()


# Rights and limits


async def test_transactions_that_are_read_only_by_default_are_no_obstacle(engine: AsyncEngine) -> None:
    async with as_role(engine, "reader") as reader:
        name = reader.url.username
        await run_sql(
            engine,
            f"ALTER ROLE {name} CREATEDB; ALTER ROLE {name} SET default_transaction_read_only = on;"
            f"GRANT CREATE ON DATABASE {engine.url.database} TO {name}",
        )
        difference = await compare_schema(reader, simple())
        assert kinds(difference) == ["TableAdded"]
        assert "transactions are read-only here" in difference.notes[0]


async def test_a_short_statement_timeout_is_no_obstacle(engine: AsyncEngine) -> None:
    async with as_role(engine, "hasty") as hasty:
        name = hasty.url.username
        await run_sql(
            engine,
            f"ALTER ROLE {name} CREATEDB; ALTER ROLE {name} SET statement_timeout = '40ms';"
            f"GRANT CREATE ON DATABASE {engine.url.database} TO {name}",
        )
        m = simple(*(Column(f"c{number}", Text, index=True) for number in range(200)))
        assert kinds(await compare_schema(hasty, m)) == ["TableAdded"]
        owned = f"SELECT datname::text FROM pg_database WHERE datdba = '{name}'::regrole"
        for each in await answer(engine, owned):
            await run_sql(engine, f'DROP DATABASE "{each}"')


async def test_a_server_that_cannot_make_a_database_is_no_obstacle(own_server: Server) -> None:
    async with engine_on(own_server.url()) as engine:
        (template,) = await answer(engine, "SELECT oid::text FROM pg_database WHERE datname = 'template0'")
        names = own_server.data_directory / "base" / template / "pg_filenode.map"
        names.write_bytes(bytes(names.stat().st_size))
        difference = await compare_schema(engine, simple())
    assert kinds(difference) == ["TableAdded"]
    assert "CREATE DATABASE did not work in the server: relation mapping file" in difference.notes[0]


async def test_a_standby_needs_a_scratch_place_elsewhere(postgres_version: int, make_database: MakeDatabase) -> None:
    with temporary_directory() as copy:
        with temporary_server(version=postgres_version, settings=REPLICATION) as primary:
            async with engine_on(primary.url()) as engine:
                await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY, a text)")
            primary.stop()
            await anyio.run_process(["cp", "-a", f"{primary.data_directory}/.", str(copy)])
        await anyio.run_process(["cp", "-a", str(copy / "PG_VERSION"), str(copy / "standby.signal")])
        with Server(copy, version=postgres_version, durable=False, settings=REPLICATION) as standby:
            async with engine_on(standby.url()) as engine:
                with pytest.raises(SchemaError, match=r"read-only standby.*Nothing was compared\. Give a scratch_url"):
                    await compare_schema(engine, simple())
                difference = await compare_schema(engine, simple(), scratch_url=await make_database())
                assert kinds(difference) == ["ColumnRemoved"]


async def test_each_locale_and_encoding_gets_its_own_scratch_database(make_database: MakeDatabase) -> None:
    latin = await make_database(encoding="LATIN1", locale="C", template="template0")
    async with engine_on(latin) as narrow:
        m = simple(Column("name", Text, server_default="é", comment="é"))
        async with narrow.begin() as connection:
            await connection.run_sync(m.create_all)
        assert not await compare_schema(narrow, m)
        assert not await compare_schema(narrow, m)
        with pytest.raises(MetadataRefusedError, match="no equivalent in encoding"):
            await compare_schema(narrow, simple(Column("name", Text, server_default="→")))


async def test_one_name_in_two_schemas_is_two_tables_on_the_way_too(engine: AsyncEngine) -> None:
    m = MetaData()
    for schema in ("a", "b", None):
        Table("t", m, Column("id", Integer, primary_key=True), Column("x", Text, index=True), schema=schema)
    await run_sql(engine, "CREATE SCHEMA a; CREATE SCHEMA b")
    assert kinds(await compare_schema(engine, m)) == ["TableAdded"] * 3
    async with engine.begin() as connection:
        await connection.run_sync(m.create_all)
    assert not await compare_schema(engine, m)
    await run_sql(engine, "DROP INDEX b.ix_b_t_x")
    assert [str(each) for each in (await compare_schema(engine, m)).operations] == [
        "index ix_b_t_x of b.t is missing: btree (x)"
    ]
