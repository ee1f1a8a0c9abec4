"""Conversions of types that lose a part of a value without an error; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations, product

_PARTS = re.compile(
    r"(?P<name>.+?) ?(?:\((?P<numbers>[-\d, ]+)\))?(?P<rest> with(?:out)? time zone)?(?P<array>(?:\[\])*)", re.DOTALL
)
_STRINGS = frozenset({"text", "character varying", "character", "bpchar", "citext"})
_CUT_STRINGS = frozenset({"name", '"char"'})
"""Strings of a fixed length, to which PostgreSQL cuts without an error."""
_DOCUMENTS = frozenset({"json", "jsonb"})
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_FLOATS = frozenset({"real", "double precision"})
_NUMBERS = _INTEGERS | _FLOATS | {"numeric"}
_STAMPS = ("timestamp without time zone", "timestamp with time zone")
_TIMES = frozenset({*_STAMPS, "time without time zone", "time with time zone", "interval"})
_BITS = frozenset({"bit", "bit varying"})
_KNOWN = (
    _NUMBERS
    | _TIMES
    | _BITS
    | {"boolean", "money", "date", "inet", "cidr", "point", "lseg", "path", "box", "polygon", "circle"}
)
"""Types between which each conversion is either exact, and stands below, or loses something."""
_EXACT = frozenset(
    {
        *product(_INTEGERS, (*_INTEGERS, "numeric", "money", "boolean", *_STAMPS, "interval")),
        *product(("smallint", "integer"), ("double precision",)),
        ("smallint", "real"),
        ("real", "double precision"),
        *product(_FLOATS, ("numeric", "boolean")),
        ("numeric", "boolean"),
        ("money", "numeric"),
        *product(("boolean",), _NUMBERS),
        *product(("date",), (*_STAMPS, *_INTEGERS, "numeric", "double precision")),
        *permutations(_STAMPS),
        *product(_STAMPS, ("numeric",)),
        ("time without time zone", "time with time zone"),
        ("time without time zone", "interval"),
        *permutations(_BITS),
        *product(("bit",), ("integer", "bigint")),
        ("cidr", "inet"),
        ("point", "box"),
        ("path", "polygon"),
        ("box", "lseg"),
        ("box", "polygon"),
    }
)
"""Conversions that keep each value, or refuse it."""
_CUT_FROM_TEXT = frozenset(
    {
        *_FLOATS,
        *_CUT_STRINGS,
        "money",
        "date",
        "timestamp without time zone",
        "time without time zone",
        "time with time zone",
        "bit",
        "jsonb",
        "tsvector",
    }
)
"""Types that take more from a text than they keep: digits, a time of day, a time zone, a second key of the name."""
_WIDTHS = {"smallint": 32, "integer": 32, "bigint": 64}
"""Bits of a number."""
_FINEST = 6
"""Digits of a second that PostgreSQL keeps."""


@dataclass(frozen=True, slots=True)
class _Type:
    """A type, cut into what decides.

    Attributes:
        name: without length, precision and brackets.
        numbers: length, or precision and scale.
        array: whether it is an array.
    """

    name: str
    numbers: tuple[int, ...] = ()
    array: bool = False

    @property
    def scale(self) -> float:
        """How many digits stand behind the point; any number of them without a limit."""
        if self.name in _INTEGERS:
            return 0
        if not self.numbers:
            return float("inf")
        return self.numbers[1] if len(self.numbers) > 1 else 0

    @property
    def precision(self) -> int:
        """How many digits of a second are kept."""
        return self.numbers[0] if self.numbers else _FINEST


def rounds(before: str, after: str) -> bool:
    """Tell whether a conversion may lose a part of a value silently.

    One that PostgreSQL refuses when a value does not fit, such as a shorter varchar, loses nothing. What is not known
    to keep everything is taken to lose something.

    Args:
        before: as `format_type` prints it; of a domain, the type below it.
        after: the same.
    """
    old, new = _parsed(before), _parsed(after)
    if new.name in _STRINGS and not (new.array and old.name in _DOCUMENTS and not old.array):
        return False
    if new.name in _DOCUMENTS and not new.array:
        # The second of two keys of one name is all that jsonb keeps.
        return new.name == "jsonb" and (old.name == "json" or (old.name in _STRINGS and not old.array))
    if old.array and not new.array:
        return new.name in _CUT_STRINGS or new.name not in _STRINGS
    return _element(old, new)


def _element(old: _Type, new: _Type) -> bool:
    if old.name == new.name or {old.name, new.name} <= _STRINGS:
        return _is_narrower(old, new)
    if old.name in _DOCUMENTS and new.name in _STRINGS:
        return True  # an array in which numbers and texts can no longer be told apart
    if old.name in _KNOWN and new.name in _KNOWN:
        return not _is_exact(old, new)
    return _is_cut(new)


def _is_exact(old: _Type, new: _Type) -> bool:
    if old.name == "numeric" and new.name in _INTEGERS:
        return old.scale <= 0
    if old.name == "numeric" and new.name == "money":
        return old.scale <= len("00")
    if old.name in _WIDTHS and new.name == "bit":
        return bool(new.numbers) and new.numbers[0] >= _WIDTHS[old.name]
    return (old.name, new.name) in _EXACT and not _is_narrower(old, new)


def _is_narrower(old: _Type, new: _Type) -> bool:
    """Whether there is less room for digits behind the point."""
    if new.name == "numeric":
        return old.scale > new.scale if old.name in _INTEGERS | {"numeric"} else bool(new.numbers)
    if new.name.startswith("interval "):
        return True  # of some fields only
    return old.name in _TIMES and new.name in _TIMES and old.precision > new.precision


def _is_cut(new: _Type) -> bool:
    """Whether a text, through which all other values go, may say more than is kept of it."""
    if new.name in _CUT_FROM_TEXT or new.name.startswith("interval "):
        return True
    return (
        new.precision < _FINEST if new.name in _TIMES else new.name in {"numeric", "bit varying"} and bool(new.numbers)
    )


def _parsed(type_: str) -> _Type:
    parts = _PARTS.fullmatch(type_)
    if parts is None:
        return _Type(type_)
    numbers = tuple(int(each) for each in (parts["numbers"] or "").split(",") if each.strip())
    name = parts["name"] + (parts["rest"] or "")
    return _Type(name.rpartition(".")[2] if name.endswith("citext") else name, numbers, bool(parts["array"]))
