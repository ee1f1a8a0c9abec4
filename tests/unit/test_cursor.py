"""Which statements make prepared ones out of date."""

import pytest

from async_migrations.cursor import changes_schema, forget_plans


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("ALTER TABLE t ADD n integer", True),
        ("  create table t ()", True),
        ("\nDROP TYPE t", True),
        ("DO $$ BEGIN END $$", True),
        ("SET search_path = other", True),
        ("-- why\nALTER TABLE t DROP n", True),
        ("/* why */ DROP TABLE t", True),
        ("SELECT 1", False),
        ("UPDATE t SET n = 1", False),
        ("INSERT INTO t VALUES (1)", False),
        ("SETTLE", False),
    ],
)
def test_a_statement_that_changes_the_schema_is_told_by_its_first_word(statement: str, *, changes: bool) -> None:
    assert changes_schema(statement) is changes


def test_a_dialect_that_keeps_no_plans_has_none_to_forget() -> None:
    forget_plans(object())
