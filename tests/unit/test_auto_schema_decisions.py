"""What auto schema decides without a database."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from async_migrations.auto_schema.columns import missing_in
from async_migrations.auto_schema.constraints import concerning, names_in
from async_migrations.auto_schema.observations import sentences
from async_migrations.auto_schema.snapshot import LiveTable
from async_migrations.schema import difference as d
from async_migrations.schema.snapshot import EnumType
from async_migrations.schema.table import Column, Index, Name

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
        ("x::numeric", {"x"}),
        ('x :: "Kind" = y', {"x", "y"}),
        ("CAST(at AS DATE) > date '2024-01-01' AND x", {"at", "and", "x"}),
        ("", set()),
    ],
)
def test_names_in_an_expression_are_found_and_literals_and_functions_are_not(expression: str, names: set[str]) -> None:
    assert set(names_in(expression)) == names


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

    assert [each.name for each in missing_in(table, LiveTable({"b"}))] == ["a", "sum"]


def test_what_has_another_name_only_or_stands_alone_is_not_told_and_nothing_twice() -> None:
    users, kind = Name("public", "users"), Name("public", "kind")
    ix = Index("ix", "btree (a)")
    differences = [
        d.IndexRenamed(users, "old", "new"),
        d.EnumRemoved(kind, EnumType(kind, ("a",))),
        d.EnumAdded(kind, EnumType(kind, ("a",))),
        d.IndexAdded(users, ix),
        d.ColumnRemoved(users, Column("legacy", "text")),
    ]

    assert list(sentences(differences, {("public", "kind"), ("public", "ix")})) == [
        (
            "The database differs from the models: column public.users.legacy is not in the metadata. Left as it is; "
            "`async-migrations new NAME --auto` writes the migration for it."
        )
    ]
    assert len(list(sentences(differences))) == 3
