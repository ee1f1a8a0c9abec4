"""Whether a MetaData is still what it was: cheap marks first, then the digest of its DDL."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import MetaData, Table

from async_migrations.schema.collector import held_back
from async_migrations.schema.ddl import Step, announced

Marks = list[Any]
_TYPE_PARTS = ("length", "precision", "scale", "timezone", "name", "schema", "item_type", "collation", "dimensions")
KEPT = 8
"""How many metadata are remembered; their objects are held, so that none can take another's place unseen."""

_known: OrderedDict[int, tuple[MetaData, str, Marks, str]] = OrderedDict()


def forget() -> None:
    """Forget all digests."""
    _known.clear()


def marks_of(metadata: MetaData) -> Marks:
    """Return what changes when somebody changes the metadata; its objects are compared by their identity.

    Compiling a thousand tables takes as long as reading them from the database twice; this takes a tenth.
    """
    with held_back():
        return _marks(metadata)


def _marks(metadata: MetaData) -> Marks:
    marks: Marks = [metadata.schema, len(metadata._sequences), *_listeners(metadata)]  # noqa: SLF001 - as create_all
    for key, table in metadata.tables.items():
        marks += (key, table, table.comment, len(table.constraints), len(table.indexes))
        marks += [(each, each.name) for each in table.indexes]
        marks += [(each, each.name) for each in table.constraints]
        marks += _listeners(table)
        options = table.dialect_options.get("postgresql")
        marks.append(dict(options) if options else None)
        for column in table.columns:
            marks.append(
                (
                    column.name,
                    column.nullable,
                    column.comment,
                    column.server_default,
                    column.default,
                    column.identity,
                    column.computed,
                    column.primary_key,
                    column.autoincrement,
                    column.type,
                    *_type(column.type),
                )
            )
    return marks


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
    enums = inside.get("enums")
    parts = tuple(part for name in _TYPE_PARTS if (part := inside.get(name)))
    return (*parts, tuple(enums)) if enums else parts


def _listeners(thing: Table | MetaData) -> list[Any]:
    return [each for name in ("before_create", "after_create") for each in getattr(thing.dispatch, name)]
