"""Hints about renames: what an author says is the same thing under another name. Never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from async_migrations.errors import RenameError
from async_migrations.schema.table import Name, parse_name, shown

Kind = Literal["schema", "type", "table", "column", "enum_value", "sequence", "constraint", "index"]
KINDS: tuple[str, ...] = get_args(Kind)
Rename = tuple[str, str, str]
"""A hint as its author writes it: kind, old name in full, new name."""

_MOVING = frozenset({"table", "type", "sequence"})
_INSIDE = frozenset({"column", "enum_value", "constraint"})
_TWO_NAMES = re.compile(r'((?:"(?:[^"]|"")*"|[^."]+)\.(?:"(?:[^"]|"")*"|[^."]+))\.(.+)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Hint:
    """One rename.

    Attributes:
        kind: what is renamed.
        owner: the table of a column or constraint, the enum of a label; the thing itself with its schema for all
            others. Its old name, or for a column also the table's new one.
        old: the bare old name.
        new: the bare new name.
        schema: the schema that it moves to; None to stay.
        written: the hint as its author wrote it.
    """

    kind: str
    owner: Name
    old: str
    new: str
    schema: str | None
    written: Rename

    def __str__(self) -> str:
        return f"({', '.join(map(repr, self.written))})"

    @property
    def renamed(self) -> Name:
        """The new name of a table, type or sequence."""
        return Name(self.schema or self.owner.schema, self.new)


def parse(renames: Iterable[Sequence[str]], default_schema: str | None) -> tuple[Hint, ...]:
    """Read hints, in the order in which they can be followed.

    Args:
        renames: `(kind, old, new)` each.
        default_schema: of an old name that is written without one.

    Raises:
        RenameError: a hint that says nothing, or two that contradict each other.
    """
    problems: list[str] = []
    hints: list[Hint] = []
    for written in renames:
        try:
            hints.append(_hint(written, default_schema or "public"))
        except ValueError as error:
            problems.append(f"{tuple(written)!r}: {error}")
    seen: set[tuple[str, Name, str]] = set()
    for hint in hints:
        if (key := (hint.kind, hint.owner, hint.old)) in seen:
            problems.append(f"{hint}: another hint renames the same {hint.kind.replace('_', ' ')}.")
        seen.add(key)
    if problems:
        raise RenameError(problems)
    return tuple(sorted(hints, key=lambda hint: KINDS.index(hint.kind)))


def _hint(written: Sequence[str], default_schema: str) -> Hint:
    if len(written) != 3 or not all(written):  # noqa: PLR2004 - see the text
        raise ValueError("a hint is three texts: the kind, the old name in full, the new name.")
    kind, old, new = written
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}.")
    if kind == "schema":
        return Hint(kind, Name(old, ""), _bare(old), _bare(new), None, (kind, old, new))
    owner, bare = _cut(kind, old, default_schema)
    schema, name = _moved(new) if kind in _MOVING else (None, _bare(new))
    return Hint(kind, owner, bare, name, schema, (kind, old, new))


def _cut(kind: str, old: str, default_schema: str) -> tuple[Name, str]:
    parts = parse_name(old)
    if kind not in _INSIDE:
        if len(parts) > 2:  # noqa: PLR2004 - schema and name
            raise ValueError(f"the old name of a {kind} is schema.{kind}, with quotes where a name has a dot.")
        name = Name(parts[0], parts[1]) if len(parts) > 1 else Name(default_schema, parts[0])
        return name, name.name
    what = {"column": "schema.table.column", "constraint": "schema.table.constraint", "enum_value": "schema.enum.label"}
    if found := _TWO_NAMES.fullmatch(old):
        schema, owner = parse_name(found[1])
        return Name(schema, owner), _bare(found[2])
    if len(parts) == 2:  # noqa: PLR2004 - table and column, of the default schema
        if kind == "constraint":  # or schema and constraint: as for an index, the table is found by it
            return Name(parts[0], ""), parts[1]
        return Name(default_schema, parts[0]), parts[1]
    raise ValueError(f"the old name is to be written in full: {what[kind]}.")


def _moved(new: str) -> tuple[str | None, str]:
    parts = parse_name(new)
    return (parts[0], parts[1]) if len(parts) == 2 else (None, _bare(new))  # noqa: PLR2004 - schema and name


def _bare(text: str) -> str:
    return text[1:-1].replace('""', '"') if len(text) > 2 and text[0] == text[-1] == '"' else text  # noqa: PLR2004


def left(hints: Iterable[Hint]) -> frozenset[str]:
    """Return the schemas that things move out of."""
    return frozenset(hint.owner.schema for hint in hints if hint.schema)


def described(hint: Hint) -> str:
    """Write what a hint renames, for a sentence about it."""
    if hint.kind == "schema":
        return f"schema {shown(hint.old)}"
    if hint.kind in _INSIDE:
        return f"{hint.kind.replace('_', ' ')} {shown(hint.old)} of {hint.owner}"
    return f"{hint.kind} {hint.owner}"
