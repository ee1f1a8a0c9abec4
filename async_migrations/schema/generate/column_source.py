"""Columns as Python source: definitions, defaults, identities."""

from __future__ import annotations

from typing import Any

from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group, Node, call
from async_migrations.schema.generate.type_source import SQLALCHEMY, raw_type, type_source
from async_migrations.schema.generate.words import condition_node
from async_migrations.schema.table import Column, Identity, Name, SequenceOptions

LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_SMALLEST = {name: -number - 1 for name, number in LARGEST.items()}


def column_node(context: Context, table: Name, column: Column, **changed: Any) -> Group:
    """Return `sa.Column(...)`.

    Args:
        context: all differences.
        table: the column's table.
        column: as PostgreSQL has read it.
        changed: keywords of `Column` that are other ones, or further ones.
    """
    keywords: dict[str, Any] = {}
    generated: list[Node] = []
    if column.computed is not None:
        expression = condition_node(context.words.computed(table, column))
        generated.append(call("sa.Computed", expression, persisted=column.computed.stored, imports=SQLALCHEMY))
    elif column.identity is not None:
        generated.append(identity_node(column.identity))
    elif column.sequence is None and (default := context.words.default(table, column)) is not None:
        keywords["server_default"] = default
    if not column.nullable and column.identity is None:
        keywords["nullable"] = False
    if column.comment is not None:
        keywords["comment"] = column.comment
    keywords = {name: value for name, value in (keywords | changed).items() if value is not ...}
    return call("sa.Column", column.name, type_node(context, table, column), *generated, **keywords, imports=SQLALCHEMY)


def type_node(context: Context, table: Name, column: Column) -> Node:
    """Return the source of a column's type, with its collation."""
    declared = context.words.column(table, column.name)
    if declared is None:
        collation = f" COLLATE {column.collation}" if column.collation else ""
        return raw_type(column.type + collation)
    return type_source(declared.type, context.words.dialect)


def identity_node(identity: Identity) -> Group:
    """Return `sa.Identity(...)`."""
    given = given_options(identity.options)
    always = {"always": True} if identity.always else {}
    return call("sa.Identity", **always, **given, imports=SQLALCHEMY)


def given_options(options: SequenceOptions) -> dict[str, Any]:
    """Return the options of a sequence that are not PostgreSQL's defaults, as keywords of SQLAlchemy's."""
    descending = options.increment < 0
    lowest = _SMALLEST[options.type] if descending else 1
    highest = -1 if descending else LARGEST[options.type]
    first = options.maximum if descending else options.minimum
    found: dict[str, tuple[Any, Any]] = {
        "start": (options.start, first),
        "increment": (options.increment, 1),
        "minvalue": (options.minimum, lowest),
        "maxvalue": (options.maximum, highest),
        "cache": (options.cache, 1),
        "cycle": (options.cycle, False),
    }
    return {name: value for name, (value, default) in found.items() if value != default}
