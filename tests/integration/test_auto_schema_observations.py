"""What auto schema sees and must not do is told once, and nothing is told that is not so."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.errors import AutoSchemaError
from tests.integration.test_auto_schema import NOTHING, column, execute, messages, run, warnings

DIFFERS = "The database differs from the models: "


def users(*parts: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *parts)
    return metadata


async def told(engine: AsyncEngine, caplog: pytest.LogCaptureFixture, table: str, *parts: Any) -> list[str]:
    await execute(engine, f"CREATE TABLE users (id SERIAL PRIMARY KEY, {table})")
    caplog.set_level("INFO", "async_migrations")
    assert await run(engine, users(*parts)) == NOTHING
    return messages(caplog)


@pytest.mark.parametrize(
    ("live", "type_", "sentence"),
    [
        ("INTEGER", sa.BigInteger(), "is integer instead of bigint"),
        ("VARCHAR(50)", sa.String(100), "is character varying(50) instead of character varying(100)"),
        ("VARCHAR(50)", sa.String(), "is character varying(50) instead of character varying."),
        ("VARCHAR", sa.String(50), "is character varying instead of character varying(50)"),
        ("TEXT", sa.String(), "is text instead of character varying"),
        ("NUMERIC(10, 2)", sa.Numeric(10, 3), "is numeric(10,2) instead of numeric(10,3)"),
        ("NUMERIC(10, 2)", sa.Numeric(10), "is numeric(10,2) instead of numeric(10,0)"),
        ("TIMESTAMP", sa.DateTime(timezone=True), "is timestamp without time zone instead of timestamp with time zone"),
        (
            "TIMESTAMP(3)",
            pg.TIMESTAMP(precision=6),
            "is timestamp(3) without time zone instead of timestamp(6) without time zone",
        ),
        ("CHAR(5)", sa.CHAR(6), "is character(5) instead of character(6)"),
        ("BIT(5)", pg.BIT(), "is bit(5) instead of bit(1)"),
        ("INTERVAL YEAR TO MONTH", sa.Interval(), "is interval year to month instead of interval"),
        ("REAL", sa.Float(), "is real instead of double precision"),
        ("TEXT", sa.Enum("a", name="kind"), "is text instead of public.kind"),
        ("INTEGER[]", sa.ARRAY(sa.BigInteger), "is integer[] instead of bigint[]"),
        ("JSON", pg.JSONB(), "is json instead of jsonb"),
        ('VARCHAR(7) COLLATE "C"', sa.String(7), 'has the collation pg_catalog."C" instead of default'),
        ("VARCHAR(7)", sa.String(7, collation="C"), 'has the collation default instead of pg_catalog."C"'),
        ("TEXT DEFAULT 'x'", sa.Text(), "has the default 'x'::text instead of none"),
    ],
)
async def test_another_column_is_told_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, live: str, type_: Any, sentence: str
) -> None:
    messages = await told(engine, caplog, f"value {live}", sa.Column("value", type_))

    mine = [message for message in messages if "type:" not in message]
    assert len(mine) == 1
    assert mine[0].startswith(f"{DIFFERS}column public.users.value {sentence}")
    assert mine[0].endswith(". Left as it is; `async-migrations new NAME --auto` writes the migration for it.")


@pytest.mark.parametrize(
    ("live", "type_"),
    [
        ("FLOAT8", sa.Float(53)),
        ("DECIMAL(10)", sa.Numeric(10, 0)),
        ("INT[][]", sa.ARRAY(sa.Integer, dimensions=1)),
        ("BPCHAR(3)", sa.CHAR(3)),
        ("CHARACTER VARYING(3)[]", sa.ARRAY(sa.String(3))),
        ("TIMESTAMPTZ(3)", pg.TIMESTAMP(timezone=True, precision=3)),
        ('VARCHAR(7) COLLATE "C"', sa.String(7, collation="C")),
    ],
)
async def test_the_same_type_by_another_name_is_not_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, live: str, type_: Any
) -> None:
    assert await told(engine, caplog, f"value {live}", sa.Column("value", type_)) == []


async def test_models_that_postgresql_refuses_are_not_compared_and_one_note_says_why(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(sa.types.UserDefinedType[str]):
        def get_col_spec(self, **_: Any) -> str:
            return "text (,) strange"

    (note,) = await told(engine, caplog, "value TEXT", sa.Column("value", Strange()))

    assert note.startswith("Whether the database differs from the models otherwise was not looked at: ")
    assert "table public.users" in note
    assert "syntax error" in note


async def test_nullability_is_told_both_ways(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    messages = await told(
        engine,
        caplog,
        "a TEXT, b TEXT NOT NULL",
        sa.Column("a", sa.Text, nullable=False),
        sa.Column("b", sa.Text),
    )

    assert differences(messages) == ["column public.users.a may be NULL", "column public.users.b is NOT NULL"]


def differences(messages: list[str]) -> list[str]:
    assert all(message.startswith(DIFFERS) for message in messages)
    return [message.removeprefix(DIFFERS).partition(". Left as it is")[0] for message in messages]


async def test_a_column_that_the_models_have_lost_is_told_and_kept(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told(engine, caplog, 'legacy TEXT, "Older; one" INTEGER')

    assert differences(messages) == [
        "column public.users.legacy is not in the metadata",
        'column public.users."Older; one" is not in the metadata',
    ]
    assert await column(
        engine,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped",
    ) == [3]


@pytest.mark.parametrize(
    ("part", "told", "clause"),
    [
        (sa.UniqueConstraint("a", "b"), "unique constraint users_a_b_key", "UNIQUE (a, b)"),
        (sa.UniqueConstraint("a", name="one"), "unique constraint one", "UNIQUE (a)"),
        (sa.CheckConstraint("a > 0", name="positive"), "check positive", "CHECK ((a > 0))"),
        (
            sa.ForeignKeyConstraint(["a"], ["users.id"], ondelete="CASCADE"),
            "foreign key users_a_fkey",
            "FOREIGN KEY (a) REFERENCES public.users(id) ON DELETE CASCADE",
        ),
        (
            pg.ExcludeConstraint(("a", "="), name="lonely", using="btree"),
            "exclusion constraint lonely",
            "EXCLUDE USING btree (a WITH =)",
        ),
    ],
    ids=["unique", "named unique", "check", "foreign key", "exclude"],
)
async def test_a_constraint_among_old_columns_is_told_until_it_is_there(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, part: Any, told: str, clause: str
) -> None:
    metadata = users(sa.Column("a", sa.Integer), sa.Column("b", sa.Integer), part)
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY, a INTEGER, b INTEGER)")

    assert await run(engine, metadata) == NOTHING

    assert differences(warnings(caplog)) == [f"{told} of public.users is missing: {clause}"]
    await execute(engine, f"ALTER TABLE users ADD CONSTRAINT {told.rpartition(' ')[2]} {clause}")
    caplog.clear()
    assert await run(engine, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_a_check_of_a_column_is_told(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    check = sa.CheckConstraint("a > 0", name="positive")

    messages = await told(engine, caplog, "a INTEGER", sa.Column("a", sa.Integer, check))

    assert differences(messages) == ["check positive of public.users is missing: CHECK ((a > 0))"]


async def test_what_serves_as_a_constraint_under_another_name_is_not_missing(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told(
        engine,
        caplog,
        "a INTEGER CONSTRAINT other_name UNIQUE REFERENCES users, b INTEGER, c INTEGER,"
        " CONSTRAINT pair UNIQUE (b, c), CHECK (a > 0)",
        sa.Column("a", sa.ForeignKey("users.id", name="key"), unique=True),
        sa.Column("b", sa.Integer),
        sa.Column("c", sa.Integer),
        sa.UniqueConstraint("b", "c", name="together"),
        sa.CheckConstraint("a > 0"),
    )

    assert messages == []


async def test_a_primary_key_that_a_table_has_not_is_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TABLE users (id SERIAL)")

    assert await run(engine, users()) == NOTHING

    assert differences(warnings(caplog)) == ["primary key users_pkey of public.users is missing: PRIMARY KEY (id)"]


async def test_a_foreign_key_to_a_table_of_other_models_is_a_note_and_no_failure(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    (note,) = await told(engine, caplog, "a INTEGER", sa.Column("a", sa.ForeignKey("elsewhere.id")))

    assert "could not find table 'elsewhere'" in note


async def test_a_partial_unique_index_is_no_unique_constraint(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(
        engine,
        "CREATE TABLE users (id SERIAL PRIMARY KEY, a INTEGER)",
        "CREATE UNIQUE INDEX partly ON users (a) WHERE id > 5",
    )

    await run(engine, users(sa.Column("a", sa.Integer, unique=True)))

    assert differences(warnings(caplog)) == [
        "unique index partly of public.users is not in the metadata: btree (a) WHERE (id > 5)",
        "unique constraint users_a_key of public.users is missing: UNIQUE (a)",
    ]


async def test_a_label_that_an_enum_lacks_is_told(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    await execute(engine, "CREATE TYPE \"Mood\" AS ENUM ('ok', 'gone')")

    messages = await told(engine, caplog, 'mood "Mood"', sa.Column("mood", sa.Enum("ok", "it's new", name="Mood")))

    assert differences(messages) == ['enum public."Mood" has the labels ok, gone instead of ok, it\'s new']


async def test_a_type_of_this_name_that_is_no_enum_is_told(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE DOMAIN mood AS TEXT")

    messages = await told(engine, caplog, "mood mood", sa.Column("mood", sa.Enum("ok", name="mood")))

    assert messages == ["The type mood exists in the database and is not an enum, as the models say: left as it is."]


async def test_a_table_of_an_enums_name_stops_what_needs_the_enum_and_is_told_otherwise(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TABLE mood (x INTEGER)", "CREATE TABLE users (id SERIAL PRIMARY KEY)")
    metadata = users(sa.Column("moods", sa.ARRAY(sa.Enum("ok", name="mood"))))

    with pytest.raises(AutoSchemaError, match=r"users\.moods cannot be added: mood is an enum.*rows of public\.mood"):
        await run(engine, metadata)

    await execute(engine, "ALTER TABLE users ADD moods TEXT[]")
    assert await run(engine, metadata) == NOTHING
    assert "The type mood exists in the database and is not an enum" in warnings(caplog)[0]


async def test_all_is_told_again_in_the_next_run_but_not_twice_in_one(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    first = await told(engine, caplog, "old TEXT, a INTEGER", sa.Column("a", sa.Text, index=False, nullable=False))
    caplog.clear()

    await run(engine, users(sa.Column("a", sa.Text, nullable=False)))

    assert messages(caplog) == first
    assert len(set(first)) == len(first) == 3
