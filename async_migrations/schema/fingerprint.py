"""Whether a MetaData is still what it was: cheap marks first, then the digest of its DDL."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Computed, DefaultClause, Identity, MetaData, Table
from sqlalchemy import Sequence as Sequence_
from sqlalchemy.sql.elements import ClauseElement, TextClause

from async_migrations.schema.collector import held_back
from async_migrations.schema.ddl import Step, announced

Marks = list[Any]
_TYPE_PARTS = ("length", "precision", "scale", "timezone", "name", "schema", "item_type", "collation", "dimensions")
_CONSTRAINT_PARTS = (
    "name",
    "using",
    "deferrable",
    "initially",
    "ondelete",
    "onupdate",
    "match",
    "comment",
)
_DOMAIN_PARTS = ("data_type", "not_null", "constraint_name")
_COUNTING = (
    "name",
    "schema",
    "start",
    "increment",
    "minvalue",
    "maxvalue",
    "nominvalue",
    "nomaxvalue",
    "cycle",
    "cache",
    "data_type",
    "always",
)
KEPT = 8
"""How many metadata are remembered; their objects are held, so that none can take another's place unseen."""

_known: OrderedDict[int, tuple[MetaData, str, Marks, str]] = OrderedDict()


def forget() -> None:
    """Forget all digests."""
    _known.clear()


def marks_of(metadata: MetaData) -> Marks:
    """Return what changes when somebody changes the metadata: its objects by their identity, their texts and options.

    Compiling a thousand tables takes as long as reading them from the database twice; this takes a tenth. What is
    changed inside an expression is not seen: who builds one has a new one.
    """
    with held_back():
        return _marks(metadata)


def _marks(metadata: MetaData) -> Marks:
    sequences = metadata._sequences.values()  # noqa: SLF001 - as create_all
    marks: Marks = [metadata.schema, *map(_counted, sequences), *_listeners(metadata)]
    for key, table in metadata.tables.items():
        marks += (key, table, table.comment, len(table.constraints), len(table.indexes))
        marks += [(each, each.name, each.unique, _said(each.expressions), _options(each)) for each in table.indexes]
        marks += [
            (each, *_parts(each, _CONSTRAINT_PARTS, ("sqltext", "where")), _options(each)) for each in table.constraints
        ]
        marks += _listeners(table)
        marks.append((*table._prefixes, _options(table)))  # noqa: SLF001 - it has no public name
        for column in table.columns:
            marks.append(
                (
                    column.name,
                    column.nullable,
                    column.comment,
                    None if (clause := column.server_default) is None else _said(clause),
                    None if (default := column.default) is None else _counted(default),
                    None if (identity := column.identity) is None else _counted(identity),
                    column.primary_key,
                    column.autoincrement,
                    column.type,
                    *_type(column.type),
                )
            )
    return marks


class _Same:
    """An expression, equal to itself alone; its own `==` is SQL, and may be anything."""

    __slots__ = ("expression",)

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.expression is other.expression

    def __hash__(self) -> int:
        return id(self.expression)


def _said(value: Any) -> Any:
    """Return the words of a value where they can be changed under it."""
    if isinstance(value, DefaultClause | Computed):
        return (value, *_parts(value, ("persisted",), ("arg", "sqltext")))
    if isinstance(value, TextClause):
        return value.text
    if isinstance(value, ClauseElement):
        return value.name if isinstance(value, Column) else _Same(value)
    if isinstance(value, dict):
        return tuple((key, _said(each)) for key, each in value.items())
    return tuple(map(_said, value)) if isinstance(value, list | tuple) else value


def _parts(thing: Any, plain: Iterable[str], texts: Iterable[str] = ()) -> tuple[Any, ...]:
    get = vars(thing).get
    return (*map(get, plain), *[_said(get(name)) for name in texts])


def _options(thing: Any) -> Any:
    # Those that were given: to look at the defaults, too, takes as long as all the rest.
    dialects = vars(thing).get("dialect_options")
    options = dialects.get("postgresql") if dialects else None
    return _said(options._non_defaults) if options is not None else ()  # noqa: SLF001 - it has no public name


def _counted(thing: Any) -> Any:
    """Return a sequence or an identity with how it counts; anything else by itself."""
    if not isinstance(thing, Sequence_ | Identity):
        return thing
    return (thing, *_parts(thing, _COUNTING))


def recall(metadata: MetaData, flavour: str, marks: Marks) -> str | None:
    """Return the digest of a metadata that has not changed since it was noted, else None.

    Args:
        metadata: the metadata.
        flavour: what else its DDL depends on, such as the server's version.
        marks: what `marks_of` says now.
    """
    noted = _known.get(id(metadata))
    return noted[3] if noted is not None and noted[1:3] == (flavour, marks) else None


def note(metadata: MetaData, flavour: str, marks: Marks, steps: Sequence[Step]) -> str:
    """Remember and return the digest of a metadata's statements."""
    # No statement says of a column that the server fills it somehow.
    filled = [f"{table.key}.{name}" for table in metadata.tables.values() for name in sorted(announced(table))]
    said = [*(step.sql for step in steps), *filled]
    digest = hashlib.sha256("\0".join(said).encode()).hexdigest()
    _known[id(metadata)] = metadata, flavour, marks, digest
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return digest


def _type(kind: Any) -> tuple[Any, ...]:
    inside = vars(kind)
    enums, item = inside.get("enums"), inside.get("item_type")
    parts = tuple(part for name in _TYPE_PARTS if (part := inside.get(name)))
    if enums:
        return (*parts, tuple(enums))
    if item is not None:
        return (*parts, *_type(item))
    return (*parts, *_parts(kind, _DOMAIN_PARTS, ("check", "default"))) if "constraint_name" in inside else parts


def _listeners(thing: Table | MetaData) -> list[Any]:
    return [each for name in ("before_create", "after_create") for each in getattr(thing.dispatch, name)]
