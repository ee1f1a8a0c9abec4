"""Python source as a tree: printed as the formatter prints it."""

import ast
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from async_migrations.schema.generate.source import Node, call, flat, imports_of, literal, printed, quoted
from async_migrations.schema.generate.step import op

VALUES = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text())
def test_a_text_is_written_so_that_python_reads_the_same(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text


@given(VALUES)
def test_a_value_is_written_so_that_python_reads_the_same(value: Any) -> None:
    lines = printed(literal(value), 0)
    assert ast.literal_eval("\n".join(lines)) == value
    assert ast.literal_eval(flat(literal(value))) == value


def test_a_tuple_of_one_keeps_its_comma() -> None:
    assert flat(literal(("a",))) == '("a",)'


def test_imports_are_those_of_all_that_is_inside() -> None:
    inner = call("x.T", imports=frozenset({"import x"}))
    assert {*imports_of(call("f", [inner], {"k": inner}, key=inner))} == {"import x"}


def shapes() -> list[Node]:
    """Return calls of every length around the line's, with everything that can be inside."""
    return [
        op("execute", "x" * length)
        if kind == 0
        else op("create_index", "ix", "t", ["y" * length, "b"], unique=True)
        if kind == 1
        else op("create_table", "t", call("sa.Column", "a" * length, call("sa.Integer"), nullable=False), comment="c")
        if kind == 2
        else op("f", ("a" * length, "b"), {"key": "v" * (length // 2), 'qu"ote': [1, 2]}, name=None, more=[("a", 1)])
        for kind in range(4)
        for length in range(1, 130)
    ]


def test_the_formatter_has_nothing_to_add() -> None:
    lines = [line for node in shapes() for line in printed(node, 4)]
    source = "\n".join(["async def f(self, sa):", *lines]) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "-"]
    result = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    assert result.stdout == source
