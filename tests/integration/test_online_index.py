"""Indexes that are built and dropped beside running writes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncpg
import pytest
from sqlalchemy import column, func, literal_column, table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from async_migrations.errors import AuthorError, IndexConflictError, MigrationsError, TransactionControlError
from async_migrations.online import Operations, build
from async_migrations.online.definition import IndexDefinition
from async_migrations.online.wire import Wire
from async_migrations.sql import qualified, quote_identifier, quote_literal

DEADLINE = 20.0
# The view shows every database of the server, and the other tests' builds too.
BUILDS = "FROM pg_stat_progress_create_index WHERE datname = current_database()"

BOOKS = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE books (
    gone integer, id integer PRIMARY KEY, title text, author varchar(40), price numeric(8, 2), tags text[],
    mood mood, added timestamptz DEFAULT now(), upper_title text GENERATED ALWAYS AS (upper(title)) STORED
);
ALTER TABLE books DROP COLUMN gone;
INSERT INTO books (id, title, author) SELECT i, 'title ' || i, 'author' FROM generate_series(1, 20) AS i;
CREATE TABLE shops (id integer PRIMARY KEY, title text);
"""

Connect = Callable[[], AbstractAsyncContextManager["asyncpg.Connection[asyncpg.Record]"]]


@dataclass
class Desk:
    """A migration's `self.op`, what it said, and the driver under it."""

    connection: AsyncConnection
    driver: Any
    said: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    def say(self, level: int, message: str) -> None:
        self.levels.append(level)
        self.said.append(message)

    def op(self, *, transactional: bool = False) -> Operations:
        return Operations(self.connection, transactional=transactional, say=self.say)

    async def is_waiting(self) -> bool:
        """Tell whether it said that another build is in the way."""
        return any("waiting for it" in message for message in self.said)

    async def index(self, name: str) -> asyncpg.Record | None:
        """Return what the catalog has of an index."""
        found: asyncpg.Record | None = await self.driver.fetchrow(
            "SELECT i.oid, x.indisvalid AS valid, x.indisunique AS is_unique, pg_get_indexdef(i.oid) AS definition"
            " FROM pg_class AS i JOIN pg_index AS x ON x.indexrelid = i.oid WHERE i.relname = $1",
            name,
        )
        return found


@pytest.fixture
async def desk(engine: AsyncEngine) -> AsyncIterator[Desk]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(BOOKS)
        yield Desk(connection, driver)


@pytest.fixture
def connect(engine: AsyncEngine) -> Connect:
    """Return a function that opens a further session."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @asynccontextmanager
    async def session() -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            connection.terminate()

    return session


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for a condition on the server."""
    with anyio.fail_after(DEADLINE):
        while not await condition():  # noqa: ASYNC110  the server sends no event for what is awaited here
            await anyio.sleep(0.01)


@asynccontextmanager
async def reader(connect: Connect, query: str = "SELECT 1 FROM books") -> AsyncIterator[None]:
    """Hold a transaction open that a concurrent build has to wait for."""
    async with connect() as session:
        await session.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ; {query}")
        yield


@asynccontextmanager
async def build_in_progress(
    connect: Connect, watcher: "asyncpg.Connection[asyncpg.Record]", name: str, columns: str = "title"
) -> AsyncIterator[int]:
    """Run a concurrent build that cannot end before the block does; yield its process."""
    async with connect() as builder, anyio.create_task_group() as group:
        pid = builder.get_server_pid()

        async def run() -> None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                await builder.execute(f"CREATE INDEX CONCURRENTLY {quote_identifier(name)} ON books ({columns})")

        async with reader(connect):
            group.start_soon(run)
            await until(
                lambda: watcher.fetchval(
                    "SELECT index_relid <> 0 FROM pg_stat_progress_create_index WHERE pid = $1", pid
                )
            )
            yield pid


async def leave_invalid(connect: Connect, name: str, columns: str = "title") -> None:
    """Leave what a build leaves whose backend was terminated."""
    async with connect() as watcher:
        async with build_in_progress(connect, watcher, name, columns) as pid:
            await watcher.execute("SELECT pg_terminate_backend($1)", pid)
            gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
            await until(lambda: watcher.fetchval(gone, pid))
        left = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
        assert await watcher.fetchval(left, qualified(None, name)) is False


DEFINITIONS: dict[str, dict[str, Any]] = {
    "one column": {"columns": ["title"]},
    "several columns": {"columns": ["author", "title", "id"]},
    "unique": {"columns": ["title"], "unique": True},
    "nulls not distinct": {"columns": ["title"], "unique": True, "nulls_not_distinct": True},
    "expression": {"columns": [text("lower(title)")]},
    "expression and column": {"columns": ["id", text("lower(author)"), text("(price * 2)")]},
    "expression that names the table": {"columns": [text("lower(books.title)")]},
    "construct": {"columns": [func.lower(column("title")), column("price").desc()]},
    "construct of a table": {"columns": [func.coalesce(table("books", column("title")).c.title, "x")]},
    "order": {"columns": [text("title DESC NULLS LAST"), text("id DESC")]},
    "collation": {"columns": [text('title COLLATE "C"')]},
    "include": {"columns": ["title"], "include": ["price", "author"]},
    "partial": {"columns": ["title"], "where": "price > 10 AND title LIKE 'a:b%'"},
    "partial with IN on varchar": {"columns": ["title"], "where": "author IN ('a', 'b')"},
    "partial with NOT IN on varchar": {"columns": ["id"], "where": "author NOT IN ('a', 'b') OR author = 'c'"},
    "partial with one enum": {"columns": ["title"], "where": "mood = 'sad'"},
    "partial with IN on enum": {"columns": ["title"], "where": "mood IN ('sad', 'happy') AND books.id > 0"},
    "partial with BETWEEN": {"columns": ["id"], "where": "price BETWEEN 1 AND 2.5"},
    "partial construct": {"columns": ["title"], "where": column("title") == literal_column("'it''s'")},
    "partial on time": {"columns": ["id"], "where": "added > '2020-01-01 00:00:00+00'"},
    "gin": {"columns": ["tags"], "using": "gin", "with_": {"fastupdate": "off"}},
    "operator class": {"columns": ["title", "author"], "opclasses": {"title": "text_pattern_ops"}},
    "operator class of an expression": {
        "columns": [text("lower(title)")],
        "opclasses": {"lower(title)": "text_pattern_ops"},
    },
    "fillfactor": {"columns": ["title"], "with_": {"fillfactor": 70}},
    "generated column": {"columns": ["upper_title"]},
    "tablespace": {"columns": ["title"], "tablespace": "pg_default"},
}


@pytest.mark.parametrize("options", DEFINITIONS.values(), ids=DEFINITIONS)
async def test_an_index_is_recognised_wherever_it_came_from(desk: Desk, options: dict[str, Any]) -> None:
    assert await desk.op().create_index("ix", "books", **options) == 1
    built = await desk.index("ix")
    assert built is not None
    assert built["valid"]
    assert await desk.op().create_index("ix", "books", **options) == 0
    assert await desk.index("ix") == built
    # A dump restored, and once more: the server prints some predicates in another way each time.
    for _ in range(2):
        dumped = await desk.index("ix")
        assert dumped is not None
        await desk.driver.execute(f"DROP INDEX ix; {dumped['definition']}")
        assert await desk.op().create_index("ix", "books", **options) == 0
    await desk.driver.execute("DROP INDEX ix")
    assert await desk.op(transactional=True).create_index("ix", "books", **options) == 1
    assert await desk.op().create_index("ix", "books", **options) == 0


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({"columns": ["title"]}, {"columns": ["author"]}),
        ({"columns": ["title"]}, {"columns": ["title", "author"]}),
        ({"columns": ["title", "author"]}, {"columns": ["author", "title"]}),
        ({"columns": ["title"]}, {"columns": ["title"], "unique": True}),
        ({"columns": ["title"], "unique": True}, {"columns": ["title"]}),
        ({"columns": ["title"]}, {"columns": [text("title DESC")]}),
        ({"columns": ["title"]}, {"columns": [text("lower(title)")]}),
        ({"columns": ["title"]}, {"columns": ["title"], "where": "id > 1"}),
        ({"columns": ["title"], "where": "id > 2"}, {"columns": ["title"], "where": "id > 1"}),
        ({"columns": ["title"]}, {"columns": ["title"], "include": ["id"]}),
        ({"columns": ["title"]}, {"columns": ["title"], "using": "hash"}),
        ({"columns": ["title"]}, {"columns": ["title"], "opclasses": {"title": "text_pattern_ops"}}),
        ({"columns": ["title"]}, {"columns": [text('title COLLATE "C"')]}),
        (
            {"columns": ["title"], "unique": True},
            {"columns": ["title"], "unique": True, "nulls_not_distinct": True},
        ),
    ],
)
async def test_another_index_of_this_name_is_refused_and_stays(
    desk: Desk, there: dict[str, Any], wanted: dict[str, Any]
) -> None:
    await desk.op().create_index("ix", "books", **there)
    before = await desk.index("ix")
    assert before is not None
    with pytest.raises(IndexConflictError) as raised:
        await desk.op().create_index("ix", "books", **wanted)
    assert f"there:  {before['definition']}" in str(raised.value)
    assert "wanted: CREATE " in str(raised.value)
    assert "drop_index('ix')" in str(raised.value)
    assert await desk.index("ix") == before
    assert not desk.driver.is_in_transaction()


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE ix (a int)", "CREATE VIEW ix AS SELECT 1", "CREATE SEQUENCE ix", "CREATE INDEX ix ON shops (title)"],
)
async def test_another_thing_of_this_name_is_refused_and_stays(desk: Desk, statement: str) -> None:
    await desk.driver.execute(statement)
    with pytest.raises(IndexConflictError, match="The name ix is taken in schema public"):
        await desk.op().create_index("ix", "books", ["title"])
    with pytest.raises(IndexConflictError, match="not the index to drop"):
        await desk.op().drop_index("ix", "books")
    assert await desk.driver.fetchval("SELECT to_regclass('ix') IS NOT NULL")


async def test_the_seeds_words_are_logged(desk: Desk) -> None:
    await desk.op().create_index("ix", "books", ["title"])
    await desk.op().create_index("ix", "books", ["title"])
    await desk.op().drop_index("ix", "books")
    await desk.op().drop_index("ix", "books")
    assert desk.said == [
        "Creating index ix on books",
        "✓ Created index: ix",
        "Creating index ix on books",
        "✓ Index ix is there already, valid and with this definition",
        "Dropping index ix",
        "✓ Dropped index: ix",
        "Dropping index ix",
        "✓ Index ix is gone already",
    ]
    assert set(desk.levels) == {logging.INFO}


async def test_nothing_is_left_prepared_for_the_next_user_of_the_backend(desk: Desk) -> None:
    await desk.driver.execute("DEALLOCATE ALL")
    await desk.op().create_index("ix", "books", ["title"])
    await desk.op().create_index("ix", "books", ["title"])
    await desk.op().drop_index("ix")
    await desk.driver.execute("DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM pg_prepared_statements); END $$")


async def test_a_transactional_index_goes_with_its_transaction(desk: Desk) -> None:
    await desk.driver.execute("CREATE INDEX old ON books (id)")
    await desk.driver.execute("BEGIN")
    op = desk.op(transactional=True)
    assert await op.create_index("ix", "books", ["title"]) == 1
    assert await op.drop_index("old", "books") == 1
    await desk.driver.execute("ROLLBACK")
    assert await desk.index("ix") is None
    assert await desk.index("old") is not None


async def test_writes_go_on_while_an_index_is_built(desk: Desk, connect: Connect) -> None:
    async with connect() as writer, connect() as other:
        await writer.execute("BEGIN; INSERT INTO books (id) VALUES (100)")
        async with anyio.create_task_group() as group:
            group.start_soon(desk.op().create_index, "ix", "books", ["title"])
            await until(lambda: other.fetchval(f"SELECT phase LIKE 'waiting%' {BUILDS}"))
            await other.execute("SET lock_timeout = '5s'; INSERT INTO books (id) VALUES (101)")
            await writer.execute("COMMIT")
    found = await desk.index("ix")
    assert found is not None
    assert found["valid"]


async def test_an_invalid_leftover_is_built_anew(desk: Desk, connect: Connect) -> None:
    await leave_invalid(connect, "ix")
    assert await desk.op().create_index("ix", "books", ["title"]) == 1
    found = await desk.index("ix")
    assert found is not None
    assert found["valid"]
    assert desk.said[1] == "Index ix is INVALID, left by a build that died; building it anew"
    assert desk.levels[1] == logging.WARNING


async def test_an_invalid_leftover_of_another_definition_is_built_as_wanted(desk: Desk, connect: Connect) -> None:
    await leave_invalid(connect, "ix", "author")
    assert await desk.op().create_index("ix", "books", ["title"]) == 1
    found = await desk.index("ix")
    assert found is not None
    assert "(title)" in found["definition"]


async def test_an_invalid_leftover_can_be_dropped(desk: Desk, connect: Connect) -> None:
    await leave_invalid(connect, "ix")
    assert await desk.op().drop_index("ix") == 1
    assert await desk.index("ix") is None


@pytest.mark.parametrize("role", [None, "clerk"], ids=["own role", "role that may not see the builder"])
async def test_a_build_of_another_session_is_waited_for_and_counts(
    desk: Desk, connect: Connect, role: str | None
) -> None:
    result: list[int] = []

    async def create() -> None:
        result.append(await desk.op().create_index("ix", "books", ["title"]))

    if role:
        name = quote_identifier(f"clerk_{desk.driver.get_server_pid()}")
        await desk.driver.execute(
            f"CREATE ROLE {name}; ALTER TABLE books OWNER TO {name};"
            f"GRANT CREATE, USAGE ON SCHEMA public TO {name}; SET ROLE {name}"
        )
    async with (
        connect() as watcher,
        anyio.create_task_group() as group,
        build_in_progress(connect, watcher, "ix") as pid,
    ):
        theirs = await watcher.fetchval("SELECT 'ix'::regclass::oid")
        group.start_soon(create)
        await until(desk.is_waiting)
        state = await watcher.fetchrow(
            "SELECT state, backend_xmin FROM pg_stat_activity WHERE pid = $1", desk.driver.get_server_pid()
        )
        assert not result
    await desk.driver.execute("RESET ROLE")
    found = await desk.index("ix")
    assert found is not None
    assert (found["oid"], found["valid"], result) == (theirs, True, [0])
    assert desk.said[1] == f"Process {pid} is building an index on books; waiting for it"
    assert state is not None
    assert tuple(state) == ("idle", None)
    if role:
        await desk.driver.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.mark.parametrize("operation", ["create", "drop"])
async def test_a_build_of_another_index_on_the_table_is_no_deadlock(
    desk: Desk, connect: Connect, operation: str
) -> None:
    await desk.driver.execute("CREATE INDEX old ON books (id)")
    async with connect() as watcher, anyio.create_task_group() as group, build_in_progress(connect, watcher, "theirs"):
        if operation == "create":
            group.start_soon(desk.op().create_index, "ix", "books", ["title"])
        else:
            group.start_soon(desk.op().drop_index, "old")
        await until(desk.is_waiting)
    theirs = await desk.index("theirs")
    assert theirs is not None
    assert theirs["valid"]
    assert (await desk.index("ix") is not None, await desk.index("old") is None) == (
        operation == "create",
        operation == "drop",
    )


async def test_a_unique_violation_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(asyncpg.UniqueViolationError) as raised:
        await desk.op().create_index("ix", "books", ["author"], unique=True)
    assert await desk.index("ix") is None
    assert raised.value.statement.startswith("CREATE UNIQUE INDEX CONCURRENTLY")  # type: ignore[attr-defined]  # what we added


async def test_a_cancelled_build_leaves_nothing(desk: Desk, connect: Connect) -> None:
    async with connect() as watcher, reader(connect, "SELECT 1 FROM shops"), anyio.create_task_group() as group:
        group.start_soon(desk.op().create_index, "ix", "books", ["title"])
        await until(lambda: watcher.fetchval(f"SELECT phase ~ 'old snapshots' {BUILDS}"))
        group.cancel_scope.cancel()
    assert await desk.index("ix") is None


async def test_a_cancelled_build_that_cannot_be_swept_says_so_and_is_mended(desk: Desk, connect: Connect) -> None:
    async with connect() as watcher, reader(connect):
        async with anyio.create_task_group() as group:
            group.start_soon(desk.op().create_index, "ix", "books", ["title"])
            await until(lambda: watcher.fetchval(f"SELECT index_relid <> 0 {BUILDS}"))
            group.cancel_scope.cancel()
        assert desk.said[-1] == "Index ix is left INVALID; the next try removes it"
        found = await desk.index("ix")
        assert found is not None
        assert not found["valid"]
    assert await desk.op().create_index("ix", "books", ["title"]) == 1


async def test_a_build_whose_backend_is_terminated_raises_its_own_error(desk: Desk, connect: Connect) -> None:
    async with connect() as watcher, reader(connect), anyio.create_task_group() as group:

        async def create() -> None:
            with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="terminating connection"):
                await desk.op().create_index("ix", "books", ["title"])

        group.start_soon(create)
        await until(lambda: watcher.fetchval(f"SELECT pg_terminate_backend(pid) {BUILDS} AND index_relid <> 0"))


async def test_an_index_that_is_not_valid_after_all_is_an_error(desk: Desk) -> None:
    wanted = IndexDefinition(name="ix", table="books", columns=["title"])
    with pytest.raises(MigrationsError, match="Start again"):
        await build.verify(Wire(desk.connection), wanted)


HOSTILE = [
    'a"b',
    "a; DROP TABLE books; --",
    "Select",
    "x USING y",
    "INDEX ",
    "é 🐘",
    "a%b%%s:c",
    "x.y",
    "$1",
    "'",
    "\\",
    "\n",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_name_exactly_what_they_say(desk: Desk, name: str) -> None:
    q = quote_identifier(name)
    await desk.driver.execute(f"CREATE SCHEMA {q}; CREATE TABLE {q}.{q} ({q} int, other int)")
    index = f"ix {name} USING btree"
    for expected in (1, 0):
        created = await desk.op().create_index(
            index, name, [name], schema=name, include=["other"], opclasses={name: "int4_ops"}, where=f"{q} > 1"
        )
        assert created == expected
    literal = quote_literal(qualified(name, index))
    assert await desk.driver.fetchval(f"SELECT to_regclass({literal}) IS NOT NULL")
    assert await desk.op().drop_index(index, name, schema=name) == 1
    assert await desk.driver.fetchval(f"SELECT to_regclass({literal}) IS NULL")


async def test_the_index_stands_in_the_schema_of_its_table(desk: Desk) -> None:
    await desk.driver.execute("CREATE SCHEMA s; CREATE TABLE s.books (title text); CREATE INDEX ix ON books (id)")
    assert await desk.op().create_index("ix", "books", ["title"], schema="s") == 1
    await desk.driver.execute("SET search_path = s")
    assert await desk.op().create_index("ix", "books", ["title"]) == 0
    assert await desk.op().drop_index("ix", "books") == 1
    assert await desk.driver.fetchval("SELECT to_regclass('public.ix') IS NOT NULL")


async def test_a_partitioned_table_gets_its_index_in_a_transaction(desk: Desk) -> None:
    await desk.driver.execute(
        "CREATE TABLE parts (a int, b text) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF parts DEFAULT"
    )
    assert await desk.op(transactional=True).create_index("ix", "parts", ["b"]) == 1
    assert await desk.op().create_index("ix", "parts", ["b"]) == 0


async def test_an_invalid_index_of_a_partitioned_table_is_built_anew(desk: Desk) -> None:
    await desk.driver.execute(
        "CREATE TABLE parts (a int, b text) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF parts DEFAULT;"
        "CREATE INDEX ix ON ONLY parts (b)"
    )
    assert await desk.op().create_index("ix", "parts", ["b"]) == 1
    assert desk.said[1] == "Index ix is INVALID: a partition lacks its own; building it anew"
    found = await desk.index("ix")
    assert found is not None
    assert found["valid"]
    assert (
        await desk.driver.fetchval("SELECT count(*) FROM pg_index WHERE indrelid = 'p1'::regclass AND indisvalid") == 1
    )
    assert await desk.op().create_index("ix", "parts", ["b"]) == 0


async def test_an_invalid_index_of_a_partitioned_table_of_another_definition_stays(desk: Desk) -> None:
    await desk.driver.execute(
        "CREATE TABLE parts (a int, b text) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF parts DEFAULT;"
        "CREATE INDEX ix ON ONLY parts (b)"
    )
    before = await desk.index("ix")
    with pytest.raises(IndexConflictError):
        await desk.op().create_index("ix", "parts", ["a"])
    assert await desk.index("ix") == before


async def test_the_index_of_a_constraint_counts(desk: Desk) -> None:
    await desk.driver.execute("ALTER TABLE books ADD CONSTRAINT ix UNIQUE (title)")
    assert await desk.op().create_index("ix", "books", ["title"], unique=True) == 0


async def test_what_the_server_refuses_is_its_own_error(desk: Desk) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await desk.op().create_index("ix", "nowhere", ["title"])
    with pytest.raises(asyncpg.UndefinedColumnError):
        await desk.op().create_index("ix", "books", ["title DESC"])
    with pytest.raises(asyncpg.UndefinedColumnError):
        await desk.op(transactional=True).create_index("ix", "books", ["nothing"])
    await desk.op().create_index("ix", "books", ["title"])
    with pytest.raises(asyncpg.UndefinedColumnError):
        await desk.op().create_index("ix", "books", ["nothing"])
    assert not desk.driver.is_in_transaction()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "title"}, r"pass a list: \['title'\]"),
        ({"columns": []}, "name at least one column"),
        ({"columns": ["title"], "opclasses": {"titel": "text_ops"}}, "'titel', but its columns are: title"),
    ],
)
@pytest.mark.parametrize("transactional", [True, False])
async def test_arguments_that_cannot_be_right_are_refused(
    desk: Desk, options: dict[str, Any], words: str, *, transactional: bool
) -> None:
    with pytest.raises(AuthorError, match=words):
        await desk.op(transactional=transactional).create_index("ix", "books", **options)
    assert desk.said == []


async def test_a_name_that_postgres_would_cut_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        await desk.op().create_index("i" * 64, "books", ["title"])


async def test_an_open_transaction_of_the_authors_is_told_of(desk: Desk) -> None:
    await desk.driver.execute("CREATE INDEX old ON books (id)")
    await desk.driver.execute("BEGIN")
    with pytest.raises(TransactionControlError, match="create_index"):
        await desk.op().create_index("ix", "books", ["title"])
    with pytest.raises(TransactionControlError, match="drop_index"):
        await desk.op().drop_index("old")
    await desk.driver.execute("ROLLBACK")


async def test_a_missing_index_is_an_error_only_in_a_transaction(desk: Desk) -> None:
    op = desk.op(transactional=True)
    with pytest.raises(asyncpg.UndefinedObjectError):
        await op.drop_index("nothing")
    assert await op.drop_index("nothing", if_exists=True) == 0
    assert await desk.op().drop_index("nothing") == 0


@pytest.mark.parametrize("transactional", [True, False])
async def test_an_index_of_another_table_is_not_dropped(desk: Desk, *, transactional: bool) -> None:
    await desk.driver.execute("CREATE INDEX ix ON shops (title)")
    with pytest.raises(IndexConflictError, match=r"There is: CREATE INDEX ix ON public\.shops"):
        await desk.op(transactional=transactional).drop_index("ix", "books")
    assert await desk.index("ix") is not None
