"""What auto schema decides without a database."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.engine.interfaces import ReflectedIndex

from async_migrations.auto_schema.columns import missing_in
from async_migrations.auto_schema.constraints import concerning, names_in
from async_migrations.auto_schema.indexes import differences
from async_migrations.auto_schema.observations import type_differs
from async_migrations.auto_schema.snapshot import LiveColumn, LiveTable

DIALECT = pg.asyncpg.dialect()  # type: ignore[no-untyped-call]  # not typed by SQLAlchemy


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("price > 0", {"price"}),
        ("Price > 0", {"price"}),
        ('"Price" > 0', {"Price"}),
        ('"a""b" = 1', {'a"b'}),
        ("price > 'total'", {"price"}),
        ("price > 'it''s total'", {"price"}),
        (r"price > E'it\'s total'", {"price"}),
        ("price > $$total$$", {"price"}),
        ("price > $x$to $$ tal$x$", {"price"}),
        ("lower(code) = code", {"code"}),
        ("total (code)", {"code"}),
        ("größe > 1", {"größe"}),
        ("a1$ > 1 and 2a", {"a1$", "and", "a"}),
        ("x::numeric", {"x", "numeric"}),
        ("", set()),
    ],
)
def test_names_in_an_expression_are_found_and_literals_and_functions_are_not(expression: str, names: set[str]) -> None:
    assert set(names_in(expression)) == names


def live(type_: str, oid: int = 1) -> LiveColumn:
    return LiveColumn("value", type_, oid, not_null=False)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("VARCHAR(50)", "character varying(50)"),
        ("NUMERIC(10)", "numeric(10,0)"),
        ("NUMERIC(10, 2)[]", "numeric(10,2)[]"),
        ("CHAR", "character(1)"),
        ("BIT", "bit(1)"),
        ("TIMESTAMP(3) WITH TIME ZONE", "timestamp(3) with time zone"),
        ("INTERVAL DAY TO SECOND (3)", "interval day to second(3)"),
        ("FLOAT(24)", "real"),
        ("GEOMETRY(POINT,4326)", "geometry(Point,4326)"),
        ("VECTOR(3)", "vector(4)"),
        ('"we(1)rd"', '"we(1)rd"'),
        ('"numeric(2)"', "numeric"),
    ],
)
def test_types_that_may_be_the_same_do_not_differ(written: str, printed: str) -> None:
    assert not type_differs(written, 1, live(printed))


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("VARCHAR(50)", "character varying(51)"),
        ("VARCHAR", "character varying(50)"),
        ("CHAR(1)", "character(2)"),
        ("NUMERIC(10)", "numeric"),
        ("TIME(3) WITHOUT TIME ZONE", "time without time zone"),
        ("INTERVAL", "interval day to second"),
    ],
)
def test_types_with_other_modifiers_differ(written: str, printed: str) -> None:
    assert type_differs(written, 1, live(printed))


def test_types_differ_by_oid_and_are_left_alone_when_postgresql_does_not_know_them() -> None:
    assert type_differs("BIGINT", 20, live("integer", 23))
    assert not type_differs("STRANGE", None, live("integer", 23))


def reflected(**facts: object) -> ReflectedIndex:
    return {"name": "ix", "unique": False, "column_names": ["a"], **facts}  # type: ignore[typeddict-item]  # by key


@pytest.mark.parametrize(
    ("options", "facts", "told"),
    [
        ({}, {}, []),
        ({}, {"unique": True}, ["unique"]),
        ({"unique": True}, {}, ["not unique"]),
        ({}, {"column_names": ["b"]}, ["on (b)"]),
        ({}, {"column_names": [None]}, []),
        ({}, {"column_names": ["a", None]}, ["on (a, an expression)"]),
        ({"postgresql_using": "BTREE"}, {}, []),
        ({"postgresql_using": "gin"}, {"dialect_options": {"postgresql_using": "gist"}}, ["USING gist"]),
        ({"postgresql_include": ["b"]}, {"dialect_options": {"postgresql_include": ["b"]}}, []),
        ({"postgresql_include": ["b"]}, {}, ["INCLUDE ()"]),
        ({"postgresql_where": sa.text("a > 1")}, {"dialect_options": {"postgresql_where": "(a > 1)"}}, []),
        ({"postgresql_where": sa.text("a > 1")}, {}, ["without a condition"]),
        ({}, {"dialect_options": {"postgresql_where": "(a > 1)"}}, ["WHERE (a > 1)"]),
    ],
)
def test_an_index_differs_only_in_what_is_sure(
    options: dict[str, object], facts: dict[str, object], told: list[str]
) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), sa.Column("b", sa.Integer))

    assert list(differences(sa.Index("ix", table.c.a, **options), reflected(**facts))) == told  # type: ignore[arg-type]


def test_constraints_concern_a_column_by_their_columns_or_by_their_text() -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("a", sa.Integer, primary_key=True),
        sa.Column("b", sa.Integer, unique=True),
        sa.Column("c", sa.ForeignKey("t.a", name="key")),
        sa.CheckConstraint("a > b", name="text"),
        sa.CheckConstraint(sa.column("c") > 1, name="clause"),
        sa.CheckConstraint("a <> 'b'::text", name="literal"),
        sa.CheckConstraint("b > 1", name="elsewhere").ddl_if(dialect="sqlite"),
        sa.UniqueConstraint("a", name="included", postgresql_include=["b"]),
        pg.ExcludeConstraint(("a", "="), name="excluded", where=sa.text("b > 1")),
    )

    assert [each.name for each in concerning(DIALECT, table, [table.c.b])] == [None, "excluded", "included", "text"]
    assert [each.name for each in concerning(DIALECT, table, [table.c.c])] == ["clause", "key"]


def test_computed_columns_come_after_those_they_compute_from() -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("sum", sa.Integer, sa.Computed("a + b")),
        sa.Column("a", sa.Integer),
        sa.Column("b", sa.Integer),
        sa.Column("xmin", sa.Integer, system=True),
    )

    assert [each.name for each in missing_in(table, LiveTable({"b": live("integer")}))] == ["a", "sum"]
