"""The names and first arguments of `self.op`, which people know from Alembic, and what operations decide."""

import inspect

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from async_migrations.online import Operations
from async_migrations.online.alteration import all_options, first_number, recast
from async_migrations.online.table_definition import column_names, name_for
from async_migrations.online.texts import computed_text, default_text, expression_text, type_text

DIALECT = pg.asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's

ALEMBIC = {
    "add_column": ["table", "column"],
    "alter_column": ["table", "column"],
    "bulk_insert": ["table", "rows"],
    "create_check_constraint": ["name", "table", "condition"],
    "create_exclude_constraint": ["name", "table", "elements"],
    "create_foreign_key": ["name", "source_table", "referent_table", "local_cols", "remote_cols"],
    "create_index": ["name", "table", "columns"],
    "create_primary_key": ["name", "table", "columns"],
    "create_table": ["name", "elements"],
    "create_table_comment": ["table", "comment"],
    "create_unique_constraint": ["name", "table", "columns"],
    "drop_column": ["table", "column"],
    "drop_constraint": ["name", "table"],
    "drop_index": ["name", "table"],
    "drop_table": ["name"],
    "drop_table_comment": ["table"],
    "execute": ["statement"],
    "rename_table": ["old", "new"],
}

WITHOUT_SCHEMA = {
    "bulk_insert",
    "create_schema",
    "drop_extension",
    "drop_schema",
    "execute",
    "rename_schema",
    "run",
}


@pytest.mark.parametrize("name", ALEMBIC)
def test_an_operation_of_alembics_has_its_name_and_first_arguments(name: str) -> None:
    parameters = [*inspect.signature(getattr(Operations, name)).parameters.values()][1:]
    positional = [each.name for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional[: len(ALEMBIC[name])] == ALEMBIC[name]


def test_every_operation_takes_a_schema_by_keyword() -> None:
    for name, method in inspect.getmembers(Operations, inspect.iscoroutinefunction):
        if name[0] != "_" and name not in WITHOUT_SCHEMA:
            parameter = inspect.signature(method).parameters.get("schema")
            assert parameter is not None, name
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name


def test_every_operation_says_what_each_argument_is() -> None:
    for name, method in inspect.getmembers(Operations, inspect.iscoroutinefunction):
        if name[0] != "_":
            said = inspect.getdoc(method) or ""
            for argument in [*inspect.signature(method).parameters][1:]:
                assert f"    {argument}: " in said, f"{name} does not say what {argument} is"


@pytest.mark.parametrize(
    ("default", "explicitly", "written"),
    [
        ("'sad'::mood", False, "'sad'"),
        ("'it''s'::character varying", True, "'it''s'"),
        ("'{a,b}'::text[]", True, "'{a,b}'"),
        ("E'a\\\\b'::text", False, "E'a\\\\b'"),
        ("0", True, "'0'"),
        ("-1.50", False, "'-1.50'"),
        ('\'x\'::"Side"."Mo od"', False, "'x'"),
        ("'2026-01-01'::timestamp(3) with time zone", False, "'2026-01-01'"),
        ("nextval('s'::regclass)", True, "nextval('s'::regclass)"),
        ("now()", False, "now()"),
        ("now()", True, "CAST(now() AS DATE)"),
        ("('a'::text || 'b'::text)", True, "CAST(('a'::text || 'b'::text) AS DATE)"),
        ("'a'::text || 'b'::text", False, "'a'::text || 'b'::text"),
    ],
)
def test_an_old_default_suits_another_type(default: str, explicitly: bool, written: str) -> None:  # noqa: FBT001 - a case
    assert recast(default, 'DATE COLLATE "C"', explicitly=explicitly) == written


@pytest.mark.parametrize(
    ("identity", "number"),
    [
        (sa.Identity(), 1),
        (sa.Identity(start=7), 7),
        (sa.Identity(minvalue=3), 3),
        (sa.Identity(increment=-1), -1),
        (sa.Identity(increment=-1, maxvalue=-5), -5),
    ],
)
def test_an_identity_begins_with_its_first_number(identity: sa.Identity, number: int) -> None:
    assert first_number(identity) == number
    assert f"START WITH {number}" in [*all_options(identity)]


def test_a_constraint_without_a_name_has_the_one_that_postgresql_gives() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), sa.Column("b", sa.Integer))
    key = sa.UniqueConstraint("b", "a")
    table.append_constraint(key)
    assert name_for("t", column_names(key), key.__visit_name__) == "t_b_a_key"
    assert name_for("t", ["a"], "foreign_key_constraint") == "t_a_fkey"
    assert name_for("t", ["a"], "primary_key_constraint") == "t_pkey"
    assert name_for("t" * 60, ["a"], "foreign_key_constraint") == "t" * 56 + "_a_fkey"
    assert name_for("t" * 30, ["a" * 20, "b" * 20], "unique_constraint") == f"{'t' * 29}_{'a' * 20}_{'b' * 8}_key"
    assert name_for("t", ["a", "expr"], "exclude_constraint") == "t_a_expr_excl"
    assert name_for("t" * 60, ["a"], "foreign_key_constraint", 12) == "t" * 54 + "_a_fkey12"


def test_texts_keep_colons_percent_signs_and_quotes() -> None:
    assert expression_text("a = ':x %s'", DIALECT) == "a = ':x %s'"
    assert default_text("it's :x %s", DIALECT) == "'it''s :x %s'"
    assert default_text(sa.text("now() + '1 %'"), DIALECT) == "now() + '1 %'"
    assert computed_text(sa.Computed("a || '%'"), DIALECT) == "a || '%'"
    assert type_text(sa.String(5, collation="de_DE"), DIALECT) == 'VARCHAR(5) COLLATE "de_DE"'
    assert expression_text(sa.Column("a b", sa.Text).like("x%"), DIALECT) == "(\"a b\" LIKE 'x%')"
