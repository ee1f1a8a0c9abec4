"""A second try of a migration outside a transaction: what was finished is left out, whatever came after it."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import MetaData

from async_migrations import MigrationFailedError
from tests.support.history import History

OUTSIDE = "transactional = False"
SHOP = """
CREATE TABLE t (id int, price int, a text, b text);
INSERT INTO t VALUES (1, 10, 'was a', 'was b'), (1, 20, 'was a', 'was b');
"""
UNIQUE = 'await self.op.create_unique_constraint("uq", "t", ["id"])'
"""What the rows contradict until `MENDED`."""
MENDED = "DELETE FROM t WHERE price = 20"

WORK: dict[str, tuple[str, str, Sequence[tuple[Any, ...]]]] = {
    "a column in the place of another": (
        """
        await self.op.add_column("t", Column("price_new", BigInteger))
        async def fill():
            await self.execute("UPDATE t SET price_new = price")
        await self.step("fill", fill)
        await self.op.drop_column("t", "price")
        await self.op.rename_column("t", "price_new", "price")
        """,
        "SELECT price FROM t",
        [(10,)],
    ),
    "two columns that change their names": (
        """
        await self.op.rename_column("t", "a", "c")
        await self.op.rename_column("t", "b", "a")
        await self.op.rename_column("t", "c", "b")
        """,
        "SELECT a, b FROM t",
        [("was b", "was a")],
    ),
    "a column that is changed behind its creation": (
        """
        await self.op.add_column("t", Column("slug", Text))
        await self.execute("UPDATE t SET slug = 'x'")
        await self.op.set_not_null("t", "slug")
        """,
        "SELECT slug FROM t",
        [("x",)],
    ),
    "a table that is filled and changed behind its creation": (
        """
        books = await self.op.create_table("books", Column("id", Integer))
        await self.op.bulk_insert(books, [{"id": 1}, {"id": 2}])
        await self.op.create_unique_constraint("uq_books", "books", ["id"])
        assert await self.op.bulk_insert(books, [{"id": 3}]) == 1
        """,
        "SELECT id FROM books ORDER BY id",
        [(1,), (2,), (3,)],
    ),
    "a table that is made anew": (
        """
        await self.op.drop_table("old")
        await self.op.create_table("old", Column("id", Integer))
        await self.execute("INSERT INTO old VALUES (1)")
        """,
        "SELECT DISTINCT id FROM old",
        [(1,)],
    ),
    "the same call twice": (
        """
        await self.op.drop_column("t", "a")
        await self.op.add_column("t", Column("a", Integer))
        await self.op.drop_column("t", "a")
        """,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'a'",
        [(0,)],
    ),
    "the same call in a step and behind it": (
        """
        async def once():
            await self.op.drop_column("t", "a")
        await self.step("once", once)
        await self.op.add_column("t", Column("a", Integer))
        """
        + UNIQUE
        + """
        await self.op.drop_column("t", "a")
        """,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'a'",
        [(0,)],
    ),
}


@pytest.mark.parametrize("name", WORK)
async def test_a_second_try_leaves_out_what_the_first_has_finished(history: History, name: str) -> None:
    work, query, rows = WORK[name]
    await history.do(SHOP + "CREATE TABLE old (x text);")
    body = "\n".join(line.strip() if not line.startswith(" " * 12) else line[8:] for line in work.splitlines())
    history.python(
        "001_a", f"{body}\n{UNIQUE}", top="from sqlalchemy import BigInteger, Column, Integer, Text", attributes=OUTSIDE
    )
    with pytest.raises(MigrationFailedError, match="23505"):
        await history.runner().run_migrations()
    await history.do(MENDED)
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows(query) == rows


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('await self.op.drop_column("t", "prize")', "42703"),
        ('await self.op.drop_table("tt")', "42P01"),
        ('await self.op.drop_constraint("uq", "t")', "42704"),
        ('await self.op.rename_table("tt", "t")', "42P01"),
    ],
)
async def test_what_is_missing_at_the_first_try_is_a_mistake(history: History, body: str, code: str) -> None:
    await history.do(SHOP)
    history.python("001_a", body, attributes=OUTSIDE)
    with pytest.raises(MigrationFailedError, match=code):
        await history.runner().run_migrations()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("attributes", ["", OUTSIDE])
@pytest.mark.parametrize(
    "call",
    [
        "self.execute('SELECT 1')",
        "self.op.drop_table('t')",
        "self.run_sync(print)",
        "self.step('s', self.upgrade)",
        "AutoSchemaMigration(self.engine, self.base).run()",
    ],
)
async def test_a_call_without_await_fails_the_migration(history: History, call: str, attributes: str) -> None:
    path = history.python("001_a", f"await self.execute('CREATE TABLE b (x int)')\n{call}", attributes=attributes)
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if call in text)
    what = call.rpartition("(")[0].rpartition(".")[2]
    with pytest.raises(MigrationFailedError, match=rf"Without `await` .* by {what}\(\), called in line {line}\."):
        await history.runner(MetaData()).run_migrations()
    assert await history.exists("b") is bool(attributes)


async def test_two_steps_of_one_name_are_refused(history: History) -> None:
    body = "for n in range(2):\n    await self.step('batch', lambda: self.execute('SELECT 1'))"
    history.python("001_a", body, attributes=OUTSIDE)
    with pytest.raises(MigrationFailedError, match="Two steps are called 'batch'"):
        await history.runner().run_migrations()
