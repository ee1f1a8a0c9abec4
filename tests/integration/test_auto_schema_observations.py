"""What auto schema sees and must not do is told once, and nothing is told that is not so."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.test_auto_schema import NOTHING, column, execute, run, warnings


def users(*parts: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *parts)
    return metadata


async def told(engine: AsyncEngine, caplog: pytest.LogCaptureFixture, table: str, *parts: Any) -> list[str]:
    await execute(engine, f"CREATE TABLE users (id SERIAL PRIMARY KEY, {table})")
    caplog.set_level("INFO", "async_migrations")
    assert await run(engine, users(*parts)) == NOTHING
    return caplog.messages


@pytest.mark.parametrize(
    ("live", "type_", "sentence"),
    [
        ("INTEGER", sa.BigInteger(), "integer in the database and BIGINT in the models"),
        ("VARCHAR(50)", sa.String(100), "character varying(50) in the database and VARCHAR(100)"),
        ("VARCHAR(50)", sa.String(), "character varying(50) in the database and VARCHAR in"),
        ("VARCHAR", sa.String(50), "character varying in the database and VARCHAR(50)"),
        ("TEXT", sa.String(), "text in the database and VARCHAR"),
        ("NUMERIC(10, 2)", sa.Numeric(10, 3), "numeric(10,2) in the database and NUMERIC(10, 3)"),
        ("NUMERIC(10, 2)", sa.Numeric(10), "numeric(10,2) in the database and NUMERIC(10)"),
        ("TIMESTAMP", sa.DateTime(timezone=True), "timestamp without time zone in the database"),
        ("TIMESTAMP(3)", pg.TIMESTAMP(precision=6), "timestamp(3) without time zone in the database"),
        ("CHAR(5)", sa.CHAR(6), "character(5) in the database and CHAR(6)"),
        ("BIT(5)", pg.BIT(), "bit(5) in the database and BIT"),
        ("INTERVAL YEAR TO MONTH", sa.Interval(), "interval year to month in the database and INTERVAL"),
        ("REAL", sa.Float(), "real in the database and FLOAT"),
        ("TEXT", sa.Enum("a", name="kind"), "text in the database and kind"),
        ("INTEGER[]", sa.ARRAY(sa.BigInteger), "integer[] in the database and BIGINT[]"),
        ("JSON", pg.JSONB(), "json in the database and JSONB"),
    ],
)
async def test_another_type_is_told_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, live: str, type_: Any, sentence: str
) -> None:
    messages = await told(engine, caplog, f"value {live}", sa.Column("value", type_))

    mine = [message for message in messages if "type:" not in message]
    assert len(mine) == 1
    assert mine[0].startswith("The column users.value is ")
    assert sentence in mine[0]
    assert "ALTER TABLE users ALTER COLUMN value TYPE" in mine[0]
    live_type = await column(
        engine,
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'users'::regclass AND attname = 'value'",
    )
    assert live_type[0] in mine[0]


@pytest.mark.parametrize(
    ("live", "type_"),
    [
        ("FLOAT8", sa.Float(53)),
        ("DECIMAL(10)", sa.Numeric(10, 0)),
        ("INT[][]", sa.ARRAY(sa.Integer, dimensions=1)),
        ("BPCHAR(3)", sa.CHAR(3)),
        ("CHARACTER VARYING(3)[]", sa.ARRAY(sa.String(3))),
        ("TIMESTAMPTZ(3)", pg.TIMESTAMP(timezone=True, precision=3)),
        ('VARCHAR(7) COLLATE "C"', sa.String(7)),
        ("VARCHAR(7)", sa.String(7, collation="C")),
        ("TEXT DEFAULT 'x'", sa.Text()),
    ],
)
async def test_the_same_type_by_another_name_is_not_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, live: str, type_: Any
) -> None:
    assert await told(engine, caplog, f"value {live}", sa.Column("value", type_)) == []


async def test_a_type_that_postgresql_cannot_read_is_not_compared(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(sa.types.UserDefinedType[str]):
        def get_col_spec(self, **_: Any) -> str:
            return "text (,) strange"

    assert await told(engine, caplog, "value TEXT", sa.Column("value", Strange())) == []


async def test_nullability_is_told_both_ways(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    messages = await told(
        engine,
        caplog,
        "a TEXT, b TEXT NOT NULL",
        sa.Column("a", sa.Text, nullable=False),
        sa.Column("b", sa.Text),
    )

    assert [message.partition(":")[0] for message in messages] == [
        "The column users.a may be NULL in the database and is NOT NULL in the models",
        "The column users.b is NOT NULL in the database and nullable in the models",
    ]
    assert [message.rpartition(": ")[2] for message in messages] == [
        "ALTER TABLE users ALTER COLUMN a SET NOT NULL",
        "ALTER TABLE users ALTER COLUMN b DROP NOT NULL",
    ]


async def test_a_column_that_the_models_have_lost_is_told_and_kept(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told(engine, caplog, 'legacy TEXT, "Older; one" INTEGER')

    assert [message.partition(":")[0] for message in messages] == [
        "The column users.legacy is in the database and not in the models",
        "The column users.Older; one is in the database and not in the models",
    ]
    assert await column(
        engine,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped",
    ) == [3]


@pytest.mark.parametrize(
    ("part", "statement"),
    [
        (sa.UniqueConstraint("a", "b"), "ALTER TABLE users ADD UNIQUE (a, b)"),
        (sa.UniqueConstraint("a", name="one"), "ALTER TABLE users ADD CONSTRAINT one UNIQUE (a)"),
        (sa.CheckConstraint("a > 0", name="positive"), "ALTER TABLE users ADD CONSTRAINT positive CHECK (a > 0)"),
        (
            sa.ForeignKeyConstraint(["a"], ["users.id"], ondelete="CASCADE"),
            "ALTER TABLE users ADD FOREIGN KEY(a) REFERENCES users (id) ON DELETE CASCADE",
        ),
        (
            pg.ExcludeConstraint(("a", "="), name="lonely", using="btree"),
            "ALTER TABLE users ADD CONSTRAINT lonely EXCLUDE USING btree (a WITH =)",
        ),
    ],
    ids=["unique", "named unique", "check", "foreign key", "exclude"],
)
async def test_a_constraint_among_old_columns_is_told_with_its_statement(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, part: Any, statement: str
) -> None:
    metadata = users(sa.Column("a", sa.Integer), sa.Column("b", sa.Integer), part)
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, a INTEGER, b INTEGER)")

    assert await run(engine, metadata) == NOTHING

    (sentence,) = warnings(caplog)
    assert sentence.startswith("A constraint of users is in the models and not in the database: left out")
    assert sentence.endswith(statement)
    await execute(engine, statement)
    caplog.clear()
    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_a_check_of_a_column_is_told_with_its_statement(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    check = sa.CheckConstraint("a > 0", name="positive")

    messages = await told(engine, caplog, "a INTEGER", sa.Column("a", sa.Integer, check))

    assert [message.rpartition(": ")[2] for message in messages] == [
        "ALTER TABLE users ADD CONSTRAINT positive CHECK (a > 0)"
    ]


async def test_what_serves_as_a_constraint_under_another_name_is_not_missing(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told(
        engine,
        caplog,
        "a INTEGER CONSTRAINT other_name UNIQUE REFERENCES users, b INTEGER, c INTEGER,"
        " CONSTRAINT pair UNIQUE (c, b), CHECK (a > 0)",
        sa.Column("a", sa.ForeignKey("users.id", name="key"), unique=True),
        sa.Column("b", sa.Integer),
        sa.Column("c", sa.Integer),
        sa.UniqueConstraint("b", "c", name="together"),
        sa.UniqueConstraint("id"),
        sa.CheckConstraint("a > 0"),
    )

    assert messages == []


async def test_a_primary_key_that_a_table_has_not_is_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TABLE users (id INTEGER NOT NULL)")

    assert await run(engine, users()) == NOTHING

    assert [message.rpartition(": ")[2] for message in warnings(caplog)] == ["ALTER TABLE users ADD PRIMARY KEY (id)"]


async def test_a_foreign_key_to_a_table_of_other_models_is_nothing_to_tell(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told(
        engine,
        caplog,
        "a INTEGER, b INTEGER",
        sa.Column("a", sa.Integer, sa.ForeignKey("elsewhere.id")),
        sa.Column("b", sa.ForeignKey("elsewhere.id")),
    )

    assert messages == []


async def test_a_partial_unique_index_is_no_unique_constraint(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(
        engine,
        "CREATE TABLE users (id SERIAL PRIMARY KEY, a INTEGER)",
        "CREATE UNIQUE INDEX partly ON users (a) WHERE id > 5",
    )

    await run(engine, users(sa.Column("a", sa.Integer, unique=True)))

    assert [message.rpartition(": ")[2] for message in warnings(caplog)] == ["ALTER TABLE users ADD UNIQUE (a)"]


async def test_a_label_that_an_enum_lacks_is_told_with_the_statement_that_adds_it(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TYPE \"Mood\" AS ENUM ('ok', 'gone')")

    messages = await told(engine, caplog, 'mood "Mood"', sa.Column("mood", sa.Enum("ok", "it's new", name="Mood")))

    assert len(messages) == 1
    assert 'The enum Mood lacks the label "it\'s new" of the models' in messages[0]
    statement = messages[0].rpartition(": ")[2]
    assert statement == "ALTER TYPE \"Mood\" ADD VALUE 'it''s new'"
    await execute(engine, statement)
    caplog.clear()
    await run(engine, users(sa.Column("mood", sa.Enum("ok", "it's new", name="Mood"))))
    assert caplog.messages == []


async def test_a_type_of_this_name_that_is_no_enum_is_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE DOMAIN mood AS TEXT")

    messages = await told(engine, caplog, "mood mood", sa.Column("mood", sa.Enum("ok", name="mood")))

    assert messages == ["The type mood exists in the database and is not an enum, as the models say: left as it is."]


async def test_all_is_told_again_in_the_next_run_but_not_twice_in_one(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    first = await told(engine, caplog, "old TEXT, a INTEGER", sa.Column("a", sa.Text, index=False, nullable=False))
    caplog.clear()

    await run(engine, users(sa.Column("a", sa.Text, nullable=False)))

    assert caplog.messages == first
    assert len(set(first)) == len(first) == 3
