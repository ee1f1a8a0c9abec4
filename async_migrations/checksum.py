"""Checksums of migration files: of the bytes, and of what the file means."""

import ast
import hashlib
import threading
from functools import cache
from typing import Any

from async_migrations import sql

# What differs between two Python versions, or between two ways to lay out the same program.
_SILENT_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


# Python 3.11 counts the depth of a tree once for all threads, and fails when two build one at a time.
_ONE_AT_A_TIME = threading.Lock()


def raw_checksum(content: bytes) -> str:
    """Hash the bytes of a file: quick to compare, and true only for the very same bytes.

    Args:
        content: The file as it is on disk.

    Returns:
        The SHA-256 in hexadecimal digits.
    """
    return hashlib.sha256(content).hexdigest()


def python_checksum(source: bytes | str, filename: str = "<migration>") -> str:
    """Hash what a Python source does; comments, docstrings and formatting do not count.

    The answer is the same on every Python version that can read the source.

    Args:
        source: The source; bytes are decoded as Python decodes a file.
        filename: The name that a syntax error shows.

    Returns:
        The SHA-256 in hexadecimal digits.

    Raises:
        SyntaxError: The source is no Python of the running version.
    """
    try:
        with _ONE_AT_A_TIME:
            tree = ast.parse(source, filename)
    except SyntaxError as error:
        error.filename = error.filename or filename
        raise
    except ValueError as error:
        # What a NUL gives on early releases of Python 3.11, and a lone surrogate on all.
        raise SyntaxError(str(error), (filename, 1, 1, None)) from error
    return hashlib.sha256(_written(tree).encode("utf-8", "surrogatepass")).hexdigest()


def sql_checksum(script: str) -> str:
    """Hash an SQL script; comments and white space between its words do not count.

    Args:
        script: The text of the file.

    Returns:
        The SHA-256 in hexadecimal digits.
    """
    return hashlib.sha256(sql.canonical(script).encode("utf-8", "surrogatepass")).hexdigest()


class _Mark(str):
    """Punctuation of ours, to tell it from the names in the tree."""

    __slots__ = ()


_CLOSE, _CLOSE_LIST = _Mark(")"), _Mark("]")


def _written(tree: ast.AST) -> str:
    """Write out a tree without `ast.dump`, whose text differs from one Python version to the next.

    A stack and not recursion, because a long chain of additions is a tree deeper than Python's call stack.
    """
    pieces: list[str] = []
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, _Mark):
            pieces.append(item)
        elif isinstance(item, ast.Constant):
            pieces.append(_constant(item.value))
        elif isinstance(item, ast.AST):
            pieces.append(f"({type(item).__name__}")
            stack.extend(_fields(item))
        elif isinstance(item, list):
            pieces.append("[")
            stack.append(_CLOSE_LIST)
            stack.extend(reversed(item))
        else:
            # None in a list is not the constant None: it marks the ** of a dict display.
            pieces.append("-" if item is None else _constant(item))
    return " ".join(pieces)


def _fields(node: ast.AST) -> list[Any]:
    """List, last first, what a node holds; a field that is not set may not exist on an older version."""
    fields: list[Any] = [_CLOSE]
    for name, mark in _names(node._fields):
        value = getattr(node, name, None)
        if isinstance(value, list):
            value = _joined(value) if isinstance(node, ast.JoinedStr) else _active(value)
        if value is not None and value != []:
            fields += (value, mark)
    return fields


@cache
def _names(names: tuple[str, ...]) -> list[tuple[str, _Mark]]:
    return [(name, _Mark(f"{name}=")) for name in reversed(names) if name not in _SILENT_FIELDS]


def _active(items: list[Any]) -> list[Any]:
    """Leave out the statements that do nothing: docstrings, and `pass`, which stands where one must."""
    return [item for item in items if not isinstance(item, ast.Pass) and not _is_docstring(item)]


def _is_docstring(item: object) -> bool:
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Merge the neighbouring texts of an f-string: Python 3.12 cuts them in other places than 3.11."""
    merged: list[ast.expr] = []
    for part in parts:
        match part, merged:
            case ast.Constant(value=""), _:
                pass
            case ast.Constant(value=str(text)), [*_, ast.Constant(value=str(before))]:
                merged[-1] = ast.Constant(before + text)
            case _:
                merged.append(part)
    return merged


def _constant(value: object) -> str:
    """Write a constant without `repr`, which escapes letters by the Unicode tables of the running version."""
    if isinstance(value, str):
        return f"s{len(value)}:{value}"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    if isinstance(value, bytes):
        return f"b{value.hex()}"
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, complex):
        return f"{value.real.hex()} {value.imag.hex()}j"
    return repr(value)
