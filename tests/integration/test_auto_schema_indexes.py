"""Missing indexes, and those whose name stands for something else."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.auto_schema import AutoSchemaMigration
from tests.integration.test_auto_schema import NOTHING, column, execute, messages, run, warnings


def users(*parts: Any) -> sa.MetaData:
    """Return models of a table with a few columns, and `parts`."""
    metadata = sa.MetaData()
    columns: list[sa.Column[Any]] = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("tags", sa.ARRAY(sa.Text)),
    ]
    sa.Table("users", metadata, *columns, *parts)
    return metadata


@pytest.fixture
async def stands(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine on a database in which the table stands, without an index."""
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, name TEXT, tags TEXT[])")
    return engine


INDEXES: list[tuple[sa.Index, str]] = [
    (sa.Index("ix", "name"), "btree (name)"),
    (sa.Index("ix", "name", "id", unique=True), "UNIQUE INDEX ix ON public.users USING btree (name, id)"),
    (sa.Index("ix", sa.text("lower(name)")), "btree (lower(name))"),
    (sa.Index("ix", sa.func.upper(sa.column("name"))), "btree (upper(name))"),
    (sa.Index("ix", sa.column("name").desc().nulls_last()), "btree (name DESC NULLS LAST)"),
    (sa.Index("ix", "tags", postgresql_using="gin"), "USING gin (tags)"),
    (sa.Index("ix", "name", postgresql_where=sa.text("id > 5")), "WHERE (id > 5)"),
    (sa.Index("ix", "name", postgresql_include=["id"]), "(name) INCLUDE (id)"),
    (sa.Index("ix", "name", postgresql_ops={"name": "text_pattern_ops"}), "(name text_pattern_ops)"),
    (sa.Index("ix", "name", postgresql_with={"fillfactor": 50}), "WITH (fillfactor='50')"),
    (sa.Index("ix", "name", unique=True, postgresql_nulls_not_distinct=True), "NULLS NOT DISTINCT"),
    (sa.Index("ix", "name", postgresql_concurrently=True), "btree (name)"),
]


@pytest.mark.parametrize(("index", "definition"), INDEXES, ids=[definition for _, definition in INDEXES])
async def test_an_index_is_created_as_the_compiler_writes_it_and_known_again(
    stands: AsyncEngine, caplog: pytest.LogCaptureFixture, index: sa.Index, definition: str
) -> None:
    metadata = users(sa.Index(index.name, *index.expressions, unique=index.unique, **index.dialect_kwargs))
    caplog.set_level("INFO", "async_migrations")

    assert await run(stands, metadata) == {**NOTHING, "indexes_created": 1}

    assert definition in (await column(stands, "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix'"))[0]
    assert await run(stands, metadata) == NOTHING
    assert messages(caplog) == ["Creating index ix on users", "✓ Created index: ix"]


async def test_names_follow_the_convention_and_are_cut_as_sqlalchemy_cuts_them(stands: AsyncEngine) -> None:
    metadata = sa.MetaData(naming_convention={"ix": "ix_" + "very_" * 12 + "%(table_name)s_%(column_0_name)s"})
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, index=True))

    assert await run(stands, metadata) == {**NOTHING, "indexes_created": 1}

    (name,) = await AutoSchemaMigration(stands, metadata).get_existing_indexes("users")
    assert name.startswith("ix_very_")
    assert len(name) < 64
    assert await run(stands, metadata) == NOTHING


@pytest.mark.parametrize(
    ("existing", "sentence"),
    [
        (
            "CREATE UNIQUE INDEX ix ON users (name)",
            "unique index ix of public.users is btree (name) instead of index btree (name)",
        ),
        ("CREATE INDEX ix ON users (id)", "index ix of public.users is btree (id) instead of index btree (name)"),
        ("CREATE INDEX ix ON users (name, id)", "btree (name, id) instead of"),
        ("CREATE INDEX ix ON users USING hash (name)", "hash (name) instead of"),
        ("CREATE INDEX ix ON users (name) INCLUDE (id)", "btree (name) INCLUDE (id) instead of"),
        ("CREATE INDEX ix ON users (name) WHERE id > 5", "btree (name) WHERE (id > 5) instead of"),
        ("CREATE INDEX ix ON other (x)", "was not created: other has an index of this name"),
        ("CREATE SEQUENCE ix", "was not created: ix is a sequence"),
        ("CREATE VIEW ix AS SELECT 1", "was not created: ix is a view"),
        ("CREATE TABLE ix ()", "was not created: ix is a table"),
    ],
)
async def test_a_name_that_stands_for_something_else_is_told(
    stands: AsyncEngine, caplog: pytest.LogCaptureFixture, existing: str, sentence: str
) -> None:
    await execute(stands, "CREATE TABLE other (x INTEGER)", existing)

    assert await run(stands, users(sa.Index("ix", "name"))) == NOTHING

    assert len(warnings(caplog)) == 1
    assert sentence in warnings(caplog)[0]


async def test_an_invalid_index_is_told(stands: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    await execute(
        stands,
        "CREATE INDEX ix ON users (name)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass",
    )

    assert await run(stands, users(sa.Index("ix", "name"))) == NOTHING

    assert len(warnings(caplog)) == 1
    assert "index ix of public.users is INVALID: its build did not end" in warnings(caplog)[0]


async def test_a_name_taken_elsewhere_is_told_for_a_new_table_too(
    stands: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(stands, "CREATE TABLE other (x INTEGER)", "CREATE INDEX ix ON other (x)", "DROP TABLE users")

    assert await run(stands, users(sa.Index("ix", "name"))) == {**NOTHING, "tables_created": 1}

    assert [sentence.partition(":")[0] for sentence in warnings(caplog)] == ["The index ix on users was not created"]


@pytest.mark.parametrize(("rows", "told"), [(100_001, 1), (100_000, 0), (-1, 0)])
async def test_an_index_on_a_large_table_is_built_with_a_warning(
    stands: AsyncEngine, caplog: pytest.LogCaptureFixture, rows: int, told: int
) -> None:
    await execute(stands, f"UPDATE pg_class SET reltuples = {rows} WHERE oid = 'users'::regclass")

    assert await run(stands, users(sa.Index("ix", "name"))) == {**NOTHING, "indexes_created": 1}

    sentence = (
        "users has about 100,001 rows, and nobody can write to it while the index ix is built. To build it without "
        "that wait, put self.op.create_index into a migration with transactional = False that runs before this one."
    )
    assert warnings(caplog) == [sentence] * told


async def test_a_duplicate_that_a_unique_index_finds_fails_the_run(stands: AsyncEngine) -> None:
    await execute(stands, "INSERT INTO users (name) VALUES ('ada'), ('ada')")

    with pytest.raises(sa.exc.IntegrityError, match="could not create unique index"):
        await run(stands, users(sa.Column("more", sa.Text), sa.Index("ux", "name", unique=True)))

    assert "more" not in await AutoSchemaMigration(stands, sa.MetaData()).get_existing_columns("users")
