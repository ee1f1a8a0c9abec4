"""Conversions of types that lose a part of a value without an error; pure."""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"(?P<name>[^(\[]+?) ?(?:\((?P<numbers>[-\d, ]+)\))?(?P<rest> with(?:out)? time zone)?(?P<array>(?:\[\])*)"
)
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_FLOATS = frozenset({"real", "double precision"})
_TIMES = frozenset({"timestamp", "time", "interval"})
_COARSER = (
    {(one, other) for one in (*_FLOATS, "numeric", "money") for other in _INTEGERS}
    | {("double precision", "real"), ("numeric", "real"), ("numeric", "double precision")}
    | {("timestamp", "date"), ("timestamp", "time")}
)
_FINEST = 6
"""Digits of a second that PostgreSQL keeps."""


def rounds(before: str, after: str) -> bool:
    """Tell whether a conversion may round or cut a value silently.

    One that PostgreSQL refuses when a value does not fit, such as a shorter varchar, loses nothing.

    Args:
        before: as `format_type` prints it.
        after: the same.
    """
    old, new = _PARTS.fullmatch(before), _PARTS.fullmatch(after)
    if old is None or new is None:
        return False
    one, other = old["name"], new["name"]
    if one == other == "numeric":
        return _scale(old) > _scale(new)
    if one in _FLOATS and other == "numeric":
        return new["numbers"] is not None
    if one in _TIMES and other in _TIMES and _precision(old) > _precision(new):
        return True
    return (one, other) in _COARSER


def _scale(parts: re.Match[str]) -> float:
    """Return how many digits stand behind the point; any number of them without a limit."""
    if parts["numbers"] is None:
        return float("inf")
    _, _, scale = parts["numbers"].partition(",")
    return int(scale or 0)


def _precision(parts: re.Match[str]) -> int:
    return int(parts["numbers"]) if parts["numbers"] else _FINEST
