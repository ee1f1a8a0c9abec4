"""How a second try knows an operation again: by what it was called with, the same in each process."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from async_migrations.errors import AuthorError
from async_migrations.online.calls import Calls, written

EACH: list[Callable[[], Any]] = [
    lambda: "a",
    lambda: b"a",
    lambda: 1,
    lambda: 1.0,
    lambda: True,
    lambda: None,
    lambda: ["a", "b"],
    lambda: ["b", "a"],
    lambda: {"b": 1, "a": 2},
    lambda: {"a", "b", "c"},
    lambda: sa.text("a > 1"),
    lambda: sa.text("a > 2"),
    lambda: sa.column("a") > 1,
    lambda: sa.column("a") > 2,
    lambda: sa.func.lower(sa.column("a")),
    lambda: sa.table("t", sa.column("a")),
    lambda: sa.Numeric(8, 2),
    lambda: sa.String(5),
    lambda: sa.Enum("x", "y", name="e"),
    lambda: sa.Enum("x", "z", name="e"),
    lambda: pg.ARRAY(sa.Integer),
    lambda: sa.Column("a", sa.Integer),
    lambda: sa.Column("a", sa.Integer, nullable=False),
    lambda: sa.Column("a", sa.Integer, server_default="1"),
    lambda: sa.Column("a", sa.Integer, server_default="2"),
    lambda: sa.Column("a", sa.Integer, server_default=sa.text("one()")),
    lambda: sa.Column("a", sa.Integer, server_default=sa.text("two()")),
    lambda: sa.Column("a", sa.Integer, sa.Computed("b + 1")),
    lambda: sa.Column("a", sa.Integer, sa.Computed("b + 2")),
    lambda: sa.Column("a", sa.Integer, sa.Identity(start=3)),
    lambda: sa.Column("a", sa.Integer, sa.ForeignKey("b.id"), sa.ForeignKey("c.id")),
    lambda: sa.Column("a", sa.Integer, sa.ForeignKey("b.id", ondelete="CASCADE")),
    lambda: sa.CheckConstraint("a > 1", name="c"),
    lambda: sa.CheckConstraint("a > 2", name="c"),
    lambda: sa.UniqueConstraint("a", "b"),
    lambda: sa.UniqueConstraint("a", "c"),
    lambda: sa.ForeignKeyConstraint(["a"], ["b.id"]),
    lambda: sa.ForeignKeyConstraint(["a"], ["c.id"]),
    lambda: sa.Index("i", sa.text("lower(a)"), postgresql_where=sa.text("a > '1'")),
    lambda: sa.Index("i", sa.text("lower(a)"), postgresql_where=sa.text("a > '2'")),
    lambda: pg.ExcludeConstraint(("a", "="), where=sa.text("a > 1")),
    lambda: pg.ExcludeConstraint(("a", "&&"), where=sa.text("a > 1")),
]


def test_what_differs_is_written_differently_and_what_does_not_alike() -> None:
    texts = [written(make()) for make in EACH]
    assert len(set(texts)) == len(EACH)
    assert texts == [written(make()) for make in EACH]
    assert not any(" at 0x" in text for text in texts)


def test_each_process_writes_the_same() -> None:
    script = "from tests.unit.test_calls import *\nfor make in EACH: print(written(make()))"
    said = [
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    ]
    assert said[0].stdout == said[1].stdout
    assert said[0].stdout.decode().splitlines() == [written(make()) for make in EACH]


def test_the_same_call_has_a_name_each_time_and_in_each_step() -> None:
    first, again = Calls(), Calls()
    names = [first.name("drop_column", ("t", "a"), {}) for _ in range(2)]
    assert names[0] != names[1]
    with again.step("s"):
        assert again.name("drop_column", ("t", "a"), {}) not in names
    assert [again.name("drop_column", ("t", "a"), {}) for _ in range(2)] == names


async def test_what_is_awaited_later_is_no_mistake() -> None:
    calls = Calls()
    later = calls.note("execute", asyncio.sleep(0, "done"))
    assert await later == "done"
    calls.check()


async def test_what_is_not_awaited_is_told_with_its_line() -> None:
    calls = Calls()
    forgotten = calls.note("execute", asyncio.sleep(0))
    with pytest.raises(AuthorError, match=r"nothing was done by execute\(\), called in line \d+\. Add the `await`\."):
        calls.check()
    with pytest.warns(RuntimeWarning, match="coroutine 'execute' was never awaited"):
        del forgotten
