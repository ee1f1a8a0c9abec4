"""The drifts by hand that other tools miss, each on a schema that the metadata made."""

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Enum,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import compare_schema
from tests.support.schemas import run_sql


def metadata() -> MetaData:
    m = MetaData()
    Table(
        "person",
        m,
        Column("id", Integer, Identity(start=10), primary_key=True),
        Column("name", String(50), nullable=False, server_default="x"),
        Column("mail", Text(collation="C"), comment="where to write"),
        Column("worth", Numeric(10, 2)),
        Column("born", DateTime(timezone=True), server_default=func.now()),
        Column("double", Integer, Computed("id * 2", persisted=True)),
        Column("mood", Enum("sad", "ok", name="mood")),
        Column("doc", pg.JSONB),
        Column("during", pg.TSTZRANGE),
        CheckConstraint("length(name) > 2", name="ck_name"),
        CheckConstraint("worth > 0"),
        Index("ix_where", "name", postgresql_where=text("mood = 'ok'")),
        Index("ix_include", "name", postgresql_include=["mail"]),
        Index("ix_method", "worth"),
        Index("ix_opclass", "name", postgresql_ops={"name": "varchar_pattern_ops"}),
        Index("ix_sorted", text("born DESC")),
        Index("ix_nulls", "mail", unique=True),
        Index("ix_fts", text("to_tsvector('english', name)"), postgresql_using="gin"),
        Index("ix_doc", text("(doc ->> 'a')")),
        pg.ExcludeConstraint(("during", "&&"), name="ex_during", using="gist"),
    )
    return m


def rebuilt(name: str, definition: str, *, unique: bool = False) -> str:
    return f"DROP INDEX {name}; CREATE {'UNIQUE ' if unique else ''}INDEX {name} ON person {definition}"


DRIFTS = {
    "check expression": (
        "ALTER TABLE person DROP CONSTRAINT ck_name, ADD CONSTRAINT ck_name CHECK (length(name) > 3)",
        "ConstraintChanged",
    ),
    "unnamed check dropped": ("ALTER TABLE person DROP CONSTRAINT person_worth_check", "ConstraintAdded"),
    "computed expression": (
        "ALTER TABLE person DROP double, ADD double integer GENERATED ALWAYS AS (id * 3) STORED",
        "ComputedChanged",
    ),
    "enum label": ("ALTER TYPE mood ADD VALUE 'glad'", "EnumLabelsChanged"),
    "partial index": (rebuilt("ix_where", "(name) WHERE mood = 'sad'"), "IndexChanged"),
    "include": (rebuilt("ix_include", "(name)"), "IndexChanged"),
    "index method": (rebuilt("ix_method", "USING hash (worth)"), "IndexChanged"),
    "operator class": (rebuilt("ix_opclass", "(name)"), "IndexChanged"),
    "exclusion dropped": ("ALTER TABLE person DROP CONSTRAINT ex_during", "ConstraintAdded"),
    "primary key dropped": ("ALTER TABLE person DROP CONSTRAINT person_pkey", "ConstraintAdded"),
    "collation": ('ALTER TABLE person ALTER mail TYPE text COLLATE "POSIX"', "CollationChanged"),
    "text search configuration": (
        rebuilt("ix_fts", "USING gin (to_tsvector('simple', name))"),
        "IndexChanged",
    ),
    "default changed": ("ALTER TABLE person ALTER name SET DEFAULT 'y'", "DefaultChanged"),
    "default dropped": ("ALTER TABLE person ALTER born DROP DEFAULT", "DefaultChanged"),
    "identity": ("ALTER TABLE person ALTER id SET GENERATED ALWAYS", "IdentityChanged"),
    "not null": ("ALTER TABLE person ALTER name DROP NOT NULL", "NullabilityChanged"),
    "length": ("ALTER TABLE person ALTER name TYPE varchar(60)", "ColumnTypeChanged"),
    "scale": ("ALTER TABLE person ALTER worth TYPE numeric(10, 3)", "ColumnTypeChanged"),
    "sort order": (rebuilt("ix_sorted", "(born)"), "IndexChanged"),
    "nulls not distinct": (rebuilt("ix_nulls", "(mail) NULLS NOT DISTINCT", unique=True), "IndexChanged"),
    "comment": ("COMMENT ON COLUMN person.mail IS 'elsewhere'", "CommentChanged"),
}


@pytest.mark.parametrize("drift", DRIFTS)
async def test_a_drift_is_found_and_nothing_else(drift: str, engine: AsyncEngine, postgres_version: int) -> None:
    if drift == "nulls not distinct" and postgres_version < 15:
        pytest.skip("needs PostgreSQL 15")
    sql, expected = DRIFTS[drift]
    async with engine.begin() as connection:
        await connection.run_sync(metadata().create_all)
    assert not await compare_schema(engine, metadata())
    await run_sql(engine, sql)
    difference = await compare_schema(engine, metadata())
    found = [type(each).__name__ for each in difference.operations]
    # On the primary key's own index nothing else leans; a column typed anew rebuilds what reads it, and nothing more.
    assert found == [expected], str(difference)


async def test_an_invalid_index_is_not_taken_for_one(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata().create_all)
    await run_sql(engine, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_method'::regclass")
    difference = await compare_schema(engine, metadata())
    assert str(difference) == "~ index ix_method of public.person is INVALID: its build did not end"
