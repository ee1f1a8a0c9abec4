"""What follows from a sequence's state and from PostgreSQL's own names, without a server."""

from typing import Any

import pytest

from async_migrations.online.bench import KEEP
from async_migrations.online.not_null_names import chosen_name, followed, followed_domain
from async_migrations.online.sequences import restarted

RISES = {"start": 1, "increment": 1, "last": None, "kept": 1}


@pytest.mark.parametrize(
    ("state", "options", "restart"),
    [
        (RISES, {"minvalue": 10, "start": 100}, 100),
        (RISES | {"start": 20, "kept": 20}, {"minvalue": 10}, None),
        (RISES | {"last": 5}, {"minvalue": 10, "start": 12}, 12),
        (RISES | {"last": 50}, {"maxvalue": 10}, None),
        (RISES | {"last": 5}, {"maxvalue": 10}, None),
        (RISES, {"minvalue": -9, "maxvalue": -1, "increment": -1, "start": -1}, -1),
        (RISES | {"increment": -1, "last": -5}, {"maxvalue": -10, "start": -10}, -10),
        (RISES | {"increment": -1, "last": -50}, {"minvalue": -10}, None),
    ],
)
def test_a_sequence_restarts_only_where_its_numbers_enter_new_limits(
    state: dict[str, Any], options: dict[str, Any], restart: int | None
) -> None:
    given = {"start": None, "increment": None, "minvalue": KEEP, "maxvalue": KEEP} | options
    assert restarted([state], **given) == restart


def test_a_sequence_that_is_not_there_is_left_to_the_server() -> None:
    assert restarted([], 1, 1, 5, KEEP) is None


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
