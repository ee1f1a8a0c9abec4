"""What operations refuse, what they carry through, and how they wait."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.errors import AuthorError, NameConflictError, TransactionControlError
from async_migrations.online import Operations
from async_migrations.online.detaching import check_name
from async_migrations.online.not_null import Proof
from tests.support.desk import Desk, Work, open_desk
from tests.support.pictures import changes
from tests.support.waiting import eventually

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE SEQUENCE tickets;
CREATE TABLE generated (id integer, twice integer GENERATED ALWAYS AS (id * 2) STORED);
CREATE VIEW shown AS SELECT 1 AS one;
CREATE TABLE authors (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE books (id integer PRIMARY KEY, author_id integer, title text, n integer DEFAULT 1);
ALTER TABLE books ADD CONSTRAINT rule CHECK (n > 0), ADD CONSTRAINT once UNIQUE (title);
INSERT INTO authors VALUES (1, 'Ada'), (2, 'Bea');
INSERT INTO books (id, author_id, title) VALUES (1, 1, 'A'), (2, 2, 'B'), (3, 2, NULL);
"""


@pytest.fixture
async def desk(engine: AsyncEngine) -> AsyncIterator[Desk]:
    async with open_desk(engine) as desk:
        await desk.driver.execute(SHOP)
        yield desk


TAKEN: dict[str, Work] = {
    "a table with another check": lambda op: op.create_table(
        "authors",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id > 0"), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    ),
    "a table": lambda op: op.create_table("authors", sa.Column("id", sa.Integer, primary_key=True)),
    "a table that is a view": lambda op: op.create_table("shown", sa.Column("one", sa.Integer)),
    "a column": lambda op: op.add_column("books", sa.Column("n", sa.Integer, server_default="2")),
    "a check": lambda op: op.create_check_constraint("rule", "books", "n > 1"),
    "a check that is a key": lambda op: op.create_check_constraint("once", "books", "n > 0"),
    "a foreign key": lambda op: op.create_foreign_key("rule", "books", "authors", ["author_id"], ["id"]),
    "a unique constraint": lambda op: op.create_unique_constraint("once", "books", ["n"]),
    "a primary key": lambda op: op.create_primary_key("books_pkey", "books", ["id", "n"]),
    "an exclusion": lambda op: op.create_exclude_constraint("once", "books", ("n", "="), using="btree"),
    "an enum": lambda op: op.create_enum("mood", ["sad", "happy"]),
    "an enum that is a domain": lambda op: op.create_enum("positive", ["sad"]),
    "a domain": lambda op: op.create_domain("positive", sa.Integer, check="VALUE > 1"),
    "a sequence": lambda op: op.create_sequence("tickets", start=5),
    "a sequence that is a table": lambda op: op.create_sequence("authors"),
    "a domain's check": lambda op: op.create_domain_constraint("positive_check", "positive", "VALUE > 5"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_something_else_of_the_same_name_is_left_as_it_is(desk: Desk, name: str) -> None:
    before = await desk.picture()
    with pytest.raises(NameConflictError, match=r"left as it is|Drop it first"):
        await desk.do(TAKEN[name], transactional=False)
    assert not changes(before, await desk.picture())


async def test_the_same_under_the_same_name_is_done(desk: Desk) -> None:
    before = await desk.picture()
    async with desk.op(transactional=False) as op:
        await op.create_table(
            "authors",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("name", sa.Text, nullable=False),
        )
        await op.add_column("books", sa.Column("n", sa.Integer, server_default=text("1")))
        await op.create_check_constraint("rule", "books", "n > 0")
        await op.create_unique_constraint("once", "books", ["title"])
        await op.create_primary_key("books_pkey", "books", ["id"])
        await op.create_enum("mood", ["sad", "ok", "happy"])
        await op.create_domain("positive", sa.Integer, check="VALUE > 0")
        await op.create_domain_constraint("positive_check", "positive", "VALUE > 0")
        await op.create_sequence("tickets")
    assert op.statistics == {}
    assert not changes(before, await desk.picture())


async def test_what_names_its_own_table_is_the_same(desk: Desk) -> None:
    for _ in range(2):
        async with desk.op(transactional=False) as op:
            await op.create_table("prices", sa.Column("n", sa.Integer, sa.CheckConstraint("prices.n > 0", name="up")))
    for _ in range(2):
        async with desk.op(transactional=False) as op:
            await op.add_column("prices", sa.Column("twice", sa.Integer, sa.Computed("prices.n * 2", persisted=True)))
            await op.create_check_constraint("even", "prices", "prices.twice % 2 = 0")
            await op.create_exclude_constraint("one", "prices", ("n", "="), using="btree", where="prices.n > 5")
    for work in (
        lambda op: op.create_table("prices", sa.Column("n", sa.Integer)),
        lambda op: op.add_column("prices", sa.Column("twice", sa.Integer, sa.Computed("prices.n * 3", persisted=True))),
        lambda op: op.create_check_constraint("even", "prices", "prices.twice % 4 = 0"),
    ):
        with pytest.raises(NameConflictError):
            await desk.do(work, transactional=False)


async def test_a_foreign_key_is_the_same_in_lower_case(desk: Desk) -> None:
    for _ in range(2):
        key = sa.ForeignKey("authors.id", name="fk", initially="deferred", match="full", ondelete="set null")
        async with desk.op(transactional=False) as op:
            await op.add_column("books", sa.Column("by", sa.Integer, key))
    assert await desk.value("SELECT count(*) FROM pg_constraint WHERE conname = 'fk' AND condeferred") == 1


async def test_in_a_transaction_a_name_that_is_taken_is_postgresqls_own_error(desk: Desk) -> None:
    with pytest.raises(asyncpg.DuplicateTableError) as caught:
        await desk.do(TAKEN["a table"], transactional=True)
    assert "CREATE TABLE" in caught.value.statement  # type: ignore[attr-defined]  # what the engine's own error shows


@pytest.mark.parametrize("schema", ["public", None])
@pytest.mark.parametrize("kind", ["table", "sequence", "type", "domain"])
async def test_what_is_moved_to_where_another_has_its_name_stays(desk: Desk, kind: str, schema: str | None) -> None:
    await desk.driver.execute(
        "CREATE SCHEMA archive; CREATE TABLE archive.books (other text); CREATE SEQUENCE archive.tickets;"
        "CREATE TYPE archive.mood AS ENUM ('sad'); CREATE DOMAIN archive.positive AS text"
    )
    before = await desk.picture()
    name = {"table": "books", "sequence": "tickets", "type": "mood", "domain": "positive"}[kind]
    with pytest.raises(NameConflictError, match=f'"archive"."{name}" is taken .* than "public"."{name}"'):
        await desk.do(lambda op: op.set_schema(kind, name, "archive", schema=schema), transactional=False)  # type: ignore[arg-type]  # a str
    assert not changes(before, await desk.picture())


@pytest.mark.parametrize("search_path", ["public", "archive, public"])
async def test_what_was_moved_is_moved_once(desk: Desk, search_path: str) -> None:
    await desk.driver.execute(f"CREATE SCHEMA archive; SET search_path = {search_path}")
    for _ in range(2):
        await desk.do(lambda op: op.set_schema("table", "books", "archive"), transactional=False)
    assert desk.said == ["✓ Moved table books to schema archive", "✓ Moved table books to schema archive: done already"]


async def test_a_table_of_an_extensions_name_does_not_count_as_the_extension(desk: Desk) -> None:
    await desk.driver.execute("CREATE SCHEMA archive; CREATE TABLE archive.plpgsql (n integer)")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="SET SCHEMA"):
        await desk.do(lambda op: op.set_schema("extension", "plpgsql", "archive"), transactional=False)


async def test_a_partition_of_another_bound_is_left_as_it_is(desk: Desk) -> None:
    await desk.driver.execute(
        "CREATE TABLE days (day date, n integer) PARTITION BY RANGE (day, (n + 1));"
        "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2025-01-01', 0) TO ('2026-01-01', 0)"
    )
    async with desk.op(transactional=False) as op:
        await op.create_partition("days_1", "days", "FOR VALUES FROM (date '2025-01-01', 0) TO ('2026-1-1', 0)")
        await op.attach_partition("days", "days_1", "FOR VALUES FROM ('2025-01-01', 0) TO ('2026-01-01', 0)")
        with pytest.raises(NameConflictError, match="another bound"):
            await op.create_partition("days_1", "days", "FOR VALUES FROM ('2025-01-01', 0) TO ('2027-01-01', 0)")


async def test_constraints_without_a_name_are_added_once(desk: Desk) -> None:
    await desk.driver.execute("CREATE TABLE plain (a integer, b integer); UPDATE books SET title = id::text")
    for _ in range(2):
        async with desk.op(transactional=False) as op:
            await op.create_unique_constraint(None, "books", ["n", "id"])
            await op.create_foreign_key(None, "books", "authors", ["author_id"], ["id"])
            await op.create_primary_key(None, "plain", ["a"])
    names = "SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint"
    names += " WHERE contype IN ('f', 'u', 'p') AND connamespace = 2200"
    assert await desk.value(names) == [
        "authors_pkey",
        "books_author_id_fkey",
        "books_n_id_key",
        "books_pkey",
        "once",
        "plain_pkey",
    ]


@pytest.mark.parametrize("name", ["one", "r" * 40])
async def test_constraints_without_a_name_are_added_once_however_long_the_names_are(desk: Desk, name: str) -> None:
    table = f"{name}{'s' * 20}"
    columns = ", ".join(f"{name}{end} integer" for end in ("a", "b", "c"))
    await desk.driver.execute(f"CREATE TABLE {table} ({columns}, span int4range)")

    async def add(op: Operations) -> None:
        brought = sa.Column(f"{name}d", sa.Integer, sa.ForeignKey("authors.id"), unique=True)
        await op.add_column(table, brought)
        await op.create_unique_constraint(None, table, [f"{name}a", f"{name}b"])
        await op.create_foreign_key(None, table, "authors", [f"{name}a"], ["id"])
        await op.create_primary_key(None, table, [f"{name}c"])
        await op.create_exclude_constraint(None, table, ("span", "&&"))
        await op.create_exclude_constraint(None, table, ("span", "&&"), where="upper_inf(span)")
        await op.create_exclude_constraint(None, table, (text("(int4range(0, 1) * span)"), "&&"))

    constraints = "SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint"
    constraints += f" WHERE conrelid = '{table}'::regclass AND contype <> 'n'"
    async with desk.op(transactional=True) as op:
        await add(op)
        chosen = await desk.value(constraints)
        await desk.driver.execute("ROLLBACK; BEGIN")
    for _ in range(2):
        await desk.do(add, transactional=False)
        assert len(chosen) == 8
        assert await desk.value(constraints) == chosen


REFUSED: dict[str, tuple[Work, str]] = {
    "a foreign key's column without a type": (
        lambda op: op.add_column("books", sa.Column("other_id", sa.ForeignKey("authors.id"))),
        r"books\.other_id has no type\. Give it one",
    ),
    "a table's column without a type": (
        lambda op: op.create_table("fresh", sa.Column("id")),
        r"fresh\.id has no type\. Give it one",
    ),
    "plain into generated": (
        lambda op: op.alter_column("books", "n", server_default=sa.Computed("id", persisted=True)),
        "Drop the column and add it",
    ),
    "stored into virtual": (
        lambda op: op.alter_column("generated", "twice", server_default=sa.Computed("id * 3", persisted=False)),
        "is a stored generated column",
    ),
    "numbers of a column that has none": (lambda op: op.restart_identity("books", "n"), "no identity or serial column"),
    "a number for a column that has none": (
        lambda op: op.restart_identity("books", "n", 5),
        r"books\.n is not there, or",
    ),
    "a column that is not there": (lambda op: op.alter_column("books", "no", nullable=True), r"books\.no is not there"),
    "a column's comment without its table": (lambda op: op.set_comment("column", "n", "x"), "needs table="),
    "a table's comment with a table": (lambda op: op.set_comment("table", "n", "x", table="t"), "takes no table="),
    "an enum that is none": (lambda op: op.remove_enum_value("positive", "x"), "There is no enum"),
    "a value to replace that is not there": (
        lambda op: op.set_enum_values("mood", ["sad"], replace={"happy": "glad"}),
        "values that are not there: glad",
    ),
    "no SQL": (lambda op: op.execute("-- nothing"), "no statement"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_right_is_an_error_that_says_so(desk: Desk, name: str) -> None:
    work, sentence = REFUSED[name]
    with pytest.raises(AuthorError, match=sentence):
        await desk.do(work, transactional=True)


async def test_a_value_that_an_enum_has_not_cannot_be_removed(desk: Desk) -> None:
    with pytest.raises(AuthorError, match="has no value 'glad', but: sad, ok, happy"):
        await desk.do(lambda op: op.remove_enum_value("mood", "glad"), transactional=True)


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_name_that_postgresql_would_cut_is_refused(desk: Desk, *, transactional: bool) -> None:
    long = "n" * 64
    before = await desk.picture()
    for work in (
        lambda op: op.create_table(long, sa.Column("n", sa.Integer)),
        lambda op: op.create_table("t", sa.Column(long, sa.Integer)),
        lambda op: op.add_column("books", sa.Column(long, sa.Integer)),
        lambda op: op.rename_column("books", "n", long),
        lambda op: op.create_enum(long, ["a"]),
    ):
        with pytest.raises(ValueError, match="PostgreSQL keeps 63"):
            await desk.do(work, transactional=transactional)
    assert not changes(before, await desk.picture())


async def test_an_open_transaction_of_the_authors_is_told_of(desk: Desk) -> None:
    async with desk.op(transactional=False) as op:
        await desk.driver.execute("BEGIN")
        with pytest.raises(TransactionControlError, match="commit, or roll back"):
            await op.create_table("t", sa.Column("n", sa.Integer))
        await desk.driver.execute("ROLLBACK")


async def test_a_table_or_column_that_may_exist_is_left_as_it_is(desk: Desk) -> None:
    before = await desk.picture()
    async with desk.op(transactional=True) as op:
        await op.create_table("authors", sa.Column("x", sa.Text), if_not_exists=True)
        await op.add_column("books", sa.Column("n", sa.Text), if_not_exists=True)
        await op.create_schema("public", if_not_exists=True)
        await op.drop_table("nothing", if_exists=True)
        await op.drop_column("books", "nothing", if_exists=True)
        await op.drop_constraint("nothing", "books", if_exists=True)
        await op.drop_enum("nothing", if_exists=True)
        await op.drop_sequence("nothing", if_exists=True)
        await op.drop_schema("nothing", if_exists=True)
        assert op.statistics == {}
    assert not changes(before, await desk.picture())


async def test_a_missing_thing_is_an_error_in_a_transaction(desk: Desk) -> None:
    for work in (
        lambda op: op.drop_table("nothing"),
        lambda op: op.drop_column("books", "nothing"),
        lambda op: op.drop_constraint("nothing", "books"),
        lambda op: op.drop_enum("nothing"),
    ):
        with pytest.raises(asyncpg.PostgresError):
            await desk.do(work, transactional=True)


async def test_what_was_done_is_counted_and_returned(desk: Desk) -> None:
    async with desk.op(transactional=True) as op:
        shops = await op.create_table(
            "shops", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, index=True)
        )
        await op.add_column("shops", sa.Column("city", sa.Text, server_default="?"))
        await op.create_index("ix_city", "shops", ["city"])
        assert op.statistics == {"tables_created": 1, "columns_added": 1, "indexes_created": 2}
        rows: list[dict[str, object]] = [{"id": 1, "name": "a:b %s"}, {"id": 2, "name": "B"}, {"id": 3}]
        assert await op.bulk_insert(shops, rows) == 3
        assert await op.bulk_insert(shops, []) == 0
        other = sa.table("shops", sa.column("id"), sa.column("city"), schema="public")
        await op.bulk_insert(other, [{"id": 4, "city": "Ulm"}])
        found = await op.execute("SELECT name, city FROM shops WHERE id = :id", {"id": 1})
        assert found.one() == ("a:b %s", "?")
        await op.execute(sa.update(shops).values(name="it's %s :x"))
        await op.execute("UPDATE shops SET name = name || '%s :y'; DELETE FROM shops WHERE id = 4")
    assert await desk.value("SELECT array_agg(DISTINCT name) FROM shops") == ["it's %s :x%s :y"]


PLAIN = sa.table("plain", sa.column("id", sa.Integer), sa.column("name", sa.Text))
ALIKE_AND_NOT: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "name": "b"}, {"id": 3}]


async def test_rows_of_different_keys_are_inserted_all_or_not_at_all(desk: Desk) -> None:
    await desk.driver.execute("CREATE TABLE plain (id integer CHECK (id < 3), name text)")
    notices: list[object] = []
    desk.driver.add_log_listener(lambda _, notice: notices.append(notice))
    async with desk.op(transactional=False) as op:
        with pytest.raises(sa.exc.IntegrityError):
            await op.bulk_insert(PLAIN, ALIKE_AND_NOT)
        assert await desk.value("SELECT count(*) FROM plain") == 0
        assert not desk.driver.is_in_transaction()
        await desk.driver.execute("ALTER TABLE plain DROP CONSTRAINT plain_id_check")
        assert await op.bulk_insert(PLAIN, ALIKE_AND_NOT) == 3
        assert not desk.driver.is_in_transaction()
    assert await desk.value("SELECT array_agg(id || coalesce(name, '') ORDER BY id) FROM plain") == ["1", "2b", "3"]
    assert not notices


@pytest.mark.parametrize("transactional", [True, False])
async def test_rows_are_inserted_into_the_transaction_that_is_open(desk: Desk, *, transactional: bool) -> None:
    await desk.driver.execute("CREATE TABLE plain (id integer, name text)")
    async with desk.op(transactional=transactional) as op:
        if not transactional:
            await desk.driver.execute("BEGIN")
        await op.bulk_insert(PLAIN, ALIKE_AND_NOT)
        await desk.driver.execute("ROLLBACK; BEGIN")
        assert await desk.value("SELECT count(*) FROM plain") == 0
        await desk.driver.execute("COMMIT; BEGIN" if transactional else "COMMIT")


async def test_types_of_columns_are_made_once(desk: Desk) -> None:
    feeling = sa.Enum("low", "high", name="feel%ing", schema="public")
    async with desk.op(transactional=True) as op:
        await op.create_table("a", sa.Column("f", feeling), sa.Column("m", sa.ARRAY(sa.Enum("x", name="mood"))))
        await op.add_column("books", sa.Column("f", sa.ARRAY(feeling)))
        await op.add_column("books", sa.Column("d", pg.DOMAIN("small", sa.Integer, check="VALUE < 9")))
        with pytest.raises(asyncpg.UndefinedObjectError):
            await op.add_column("books", sa.Column("g", pg.ENUM("x", name="gone", create_type=False)))
        await desk.driver.execute("ROLLBACK; BEGIN")
    assert await desk.value("SELECT to_regtype('\"feel%ing\"') IS NULL")


async def test_models_columns_are_copied_and_stay_what_they_were(desk: Desk) -> None:
    metadata = sa.MetaData()
    users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("mail", sa.Text))
    async with desk.op(transactional=True) as op:
        await op.create_table("members", *users.columns, sa.UniqueConstraint("mail", name="uq"))
        await op.create_check_constraint("c", "members", users.c.mail.like("%@%"))
    assert users.c.id.table is users
    assert not [each for each in users.constraints if isinstance(each, sa.CheckConstraint | sa.UniqueConstraint)]
    assert await desk.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c'") == (
        "CHECK ((mail ~~ '%@%'::text))"
    )


async def test_a_conversion_is_made_once(desk: Desk) -> None:
    for _ in range(2):
        await desk.do(
            lambda op: op.alter_column("books", "n", type_=sa.BigInteger(), postgresql_using="n * 100"),
            transactional=False,
        )
    assert await desk.value("SELECT array_agg(DISTINCT n) FROM books") == [100]


async def test_not_null_that_rows_contradict_leaves_nothing(desk: Desk) -> None:
    before = await desk.picture()
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.do(lambda op: op.set_not_null("books", "title"), transactional=False)
    assert not changes(before, await desk.picture())


async def test_a_cancellation_while_not_null_is_proved_leaves_what_the_next_try_takes_on(
    desk: Desk, engine: AsyncEngine
) -> None:
    await desk.driver.execute("UPDATE books SET title = id::text")
    before = await desk.picture()
    await desk.driver.execute(Proof('"books"', '"title"').add)
    waits = f"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {desk.driver.get_server_pid()}"
    async with open_desk(engine) as other:
        await other.driver.execute("BEGIN; LOCK TABLE books IN SHARE UPDATE EXCLUSIVE MODE")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: desk.do(lambda op: op.set_not_null("books", "title"), transactional=False))
            await eventually(lambda: other.value(waits))
            group.cancel_scope.cancel()
        await other.driver.execute("COMMIT")
    assert any("A CHECK may be left" in said for said in desk.said)
    async with open_desk(engine) as second:
        await second.do(lambda op: op.set_not_null("books", "title"), transactional=False)
        (line,) = [line for line in changes(before, await second.picture()).splitlines() if line.startswith("+")]
    assert '"attnotnull": true' in line


async def test_a_unique_constraint_that_rows_contradict_leaves_nothing(desk: Desk) -> None:
    before = await desk.picture()
    with pytest.raises(asyncpg.UniqueViolationError):
        await desk.do(lambda op: op.create_unique_constraint("uq", "books", ["n"]), transactional=False)
    assert not changes(before, await desk.picture())


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("(1, 1), (1, 1)", asyncpg.UniqueViolationError),
        ("(1, 1), (2, NULL)", asyncpg.CheckViolationError),
        ("(1, 1), (NULL, 2)", asyncpg.CheckViolationError),
    ],
)
async def test_a_primary_key_that_rows_contradict_leaves_nothing(desk: Desk, rows: str, error: type[Exception]) -> None:
    await desk.driver.execute(f"CREATE TABLE plain (a integer, b integer); INSERT INTO plain VALUES {rows}")
    before = await desk.picture()
    with pytest.raises(error):
        await desk.do(lambda op: op.create_primary_key("pk", "plain", ["a", "b"]), transactional=False)
    assert not changes(before, await desk.picture())
    assert desk.said == []


NOT_NULL_NOT_VALID: dict[str, Work] = {
    "set_not_null": lambda op: op.set_not_null("plain", "a"),
    "alter_column": lambda op: op.alter_column("plain", "a", nullable=False),
    "create_primary_key": lambda op: op.create_primary_key("pk", "plain", ["a"]),
}


@pytest.mark.parametrize("name", NOT_NULL_NOT_VALID)
async def test_not_null_that_is_not_valid_is_proved(desk: Desk, name: str) -> None:
    if await desk.value("SELECT current_setting('server_version_num')::integer < 180000"):
        pytest.skip("NOT NULL is no constraint of its own before PostgreSQL 18")
    await desk.driver.execute(
        "CREATE TABLE plain (a integer); INSERT INTO plain VALUES (NULL);"
        'ALTER TABLE plain ADD CONSTRAINT "a""b" NOT NULL a NOT VALID'
    )
    valid = "SELECT convalidated FROM pg_constraint WHERE conrelid = 'plain'::regclass AND contype = 'n'"
    with pytest.raises(asyncpg.NotNullViolationError):
        await desk.do(NOT_NULL_NOT_VALID[name], transactional=False)
    assert await desk.value(valid) is False
    await desk.driver.execute("UPDATE plain SET a = 1")
    await desk.do(NOT_NULL_NOT_VALID[name], transactional=False)
    assert await desk.value(valid) is True


async def test_a_foreign_key_that_rows_contradict_stays_not_valid_until_they_are_mended(desk: Desk) -> None:
    def add(op: object) -> object:
        return op.create_foreign_key("fk", "books", "authors", ["author_id"], ["id"])  # type: ignore[attr-defined]

    await desk.driver.execute("INSERT INTO books (id, author_id) VALUES (9, 99)")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await desk.do(add, transactional=False)  # type: ignore[arg-type]
    valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'fk'"
    assert await desk.value(valid) is False
    await desk.driver.execute("DELETE FROM books WHERE id = 9")
    await desk.do(add, transactional=False)  # type: ignore[arg-type]
    assert await desk.value(valid) is True


async def test_writes_go_on_while_a_constraint_is_validated(desk: Desk, engine: AsyncEngine) -> None:
    await desk.driver.execute("ALTER TABLE books ADD CONSTRAINT later CHECK (n < 100) NOT VALID")
    async with open_desk(engine) as writer:
        await writer.driver.execute("BEGIN; UPDATE books SET n = 5")
        await desk.do(lambda op: op.validate_constraint("later", "books"), transactional=False)
        await writer.driver.execute("COMMIT")
    assert await desk.value("SELECT convalidated FROM pg_constraint WHERE conname = 'later'") is True


async def test_a_lock_that_is_not_granted_is_asked_for_again(desk: Desk, engine: AsyncEngine) -> None:
    desk.lock_timeout = 0.05

    async def has_tried() -> bool:
        return any("not granted in time" in said for said in desk.said)

    async with open_desk(engine) as reader, anyio.create_task_group() as group:
        await reader.driver.execute("BEGIN; SELECT FROM books")
        group.start_soon(
            lambda: desk.do(lambda op: op.add_column("books", sa.Column("late", sa.Integer)), transactional=False)
        )
        await eventually(has_tried, deadline=30)
        await reader.driver.execute("COMMIT")
    assert await desk.value("SELECT count(late) FROM books") == 0


DAYS = f"""
CREATE TABLE days (day integer NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
ALTER TABLE days_1 ADD CONSTRAINT {check_name('"days_1"', '"days"')} CHECK (day >= 0 AND day < 10) NOT VALID
"""
"""With what an earlier try to detach it has left, so that what follows is the next to wait."""
ATTACHED = "SELECT array_agg(inhdetachpending) FROM pg_inherits WHERE inhparent = 'days'::regclass"


async def test_a_partition_that_is_read_is_asked_for_again_when_it_is_detached(desk: Desk, engine: AsyncEngine) -> None:
    await desk.driver.execute(DAYS)
    desk.lock_timeout = 0.05

    async def has_tried_again() -> bool:
        return sum("not granted in time" in said for said in desk.said) > 1

    async with open_desk(engine) as reader, open_desk(engine) as service, anyio.create_task_group() as group:
        await reader.driver.execute("BEGIN; SELECT FROM days_1")
        group.start_soon(lambda: desk.do(lambda op: op.detach_partition("days", "days_1"), transactional=False))
        await eventually(has_tried_again, deadline=30)
        await service.driver.execute("SELECT FROM days_1")
        await reader.driver.execute("COMMIT")
    assert await desk.value(ATTACHED) is None
    assert (
        await desk.value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'days_1'::regclass AND contype = 'c'")
        == 0
    )


async def waits_for_others(desk: Desk) -> bool:
    return any("open, or an old snapshot; waiting for it" in said for said in desk.said)


async def test_who_has_the_partitioned_table_open_is_waited_for_before_anything_is_detached(
    desk: Desk, engine: AsyncEngine
) -> None:
    await desk.driver.execute(DAYS)

    async with open_desk(engine) as reader, open_desk(engine) as service, anyio.create_task_group() as group:
        await reader.driver.execute("BEGIN; LOCK TABLE ONLY days IN ACCESS SHARE MODE")
        group.start_soon(lambda: desk.do(lambda op: op.detach_partition("days", "days_1"), transactional=False))
        await eventually(lambda: waits_for_others(desk), deadline=30)
        assert await service.value(ATTACHED) == [False]
        await reader.driver.execute("COMMIT")
    assert await desk.value(ATTACHED) is None


async def test_a_partition_that_is_half_detached_is_open_while_old_snapshots_are_waited_for(
    desk: Desk, engine: AsyncEngine
) -> None:
    await desk.driver.execute(DAYS)

    async with open_desk(engine) as reader, open_desk(engine) as service, anyio.create_task_group() as group:
        await reader.driver.execute("BEGIN; SELECT FROM days_1")
        await desk.driver.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await desk.driver.execute("ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY")
        await desk.driver.execute("RESET lock_timeout")
        assert await service.value(ATTACHED) == [True]
        await reader.driver.execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM authors")
        group.start_soon(lambda: desk.do(lambda op: op.detach_partition("days", "days_1"), transactional=False))
        await eventually(lambda: waits_for_others(desk), deadline=30)
        await service.driver.execute("SELECT FROM days_1")
        await reader.driver.execute("COMMIT")
    assert await desk.value(ATTACHED) is None


FEELINGS = """
CREATE SCHEMA other;
CREATE TABLE people (
    id integer PRIMARY KEY, mood mood NOT NULL DEFAULT 'sad', moods mood[] DEFAULT '{sad,happy}', n integer,
    loud text GENERATED ALWAYS AS (CASE WHEN mood = 'happy' THEN 'HAPPY' ELSE 'quiet' END) STORED,
    same mood GENERATED ALWAYS AS (mood) STORED
);
COMMENT ON COLUMN people.loud IS 'it''s';
COMMENT ON TYPE mood IS 'a mood';
ALTER TABLE people ADD CONSTRAINT mood_rule CHECK (mood <> 'sad' OR n > 0) NOT VALID;
COMMENT ON CONSTRAINT mood_rule ON people IS 'rule';
ALTER TABLE people ADD CONSTRAINT loud_once UNIQUE (loud, id);
CREATE INDEX ix_happy ON people (n) WHERE mood = 'happy';
COMMENT ON INDEX ix_happy IS 'only the happy';
CREATE INDEX ix_mood ON people (mood);
CREATE INDEX ix_loud ON people (loud);
CREATE UNIQUE INDEX ux_people_mood ON people (id, mood);
CREATE TABLE other.pets (id integer, owner integer, mood public.mood DEFAULT 'happy',
    FOREIGN KEY (owner, mood) REFERENCES people (id, mood));
CREATE TABLE logs (at date NOT NULL, mood mood) PARTITION BY RANGE (at);
CREATE TABLE logs_1 PARTITION OF logs DEFAULT;
ALTER TABLE logs_1 ALTER mood SET DEFAULT 'sad';
CREATE INDEX ix_logs_1 ON logs_1 (at) WHERE mood = 'sad';
ALTER TABLE logs_1 ADD CHECK (mood <> 'sad');
CREATE INDEX ix_logs ON logs (at) WHERE mood = 'happy';
CREATE TABLE notes (text text DEFAULT ('sad'::mood)::text, plain text DEFAULT 'sad',
    CHECK (text <> ('happy'::mood)::text),
    no_column boolean GENERATED ALWAYS AS ('sad'::mood = ANY ('{sad}'::mood[])) STORED);
CREATE INDEX ix_notes ON notes (text) WHERE 'sad'::mood <> 'happy';
CREATE STATISTICS of_notes ON text, ('sad'::mood > 'happy'::mood) FROM notes;
CREATE VIEW noted AS SELECT text, 'happy'::mood AS feeling FROM notes;
CREATE MATERIALIZED VIEW felt AS SELECT '{happy,sad}'::mood[] AS feelings;
CREATE POLICY ours ON notes USING ('sad'::mood IS NOT NULL);
CREATE RULE often AS ON DELETE TO notes WHERE 'sad'::mood IS NULL DO INSTEAD NOTHING;
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER sometimes BEFORE INSERT ON notes FOR EACH ROW WHEN ('sad'::mood IS NULL) EXECUTE FUNCTION pass();
INSERT INTO notes DEFAULT VALUES;
INSERT INTO people (id, mood, n) VALUES (1, 'happy', 1), (2, 'sad', 2);
INSERT INTO other.pets VALUES (1, 1, 'happy');
INSERT INTO logs VALUES ('2026-01-01', 'happy');
"""


@pytest.mark.parametrize("transactional", [True, False])
async def test_another_set_of_values_carries_all_that_leans_on_the_enum(desk: Desk, *, transactional: bool) -> None:
    await desk.driver.execute(FEELINGS)
    before = await desk.picture()
    await desk.do(lambda op: op.set_enum_values("mood", ["happy", "sad", "new"]), transactional=transactional)
    after = await desk.picture()
    assert {kind for kind in before if before[kind] != after[kind]} == {"types"}
    assert await desk.value("SELECT array_agg(mood::text || loud || same::text ORDER BY mood) FROM people") == [
        "happyHAPPYhappy",
        "sadquietsad",
    ]
    await desk.driver.execute("INSERT INTO people (id) VALUES (7)")
    assert await desk.value("SELECT mood::text || moods::text FROM people WHERE id = 7") == "sad{sad,happy}"
    assert (
        await desk.value("SELECT text || no_column || feeling || plain FROM noted JOIN notes USING (text)")
        == "sadtruehappysad"
    )
    assert await desk.value("SELECT count(*) FROM pg_type WHERE typname LIKE '%async\\_migrations%'") == 0
    others = "SELECT array_agg(name ORDER BY name) FROM (SELECT polname AS name FROM pg_policy UNION SELECT stxname"
    others += " FROM pg_statistic_ext UNION SELECT rulename FROM pg_rewrite UNION SELECT tgname FROM pg_trigger) AS o"
    others += " WHERE name IN ('of_notes', 'ours', 'often', 'sometimes')"
    assert await desk.value(others) == ["of_notes", "often", "ours", "sometimes"]


@pytest.mark.parametrize(
    "leaning",
    [
        "CREATE DOMAIN calm AS mood",
        "CREATE FUNCTION f(mood) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE pair AS (a mood)",
        "INSERT INTO people (id, mood) VALUES (8, 'ok')",
    ],
)
@pytest.mark.parametrize("transactional", [True, False])
async def test_what_cannot_be_carried_stops_the_change_as_a_whole(
    desk: Desk, leaning: str, *, transactional: bool
) -> None:
    await desk.driver.execute(FEELINGS)
    await desk.driver.execute(leaning)
    before = await desk.picture()
    with pytest.raises(asyncpg.PostgresError, match=r"cannot drop type mood |for enum mood:"):
        await desk.do(lambda op: op.remove_enum_value("mood", "ok"), transactional=transactional)
    assert not changes(before, await desk.picture())


async def test_a_generated_column_keeps_what_leans_on_it(desk: Desk) -> None:
    await desk.driver.execute(
        "ALTER TABLE books ADD COLUMN twice integer GENERATED ALWAYS AS (n * 2) STORED NOT NULL;"
        "COMMENT ON COLUMN books.twice IS 'two';"
        "ALTER TABLE books ADD CONSTRAINT even CHECK (twice % 2 = 0), ADD CONSTRAINT uq_twice UNIQUE (id, twice);"
        "CREATE INDEX ix_twice ON books (twice); CREATE TABLE refers (id integer, twice integer,"
        " CONSTRAINT to_twice FOREIGN KEY (id, twice) REFERENCES books (id, twice))"
    )
    before = await desk.picture()
    four = sa.Computed("n * 4", persisted=True)
    await desk.do(lambda op: op.alter_column("books", "twice", server_default=four), transactional=True)
    after = changes(before, await desk.picture()).splitlines()
    assert len(after) == 2
    assert all('"twice"' in line and line[2:].startswith("columns") for line in after)
    assert await desk.value("SELECT sum(twice) FROM books") == 12


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_column_that_others_are_generated_from_changes_its_type(desk: Desk, *, transactional: bool) -> None:
    await desk.driver.execute(
        "ALTER TABLE books ADD COLUMN twice bigint GENERATED ALWAYS AS (n * 2) STORED NOT NULL;"
        "CREATE INDEX ix_twice ON books (twice); COMMENT ON COLUMN books.twice IS 'two'"
    )
    before = await desk.picture()
    await desk.do(lambda op: op.alter_column("books", "n", type_=sa.BigInteger()), transactional=transactional)
    after = changes(before, await desk.picture()).splitlines()
    assert all('"attname": "n"' in line or '"attname": "twice"' in line for line in after)
    assert await desk.value("SELECT sum(twice) FROM books") == 6


@pytest.mark.parametrize("transactional", [True, False])
async def test_an_index_of_a_partitioned_table_is_built_and_dropped(desk: Desk, *, transactional: bool) -> None:
    await desk.driver.execute(FEELINGS)
    before = await desk.picture()
    for _ in range(1 if transactional else 2):
        await desk.do(lambda op: op.create_index("ix", "logs", ["mood", "at"]), transactional=transactional)
    assert await desk.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") is True
    await desk.do(lambda op: op.drop_index("ix", "logs"), transactional=transactional)
    assert not changes(before, await desk.picture())


async def test_an_enum_value_is_used_by_the_next_migration_only(desk: Desk) -> None:
    async with desk.op(transactional=True) as op:
        await op.add_enum_value("mood", "new", after="sad")
        with pytest.raises(asyncpg.UnsafeNewEnumValueUsageError):
            await op.create_check_constraint("c", "books", "'new'::mood <> 'sad'")
        await desk.driver.execute("ROLLBACK; BEGIN")
        await op.add_enum_value("mood", "new")
    await desk.do(lambda op: op.create_check_constraint("c", "books", "'new'::mood <> 'sad'"), transactional=True)


async def test_a_domain_follows_its_rules(desk: Desk) -> None:
    async with desk.op(transactional=True) as op:
        await op.create_domain("word", sa.String(20), collation="C", check=text("VALUE <> 'a:b'").bindparams())
        await op.add_column("books", sa.Column("word", pg.DOMAIN("word", sa.String(20))))
        await op.set_comment("domain", "word", "it's")
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.driver.execute("UPDATE books SET word = 'a:b'")


async def test_numbers_of_an_identity_go_on_behind_the_rows_both_ways(desk: Desk) -> None:
    await desk.driver.execute("CREATE TABLE down (n integer); INSERT INTO down VALUES (-5)")
    async with desk.op(transactional=True) as op:
        await op.alter_column("down", "n", server_default=sa.Identity(increment=-1))
        await op.alter_column("books", "id", server_default=sa.Identity(start=100))
        await op.execute("INSERT INTO down DEFAULT VALUES")
        await op.execute("INSERT INTO books DEFAULT VALUES")
    assert await desk.value("SELECT min(n) FROM down") == -6
    assert await desk.value("SELECT max(id) FROM books") == 100


async def test_numbers_that_go_on_wait_for_rows_that_are_not_committed(desk: Desk, engine: AsyncEngine) -> None:
    await desk.driver.execute("CREATE TABLE plain (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)")
    waits = f"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {desk.driver.get_server_pid()}"
    async with open_desk(engine) as writer, open_desk(engine) as other, anyio.create_task_group() as group:
        await writer.driver.execute("BEGIN; INSERT INTO plain VALUES (DEFAULT), (7)")
        group.start_soon(lambda: desk.do(lambda op: op.restart_identity("plain", "id"), transactional=False))
        await eventually(lambda: other.value(waits))
        await writer.driver.execute("COMMIT")
    assert await desk.value("INSERT INTO plain DEFAULT VALUES RETURNING id") == 8


@pytest.mark.parametrize(
    ("identity", "before", "number"),
    [
        ("", "INSERT INTO plain VALUES (5)", 6),
        ("", "INSERT INTO plain DEFAULT VALUES", 2),
        ("", "INSERT INTO plain DEFAULT VALUES; DELETE FROM plain", 2),
        ("(START 100)", "INSERT INTO plain VALUES (5)", 100),
        ("(START 100)", "INSERT INTO plain VALUES (100)", 101),
        ("(START 100)", "", 100),
        ("(INCREMENT 10)", "INSERT INTO plain VALUES (DEFAULT), (DEFAULT), (5)", 21),
        ("(INCREMENT 10)", "INSERT INTO plain VALUES (DEFAULT), (DEFAULT), (12)", 13),
        ("(INCREMENT -1)", "INSERT INTO plain VALUES (DEFAULT), (-5), (3)", -6),
        ("(INCREMENT -1)", "INSERT INTO plain VALUES (DEFAULT), (DEFAULT), (3)", -3),
    ],
)
@pytest.mark.parametrize("transactional", [True, False])
async def test_numbers_go_on_behind_the_rows_and_behind_what_was_given(
    desk: Desk, identity: str, before: str, number: int, *, transactional: bool
) -> None:
    made = f'CREATE TABLE plain ("a b" integer GENERATED BY DEFAULT AS IDENTITY {identity})'
    await desk.driver.execute(f"{made}; {before}")
    for _ in range(2):
        await desk.do(lambda op: op.restart_identity("plain", "a b"), transactional=transactional)
    assert await desk.value('INSERT INTO plain DEFAULT VALUES RETURNING "a b"') == number
    await desk.do(lambda op: op.restart_identity("plain", "a b", -3 if number < 0 else 1), transactional=transactional)
    assert await desk.value('INSERT INTO plain DEFAULT VALUES RETURNING "a b"') == (-3 if number < 0 else 1)
