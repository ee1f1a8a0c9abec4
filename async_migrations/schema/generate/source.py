"""Python source as a tree, printed as `ruff format` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

WIDTH = 120
INDENT = 4
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Code:
    """Source that is never broken.

    Attributes:
        text: the source.
        imports: the import statements that it needs.
    """

    text: str
    imports: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Source in brackets, broken when a line is too short for it.

    Attributes:
        opening: up to the bracket, included.
        items: what is inside.
        closing: the other bracket.
        imports: the import statements that the opening needs.
        container: whether it is a list, tuple or dict, which has one item a line once it is broken.
    """

    opening: str
    items: tuple[Node, ...]
    closing: str = ")"
    imports: frozenset[str] = frozenset()
    container: bool = False


Node = Code | Group


def call(function: str, *arguments: Any, imports: frozenset[str] = frozenset(), **keywords: Any) -> Group:
    """Return a call; arguments are nodes, or values that are written as literals."""
    items = [*map(literal, arguments), *(_keyword(name, value) for name, value in keywords.items())]
    return Group(f"{function}(", tuple(items), imports=imports)


def literal(value: Any) -> Node:
    """Return the source of a value: a node itself, text, a number, a container of such."""
    match value:
        case Code() | Group():
            return value
        case str():
            return Code(quoted(value))
        case list():
            return Group("[", tuple(map(literal, value)), "]", container=True)
        case tuple():
            return Group("(", tuple(map(literal, value)), container=True)
        case Mapping():
            items = tuple(_prefixed(f"{quoted(str(key))}: ", literal(each)) for key, each in value.items())
            return Group("{", items, "}", container=True)
        case _:
            return Code(repr(value))


def quoted(text: str) -> str:
    """Write a text in the quotes that need fewer escapes, double ones if it is all the same."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(each, quote) for each in text) + quote


def imports_of(node: Node) -> Iterator[str]:
    """Return the import statements that a node needs."""
    yield from node.imports
    if isinstance(node, Group):
        for item in node.items:
            yield from imports_of(item)


def flat(node: Node) -> str:
    """Write a node on one line."""
    if isinstance(node, Code):
        return node.text
    inside = ", ".join(map(flat, node.items))
    return f"{node.opening}{inside}{',' if _is_single(node) else ''}{node.closing}"


def printed(node: Node, indent: int, before: str = "", after: str = "") -> list[str]:
    """Write a node on as many lines as it needs.

    Args:
        node: what to write.
        indent: columns on the left.
        before: what stands before it on its first line.
        after: what stands behind it on its last one.
    """
    line = " " * indent + before + flat(node) + after
    if isinstance(node, Code) or not node.items or len(line) <= WIDTH:
        return [line]
    first, last = " " * indent + before + node.opening, " " * indent + node.closing + after
    inside = " " * (indent + INDENT) + ", ".join(map(flat, node.items))
    if len(inside) <= WIDTH and not node.container:
        return [first, inside, last]
    lines = [line for item in node.items for line in printed(item, indent + INDENT, after=",")]
    return [first, *lines, last]


def _is_single(node: Group) -> bool:
    """Whether it is a tuple of one, which needs its comma."""
    return node.container and node.closing == ")" and len(node.items) == 1


def _keyword(name: str, value: Any) -> Node:
    return _prefixed(f"{name}=", literal(value))


def _prefixed(prefix: str, node: Node) -> Node:
    if isinstance(node, Code):
        return Code(prefix + node.text, node.imports)
    return replace(node, opening=prefix + node.opening)


def _escaped(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + quote
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else repr(character)[1:-1]
