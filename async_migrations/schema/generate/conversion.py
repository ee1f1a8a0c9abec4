"""What turns the values of one type into those of another, where PostgreSQL has no cast on assignment; pure."""

from __future__ import annotations

import re
from itertools import permutations, product

STRINGS = frozenset({"text", "character varying", "character", "citext", "name", '"char"'})
INTEGERS = frozenset({"smallint", "integer", "bigint"})
FLOATS = frozenset({"real", "double precision"})
NUMBERS = INTEGERS | FLOATS | {"numeric"}
DOCUMENTS = frozenset({"json", "jsonb"})
TIMES = frozenset({"timestamp without time zone", "timestamp with time zone"})
_FAMILIES: tuple[frozenset[str], ...] = (
    STRINGS,
    NUMBERS,
    TIMES | {"date"},
    DOCUMENTS,
    frozenset({"inet", "cidr"}),
    frozenset({"bit", "bit varying"}),
    frozenset({"numeric", "money"}),
    frozenset({"time without time zone", "time with time zone"}),
    frozenset({"time without time zone", "interval"}),
    *(frozenset({stamp, time}) for stamp in TIMES for time in ("time without time zone", "time with time zone")),
)
_CASTS = frozenset(
    {
        *product(("integer", "bigint"), ("bit", "money", "oid", "regclass", "regtype", "regproc", "regrole")),
        *product(("bit", "oid", "regclass", "regtype", "regproc", "regrole"), ("integer", "bigint")),
        *product(("jsonb",), (*NUMBERS, "boolean")),
        *permutations(("macaddr", "macaddr8")),
        *permutations(("boolean", "integer")),
        *product(("point",), ("box",)),
        *product(("path",), ("polygon",)),
        *product(("lseg",), ("point",)),
        *product(("box",), ("point", "lseg", "polygon", "circle")),
        *product(("polygon",), ("point", "path", "box", "circle")),
        *product(("circle",), ("point", "box", "polygon")),
    }
)
"""Casts of PostgreSQL's own between types whose texts are written in other ways."""
_FUNCTIONS = {("uuid", "bytea"): "uuid_send({})", ("bytea", "uuid"): "encode({}, 'hex')::uuid"}
_LONGEST = 36
"""The length of a uuid as text."""
_UNPACKED = "(jsonb_populate_record(NULL::pg_class, jsonb_build_object('reloptions', {}))).reloptions"
"""The elements of a document as texts: no query may stand in a USING, and rows of this type are always known."""
_MODIFIER = re.compile(r"\([^)]*\)")


def base_of(type_: str) -> str:
    """Return a type, as `format_type` prints it, without its length or precision."""
    return " ".join(_MODIFIER.sub(" ", type_).split()).replace(" []", "[]")


def uncut(type_: str) -> str:
    """Return a type for a cast, which cuts a text without an error: its length is for the assignment to look at."""
    base = base_of(type_)
    element = base.removesuffix("[]")
    if element not in STRINGS:
        return type_
    return base.replace("character", "bpchar", 1) if element == "character" else base


def changes_zone(before: str, after: str) -> bool:
    """Whether times get a time zone or lose it."""
    return {base_of(before), base_of(after)} == TIMES


def is_comparable(before: str, after: str) -> bool:
    """Whether foreign keys survive when one side is altered first."""
    one, other = base_of(before), base_of(after)
    return one == other or {one, other} <= INTEGERS or {one, other} <= {"text", "character varying"}


def using(column: str, before: str, after: str) -> str | None:
    """Return the SQL of the new value; None where an assignment makes it.

    Args:
        column: the column as SQL.
        before: its type, as PostgreSQL prints it; of a domain, the type below it.
        after: its type then; a domain is cast to by its own name.
    """
    one, other = base_of(before), base_of(after)
    if one.endswith("[]") != other.endswith("[]"):
        return _array(column, one, after) if other.endswith("[]") else _element(column, one, other, after)
    if (exact := _exact(column, one, other, after)) is not None:
        return exact
    one, other = one.removesuffix("[]"), other.removesuffix("[]")
    if one == other or other in STRINGS or any({one, other} <= family for family in _FAMILIES):
        return None
    if before.endswith("[]"):
        return _elements(column, one, other, after)
    return _explicit(column, one, other, after)


def back(column: str, before: str, after: str) -> str | None:
    """Return the SQL of the old value, of one that `using` has made; None where an assignment makes it."""
    one, other = base_of(before), base_of(after)
    if (
        other.endswith("[]")
        and not one.endswith("[]")
        and (one not in DOCUMENTS or other.removesuffix("[]") in DOCUMENTS)
    ):
        return using(f"{column}[1]", after.removesuffix("[]"), before) or f"{column}[1]"
    if (one.endswith("[]") or one == "bytea") and other in STRINGS:
        return f"{column}::{before}"
    if one in STRINGS and other == "bytea":
        return f"convert_from({column}, 'UTF8')"
    if other == one.replace("range", "multirange") != one:
        return f"range_merge({column})"
    return using(column, after, before)


def _exact(column: str, one: str, other: str, after: str) -> str | None:
    """Return the SQL where an assignment would give another value, or one that the session decides."""
    if {one, other} == TIMES:
        return f"{column} AT TIME ZONE 'UTC'"
    if one in FLOATS and other == "numeric":
        return f"{column}::text::{after}"  # a cast keeps six or fifteen digits
    return _short(column, one, after) if other in STRINGS else None


def _short(column: str, one: str, after: str) -> str | None:
    """Return a shorter way to write what the text of would not fit; it is read back all the same."""
    length = _MODIFIER.search(after)
    size = int(length[0][1:-1]) if length else _LONGEST
    if one == "boolean" and size < len("false"):
        return f"left({column}::text, {size})"
    if one == "uuid" and size < _LONGEST:
        return f"replace({column}::text, '-', '')"
    return None


def _elements(column: str, one: str, other: str, after: str) -> str:
    """Return the SQL for arrays, which are cast as their elements are."""
    return f"{column}::{after}" if one in STRINGS or _is_cast(one, other) else f"{column}::text::{after}"


def _explicit(column: str, one: str, other: str, after: str) -> str:
    if one == "boolean" and other in NUMBERS:
        return f"{column}::integer" + ("" if after == "integer" else f"::{after}")
    if one in NUMBERS and other == "boolean":
        return f"{column}::text::boolean"  # which refuses all but 0 and 1
    if one in STRINGS:
        return f"convert_to({column}, 'UTF8')" if other == "bytea" else f"{column}::{after}"
    if one in NUMBERS | TIMES | {"date", "interval", "money"} and {one, other} & NUMBERS:
        return _number(column, one, other, after)
    return _otherwise(column, one, other, after)


def _otherwise(column: str, one: str, other: str, after: str) -> str:
    if (one, other) in _FUNCTIONS:
        return _FUNCTIONS[one, other].format(column)
    if other in DOCUMENTS:
        return f"to_{other}({column})"
    if one in DOCUMENTS:
        return f"({column} #>> '{{}}')::{after}"
    return f"{column}::{after}" if _is_cast(one, other) else f"{column}::text::{after}"


def _number(column: str, one: str, other: str, after: str) -> str:
    """Return the SQL between a number and what is none; times are seconds since 1970."""
    if one in NUMBERS and other in TIMES:
        return f"to_timestamp({column})" + ("" if after.endswith("with time zone") else " AT TIME ZONE 'UTC'")
    if one in NUMBERS and other == "date":
        return f"(to_timestamp({column}) AT TIME ZONE 'UTC')::date"
    if one in NUMBERS and other == "interval":
        return f"make_interval(secs => {column})"
    if one in TIMES | {"date", "interval"}:
        return f"extract(epoch FROM {column})::{after}"
    return f"{column}::numeric::{after}" if one == "money" else _otherwise(column, one, other, after)


def _is_cast(one: str, other: str) -> bool:
    """Whether PostgreSQL casts one to the other itself, which says more than the text would."""
    return (one, other) in _CASTS or other == one.replace("range", "multirange")


def _array(column: str, one: str, after: str) -> str | None:
    if one in DOCUMENTS and base_of(after).removesuffix("[]") not in DOCUMENTS:
        return _UNPACKED.format(column if one == "jsonb" else f"{column}::jsonb") + f"::{uncut(after)}"
    element = column if one in STRINGS | DOCUMENTS else f"{column}::text"
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE ARRAY[{element}]::{uncut(after)} END"


def _element(column: str, one: str, other: str, after: str) -> str | None:
    if other in STRINGS:
        return None
    if other in DOCUMENTS:
        return f"to_{other}({column})"
    element = one.removesuffix("[]")
    return f"{column}[1]" if element == other else f"{column}[1]::text::{after}"
