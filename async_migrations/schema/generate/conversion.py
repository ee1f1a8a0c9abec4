"""What turns the values of one type into those of another, where PostgreSQL has no cast on assignment; pure."""

from __future__ import annotations

import re

STRINGS = frozenset({"text", "character varying", "character", "citext", "name", '"char"'})
INTEGERS = frozenset({"smallint", "integer", "bigint"})
NUMBERS = INTEGERS | {"real", "double precision", "numeric"}
TIMES = frozenset({"timestamp without time zone", "timestamp with time zone"})
_FAMILIES: tuple[frozenset[str], ...] = (
    STRINGS,
    NUMBERS,
    TIMES | {"date"},
    frozenset({"json", "jsonb"}),
    frozenset({"inet", "cidr"}),
    frozenset({"bit", "bit varying"}),
    frozenset({"numeric", "money"}),
    frozenset({"time without time zone", "time with time zone"}),
    frozenset({"time without time zone", "interval"}),
)
_MODIFIER = re.compile(r"\([^)]*\)")


def base_of(type_: str) -> str:
    """Return a type, as `format_type` prints it, without its length or precision."""
    return " ".join(_MODIFIER.sub(" ", type_).split()).replace(" []", "[]")


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
    one, other = one.removesuffix("[]"), other.removesuffix("[]")
    if one == other or (other in STRINGS) or any({one, other} <= family for family in _FAMILIES):
        return None
    if one in TIMES and other.startswith("time "):
        return None
    return _explicit(column, one, other, after)


def back(column: str, before: str, after: str) -> str | None:
    """Return the SQL of the old value, of one that `using` has made; None where an assignment makes it."""
    one, other = base_of(before), base_of(after)
    if one.endswith("[]") and other in STRINGS:
        return f"{column}::{before}"
    return using(column, after, before)


def _explicit(column: str, one: str, other: str, after: str) -> str:
    if one == "boolean" and other in NUMBERS:
        return f"{column}::integer" + ("" if after == "integer" else f"::{after}")
    if one in NUMBERS and other == "boolean":
        return f"{column} <> 0"
    if one in NUMBERS and other in TIMES:
        return f"to_timestamp({column})" + ("" if after.endswith("with time zone") else " AT TIME ZONE 'UTC'")
    if one in TIMES and other in NUMBERS:
        return f"extract(epoch FROM {column})::{after}"
    if one in STRINGS and other == "bytea":
        return f"convert_to({column}, 'UTF8')"
    return f"{column}::{after}" if one in STRINGS else f"{column}::text::{after}"


def _array(column: str, one: str, after: str) -> str | None:
    if one in STRINGS | {"json", "jsonb"} or not after:
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE ARRAY[{column}]::{after} END"
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE ARRAY[{column}::text]::{after} END"


def _element(column: str, one: str, other: str, after: str) -> str | None:
    if other in STRINGS:
        return None
    if other in {"json", "jsonb"}:
        return f"to_{other}({column})" if other == "jsonb" else f"to_json({column})"
    element = one.removesuffix("[]")
    return f"{column}[1]" if element == other else f"{column}[1]::text::{after}"
