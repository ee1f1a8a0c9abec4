"""The values: statistics above all, which authors return in many shapes."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.errors import StatisticsError
from async_migrations.migration import COUNTED, AppliedRow, MigrationFile, State, Statistics, total

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
NONE = {"tables_created": 0, "columns_added": 0, "indexes_created": 0}


def numbers() -> Iterator[int]:
    yield from range(3)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (None, NONE),
        ({}, NONE),
        ({"tables_created": 2}, {**NONE, "tables_created": 2}),
        (
            {"tables_created": 1, "columns_added": 0, "indexes_created": 5},
            {**NONE, "tables_created": 1, "indexes_created": 5},
        ),
        ({"columns_added": None}, NONE),
        ({"tables_created": ["users", "orders"], "indexes_created": ()}, {**NONE, "tables_created": 2}),
        ({"columns_added": {"a", "b", "c"}}, {**NONE, "columns_added": 3}),
        ({"columns_added": {"users": ["a"]}}, {**NONE, "columns_added": 1}),
        ({"columns_added": numbers()}, {**NONE, "columns_added": 3}),
        (
            {"users_named": 7, "note": "half", "ratio": 0.5, "none": None},
            {**NONE, "users_named": 7, "note": "half", "ratio": 0.5, "none": None},
        ),
        ({"tables": ["a", "b"]}, {**NONE, "tables": 2}),
        (Statistics(1, 2, 3, {"rows": 4}), {"tables_created": 1, "columns_added": 2, "indexes_created": 3, "rows": 4}),
        (Statistics(1).as_dict(), {**NONE, "tables_created": 1}),
    ],
)
def test_what_upgrade_may_return(returned: object, expected: Mapping[str, Any]) -> None:
    found = Statistics.of(returned)
    assert found.as_dict() == expected
    assert list(found)[:3] == list(COUNTED)
    assert len(found) == len(expected)
    assert all(found[key] == value for key, value in expected.items())


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (5, ["5 (int)", "no statistics", 'Return a dict such as {"tables_created": 1}, a Statistics, or nothing']),
        ("done", ["'done' (str)"]),
        (["users"], ["['users'] (list)"]),
        (True, ["True (bool)"]),
        ({"tables_created": -1}, ["'tables_created'", "-1 (int)", "not negative"]),
        ({"tables_created": "2"}, ["'tables_created'", "'2' (str)", "a list, which counts by its length"]),
        ({"tables_created": True}, ["True (bool)"]),
        ({"tables_created": b"2"}, ["(bytes)"]),
        ({"columns_added": 1.5}, ["'columns_added'", "1.5 (float)"]),
        ({"columns_added": object()}, ["'columns_added'", "(object)"]),
        ({"report": {"a": 1}}, ["'report'", "(dict)", "A statistic is a number, a text, or a list"]),
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, ["'when'", "(datetime)"]),
        ({"raw": b"x"}, ["'raw'", "(bytes)"]),
        ({7: 1}, ["the key 7 (int)", "texts"]),
    ],
)
def test_nonsense_is_told_with_its_key_and_its_kind(returned: object, words: list[str]) -> None:
    with pytest.raises(StatisticsError) as failed:
        Statistics.of(returned)
    assert [word for word in words if word not in str(failed.value)] == []
    assert str(failed.value).startswith("upgrade() returned ")


def test_nonsense_of_any_length_is_shown_short() -> None:
    with pytest.raises(StatisticsError) as failed:
        Statistics.of("x" * 10_000)
    assert len(str(failed.value)) < 400


@pytest.mark.parametrize(
    "returned",
    [Statistics(-1), Statistics(tables_created="2"), Statistics(extra={"at": object()})],  # type: ignore[arg-type] # an author's mistake
)
def test_nonsense_in_a_statistics_is_nonsense_too(returned: Statistics) -> None:
    with pytest.raises(StatisticsError):
        Statistics.of(returned)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "a\0b", "\ud800"], ids=["nan", "inf", "NUL", "surrogate"]
)
def test_what_the_ledger_cannot_hold_is_refused_by_its_key(value: object) -> None:
    with pytest.raises(StatisticsError, match="'ratio'"):
        Statistics.of({"ratio": value})


@pytest.mark.parametrize("key", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_a_key_that_the_ledger_cannot_hold_is_refused(key: str) -> None:
    with pytest.raises(StatisticsError):
        Statistics.of({key: 1})


def test_a_number_of_any_size_is_a_number() -> None:
    assert Statistics.of({"rows": 10**400})["rows"] == 10**400


def test_a_decimal_is_a_number() -> None:
    assert Statistics.of({"amount": Decimal("1.5")})["amount"] == Decimal("1.5")


@settings(deadline=None)
@given(st.dictionaries(TEXTS, st.integers() | TEXTS | st.lists(st.integers(), max_size=3)))
def test_whatever_is_accepted_is_plain_json_and_reads_the_same_again(returned: dict[str, Any]) -> None:
    found = Statistics.of(returned)
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert Statistics.of(found.as_dict()) == found
    assert set(found) == {*COUNTED, *returned}


def test_the_total_sums_what_can_be_summed() -> None:
    each = [
        Statistics.of({"tables_created": 1, "users_named": 3, "note": "a", "done": True}),
        Statistics.of(None),
        Statistics.of({"tables_created": ["a", "b"], "indexes_created": 1, "users_named": 4}),
    ]
    assert total(each) == {
        "migrations_applied": 3,
        "tables_created": 3,
        "columns_added": 0,
        "indexes_created": 1,
        "users_named": 7,
    }


def test_the_total_of_nothing_has_the_seeds_keys() -> None:
    assert total([]) == {"migrations_applied": 0, **NONE}


def test_an_authors_own_migrations_applied_does_not_change_the_count() -> None:
    assert total([Statistics.of({"migrations_applied": 5})])["migrations_applied"] == 1


def test_the_states_are_the_words_of_the_glossary() -> None:
    glossary = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text()
    assert [str(state) for state in State] == ["pending", "applied", "dirty", "changed", "missing", "unknown"]
    assert [state for state in State if f"| **{state}** |" not in glossary] == []


@pytest.mark.parametrize(("name", "is_sql"), [("001_a.sql", True), ("001_a.py", False)])
def test_a_file_knows_its_language(name: str, is_sql: bool) -> None:  # noqa: FBT001 - a parameter of the case
    assert MigrationFile(1, "001_a", Path(name), "").is_sql is is_sql


def test_a_row_of_the_seeds_ledger_needs_no_more_than_its_name() -> None:
    row = AppliedRow("001_audit_log")
    assert (row.checksum, row.dirty, row.steps, row.statistics) == (None, False, (), {})
