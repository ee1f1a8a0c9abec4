"""The statements by which a MetaData is created, each with the thing that it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Computed, DefaultClause, Dialect, FetchedValue, Identity, MetaData, Table
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable, ExecutableDDLElement
from sqlalchemy.sql.elements import TextClause

from async_migrations.schema.collector import held_back
from async_migrations.schema.table import Name

_TYPES = {"CreateEnumType": "enum", "CreateDomainType": "domain"}
_SAID = (Computed, DefaultClause, Identity)
_NO_MAP: Mapping[str | None, str | None] = {}
_CONCURRENTLY = re.compile(r"(\s*CREATE\s+(?:UNIQUE\s+)?INDEX)\s+CONCURRENTLY\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement.

    Attributes:
        sql: the statement.
        thing: what it makes, for people: "table public.users".
    """

    sql: str
    thing: str


class NotPlainError(Exception):
    """Creating this metadata asks the database questions; only a real connection can answer them."""


def compiled(
    metadata: MetaData, dialect: Dialect, schema: str | None, translate: Mapping[str | None, str | None] = _NO_MAP
) -> tuple[Step, ...]:
    """Return the statements of `create_all`, without sending them.

    Args:
        metadata: what is created.
        dialect: one that has been connected, so that it knows the server's version.
        schema: the default schema, for the names of things.
        translate: the `schema_translate_map` of the connection that would be used.

    Raises:
        NotPlainError: a listener of the metadata does more than send DDL.
    """
    steps: list[Step] = []
    mapped: dict[str, Any] = {"schema_translate_map": translate, "render_schema_translate": True} if translate else {}

    def execute(element: Any, parameters: Any = None) -> None:
        if parameters or not isinstance(element, ExecutableDDLElement | TextClause):
            raise NotPlainError(type(element).__name__)
        if isinstance(element, TextClause) and element._bindparams:  # noqa: SLF001 - there is no public word for it
            raise NotPlainError("text() with parameters")
        sql = str(element.compile(dialect=dialect, **mapped)).strip()
        step = Step(alone(sql), described(element, schema))
        # A sequence of several columns is announced once for each; create_all looks whether it is there.
        if sql and not (isinstance(element, CreateSequence) and step in steps):
            steps.append(step)

    try:
        with held_back():
            metadata.create_all(MockConnection(dialect, execute), checkfirst=False)
    except (NotPlainError, SQLAlchemyError):
        raise
    except Exception as error:
        # A listener asked for what the stand-in cannot do, or used an answer that it did not get; or it is broken.
        raise NotPlainError(str(error)) from error
    return tuple(steps)


def alone(sql: str) -> str:
    """Return a statement without what cannot stand in a transaction: an empty table needs no CONCURRENTLY."""
    return _CONCURRENTLY.sub(r"\1", sql, count=1) if "ONCURRENTLY" in sql[:60].upper() else sql


def described(element: Any, schema: str | None) -> str:
    """Name what a piece of DDL makes."""
    thing: Any = getattr(element, "element", None)
    kind = type(element).__name__
    simple = {CreateTable: "table", CreateSequence: "sequence"}.get(type(element), _TYPES.get(kind))
    if simple is not None:
        return f"{simple} {_full(thing, schema)}"
    if isinstance(element, CreateIndex):
        return f"index {thing.name} of table {_full(thing.table, schema)}"
    if isinstance(thing, Table):
        return f"the comment of table {_full(thing, schema)}"
    if isinstance(getattr(thing, "table", None), Table):
        what = "the comment of" if kind.startswith("Set") else "constraint"
        return f"{what} {getattr(thing, 'name', None) or '(unnamed)'} of table {_full(thing.table, schema)}"
    target = getattr(element, "target", None)
    return f"a DDL listener of {_full(target, schema)}" if isinstance(target, Table) else "a DDL listener"


def _full(thing: Any, schema: str | None) -> str:
    own = getattr(thing, "schema", None) or schema
    return f"{own}.{thing.name}" if own else str(thing.name)


def types_of(metadata: MetaData, steps: Sequence[Step] | None, default_schema: str | None) -> frozenset[Name]:
    """Return the types and sequences that creating a metadata makes."""
    found: set[Name] = set()
    for step in steps or ():
        kind, _, name = step.thing.partition(" ")
        if kind in {"enum", "domain", "sequence"}:
            schema, _, own = name.partition(".")
            found.add(Name(schema, own))
    if steps is None:
        kinds = (_innermost(column.type) for table in metadata.tables.values() for column in table.columns)
        names = ((each.schema, each.name) for each in kinds if getattr(each, "create_type", False) and each.name)
        found |= {Name(schema or default_schema or "", name) for schema, name in names}
    return frozenset(found)


def _innermost(kind: Any) -> Any:
    inner = getattr(kind, "item_type", None) or getattr(kind, "impl_instance", None)
    return kind if inner is None or inner is kind else _innermost(inner)


def announced(table: Table) -> frozenset[str]:
    """Return the columns of which a table says that the server fills them, and not how: `FetchedValue()`."""
    return frozenset(
        column.name
        for column in table.columns
        if isinstance(column.server_default, FetchedValue) and not isinstance(column.server_default, _SAID)
    )


def schemas_of(metadata: MetaData) -> frozenset[str]:
    """Return the schemas that the metadata names: of tables, types and sequences."""
    found: set[str | None] = {metadata.schema}
    for table in metadata.tables.values():
        found.add(table.schema)
        for column in table.columns:
            found.add(getattr(_innermost(column.type), "schema", None))
    found |= {sequence.schema for sequence in _sequences(metadata)}
    return frozenset(each for each in found if isinstance(each, str))


def _sequences(metadata: MetaData) -> Sequence[Any]:
    return list(metadata._sequences.values())  # noqa: SLF001 - as create_all does
