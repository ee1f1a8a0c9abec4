"""Any name, any text: operations quote what people and programs come up with."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.desk import open_desk
from tests.support.pictures import changes

LETTERS = st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
TEXTS = st.text(LETTERS, max_size=30) | st.sampled_from(["%(x)s", ":a", "::b", "'", '"', "\\", "$$", "--", "/*", "{}"])
# SQLAlchemy takes a name that ends with a newline for one that needs no quotes.
WORDS = st.text(LETTERS, min_size=1, max_size=15).filter(lambda name: not name.endswith("\n"))
NAMES = WORDS | st.sampled_from(["a.b", "select", "A", " ", "%s", '"', "a:b", "é" * 31])


async def come_and_go(url: str, names: list[str], text: str, *, transactional: bool) -> None:
    """Make a thing of each kind under these names, with this text, and take all away again."""
    table, column, other, schema = names
    engine = create_async_engine(url, poolclass=NullPool)
    async with open_desk(engine) as desk:
        before = await desk.picture()
        async with desk.op(transactional=transactional) as op:
            await op.create_schema(f"s{schema}"[:20])
            where = f"s{schema}"[:20]
            made = await op.create_table(
                table,
                sa.Column(column, sa.Text, primary_key=True, server_default=text, comment=text),
                schema=where,
                comment=text,
            )
            await op.add_column(table, sa.Column(f"{other}2", sa.Text, server_default=text), schema=where)
            await op.bulk_insert(made, [{column: text}])
            await op.create_enum(f"{table}e", [column, f"{other}2"], schema=where, comment=text)
            await op.create_check_constraint(f"{column}c", table, sa.column(column) == text, schema=where, comment=text)
            await op.create_unique_constraint(f"{column}u", table, [f"{other}2"], schema=where)
            await op.set_not_null(table, f"{other}2", schema=where)
            await op.create_foreign_key(
                f"{column}f", table, table, [f"{other}2"], [column], schema=where, referent_schema=where
            )
            await op.rename_column(table, column, f"{column}3", schema=where)
            await op.alter_column(table, f"{column}3", server_default=f"{text}!", comment=f"{text}?", schema=where)
            found = await op.execute(sa.select(sa.table(table, sa.column(f"{column}3"), schema=where)))
            assert found.scalar_one() == text
            await op.drop_table(table, schema=where)
            await op.drop_enum(f"{table}e", schema=where)
            await op.drop_schema(where)
        assert not changes(before, await desk.picture())
    await engine.dispose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=4, max_size=4), text=TEXTS, transactional=st.booleans())
def test_whatever_a_thing_is_called_it_comes_and_goes(
    database_url: str, names: list[str], text: str, *, transactional: bool
) -> None:
    asyncio.run(come_and_go(database_url, names, text, transactional=transactional))


NOT_NULLS = """SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint
WHERE contype = 'n' AND connamespace = 'public'::regnamespace"""


@pytest.mark.parametrize("transactional", [True, False])
async def test_names_of_not_null_follow_where_postgresql_chose_them(
    engine: AsyncEngine, *, transactional: bool
) -> None:
    long, wide = "t" * 63, "ü" * 31
    columns = f'"a b" int NOT NULL, "{wide}" int NOT NULL, own int CONSTRAINT mine NOT NULL'
    async with open_desk(engine) as desk:
        await desk.driver.execute(f'CREATE TABLE "{long}" ({columns}); CREATE TABLE kid () INHERITS ("{long}")')
        async with desk.op(transactional=transactional) as op:
            await op.rename_column(long, "a b", "x" * 40)
            await op.rename_column(long, "own", "owned")
            await op.rename_table(long, "short")
            await op.rename_column("short", wide, "ö" * 20)
        renamed = await desk.value(NOT_NULLS)
        # The same table under its new names at once.
        columns = f'{"x" * 40} int NOT NULL, "{"ö" * 20}" int NOT NULL, owned int CONSTRAINT mine NOT NULL'
        await desk.driver.execute(
            f"DROP TABLE short CASCADE; CREATE TABLE short ({columns}); CREATE TABLE kid () INHERITS (short)"
        )
        assert renamed == await desk.value(NOT_NULLS)
