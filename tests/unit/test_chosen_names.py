"""What follows from a sequence's state and from PostgreSQL's own names, without a server."""

from dataclasses import replace
from typing import Any

import pytest

from async_migrations.online.bench import KEEP
from async_migrations.online.chosen_names import chosen_name, followed, followed_domain
from async_migrations.online.sequences import State, restarted

NEW = State(start=1, increment=1, last_value=1, is_called=False)


@pytest.mark.parametrize(
    ("state", "options", "restart"),
    [
        (NEW, {"minvalue": 10, "start": 100}, 100),
        (replace(NEW, start=20, last_value=20), {"minvalue": 10}, None),
        (replace(NEW, start=20, last_value=20), {"maxvalue": 10, "start": 1}, 1),
        (replace(NEW, last_value=5, is_called=True), {"minvalue": 10, "start": 12}, 12),
        (replace(NEW, last_value=50, is_called=True), {"maxvalue": 10}, None),
        (replace(NEW, last_value=5, is_called=True), {"maxvalue": 10}, None),
        # setval(500, false): the numbers below may be in rows.
        (replace(NEW, last_value=500), {"minvalue": 10, "start": 100}, None),
        (replace(NEW, last_value=500), {"maxvalue": 100}, None),
        (NEW, {"minvalue": -9, "maxvalue": -1, "increment": -1, "start": -1}, -1),
        (replace(NEW, increment=-1, last_value=-5, is_called=True), {"maxvalue": -10, "start": -10}, -10),
        (replace(NEW, increment=-1, last_value=-50, is_called=True), {"minvalue": -10}, None),
    ],
)
def test_a_sequence_restarts_only_where_no_number_is_given_twice(
    state: State, options: dict[str, Any], restart: int | None
) -> None:
    given = {"start": None, "increment": None, "minvalue": KEEP, "maxvalue": KEEP} | options
    assert restarted(state, **given) == restart


@pytest.mark.parametrize(
    ("owner", "column", "name"),
    [
        ("t", "c", "t_c_not_null"),
        ("t" * 63, "c", "t" * 52 + "_c_not_null"),
        ("t" * 40, "c" * 40, "t" * 27 + "_" + "c" * 26 + "_not_null"),
        ("ü" * 31, "c", "ü" * 26 + "_c_not_null"),
    ],
)
def test_names_are_cut_as_postgresql_cuts_them(owner: str, column: str, name: str) -> None:
    assert chosen_name(owner, column) == name


def test_only_names_that_postgresql_chose_follow() -> None:
    there = [("t_a_not_null", "a"), ("mine", "b"), ("t_c_not_null", "d")]
    assert list(followed("u", there, ("t", None), ("u", None))) == [
        'ALTER TABLE u RENAME CONSTRAINT "t_a_not_null" TO "u_a_not_null"'
    ]
    assert list(followed("t", [("t_a_not_null", "z")], ("t", "a"), ("t", "z"))) == [
        'ALTER TABLE t RENAME CONSTRAINT "t_a_not_null" TO "t_z_not_null"'
    ]
    taken = [("t_a_not_null", "a"), ("u_a_not_null", "b")]
    assert list(followed("u", taken, ("t", None), ("u", None))) == []


def test_a_domains_checks_follow_with_their_numbers() -> None:
    names = ["d_check", "d_check1", "d_not_null", "other", "d_checked"]
    assert [each.split('"')[1::2] for each in followed_domain("e", names, "d", "e")] == [
        ["d_check", "e_check"],
        ["d_check1", "e_check1"],
        ["d_not_null", "e_not_null"],
    ]
