"""Operations outside a transaction whose connection is cut: the second try ends where the first would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.conftest import MakeDatabase
from tests.support.desk import Desk, Work, open_desk
from tests.support.pictures import changes
from tests.support.proxy import Action, Fault, WireProxy
from tests.support.waiting import eventually
from tests.support.wire import Message, Side

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE authors (id integer PRIMARY KEY, name text);
CREATE TABLE books (id integer, author_id integer, title text, mood mood DEFAULT 'sad', price text DEFAULT '1');
INSERT INTO authors SELECT i, 'author ' || i FROM generate_series(1, 5) AS i;
INSERT INTO books SELECT i, i % 5 + 1, 'title ' || i, 'happy', i::text FROM generate_series(1, 50) AS i;
CREATE TABLE days (day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
"""

COMPOSITE: dict[str, Work] = {
    "a table": lambda op: op.create_table(
        "shops",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Enum("big", "small", name="kind"), index=True, comment="c"),
        sa.Column("author_id", sa.Integer, sa.ForeignKey("authors.id")),
    ),
    "a column": lambda op: op.add_column(
        "books",
        sa.Column("editor_id", sa.Integer, sa.ForeignKey("authors.id"), unique=True, index=True, comment="c"),
    ),
    "a check": lambda op: op.create_check_constraint("ck", "books", "id > 0", comment="c"),
    "a foreign key": lambda op: op.create_foreign_key("fk", "books", "authors", ["author_id"], ["id"], comment="c"),
    "a unique constraint": lambda op: op.create_unique_constraint("uq", "books", ["title"], comment="c"),
    "a primary key": lambda op: op.create_primary_key("pk", "books", ["id", "author_id"], comment="c"),
    "not null": lambda op: op.set_not_null("books", "title"),
    "a converted type": lambda op: op.alter_column(
        "books",
        "price",
        type_=sa.Integer(),
        postgresql_using="price::integer * 100",
        nullable=False,
        comment="cents",
        new_column_name="cents",
    ),
    "enum values": lambda op: op.remove_enum_value("mood", "happy", replace_with="ok"),
    "a detached partition": lambda op: op.detach_partition("days", "days_2025"),
}

ROWS = "SELECT md5(string_agg(to_jsonb(b)::text, ',' ORDER BY b.id)) FROM books AS b"


@asynccontextmanager
async def desk_at(url: str) -> AsyncIterator[Desk]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with open_desk(engine) as desk:
        yield desk
    await engine.dispose()


class Cutter:
    """Cuts a connection right after its nth query has passed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0
        self.proxy: WireProxy | None = None

    async def __call__(self, message: Message) -> None:
        if self.proxy is not None and message.side is Side.CLIENT and message.kind == "Q":
            self.seen += 1
            if self.seen == self.number:
                self.proxy.arm(Fault(message.index, Action.RESET))


async def is_cut(url: str, work: Work, number: int) -> bool:
    """Work through a proxy that cuts the connection at its nth query; tell whether it came to that."""
    host, cutter = sa.make_url(url), Cutter(number)
    async with WireProxy(host.host or "", host.port or 0, on_message=cutter) as proxy:
        engine = create_async_engine(proxy.url(url), poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            pid = driver.get_server_pid()
            cutter.proxy = proxy
            try:
                await Desk(connection, driver).do(work, transactional=False)
            except Exception:
                assert driver.is_closed()
                await connection.invalidate()
        await engine.dispose()
    async with desk_at(url) as desk:
        await eventually(lambda: desk.value(f"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})"))
    return proxy.struck.is_set()


@pytest.mark.parametrize("name", COMPOSITE)
async def test_a_cut_at_any_query_leaves_what_a_second_try_completes(name: str, make_database: MakeDatabase) -> None:
    work = COMPOSITE[name]
    template = await make_database()
    async with desk_at(template) as desk:
        await desk.driver.execute(SHOP)
    name_of_template = template.rpartition("/")[2]
    whole = await make_database(template=name_of_template)
    async with desk_at(whole) as desk:
        await desk.do(work, transactional=False)
        wanted, rows = await desk.picture(), await desk.value(ROWS)
    for number in range(1, 100):
        url = await make_database(template=name_of_template)
        struck = await is_cut(url, work, number)
        async with desk_at(url) as desk:
            await desk.do(work, transactional=False)
            assert not changes(wanted, await desk.picture()), f"cut at query {number}"
            assert await desk.value(ROWS) == rows, f"cut at query {number}"
        if not struck:
            break
    assert number > 2
