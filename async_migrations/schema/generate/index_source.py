"""Indexes as Python source."""

from __future__ import annotations

from typing import Any

from sqlalchemy.sql.schema import Column as DeclaredColumn

from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group
from async_migrations.schema.generate.step import op
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.table import Index, IndexKey, Name


def creation(context: Context, table: Name, index: Index, *, name: str | None = None, told: bool = False) -> Group:
    """Return the operation that creates an index.

    Args:
        context: all differences.
        table: whose index it is.
        index: as PostgreSQL has read it.
        name: another name for it.
        told: whether it is one of the live schema, of which there are the server's words only.
    """
    declared = None if told else context.words.index(table, index)
    said = {} if declared is None else declared.dialect_options["postgresql"]["ops"]
    keys, opclasses = [], {}
    for number, key in enumerate(index.keys):
        expression = None if declared is None else declared.expressions[number]
        node, own = _key(context, key, expression)
        keys.append(node)
        if own:
            opclasses[own] = said.get(own, key.opclass)
    where = index.where
    if declared is not None and (clause := declared.dialect_options["postgresql"]["where"]) is not None:
        where = clause if isinstance(clause, str) else context.words.sql(clause)
    return op(
        "create_index",
        name or index.name,
        table.name,
        keys,
        unique=True if index.unique else None,
        where=where,
        schema=context.schema(table),
        using=None if index.method == "btree" else index.method,
        include=[*index.include] or None,
        with_=dict(map(option, index.options)) or None,
        opclasses=opclasses or None,
        nulls_not_distinct=True if index.nulls_not_distinct else None,
        tablespace=index.tablespace,
    )


def option(text: str) -> tuple[str, Any]:
    """Cut `name=value`, the value a number where it is one."""
    name, _, value = text.partition("=")
    return name, int(value) if value.lstrip("-").isdecimal() else value


def _key(context: Context, key: IndexKey, expression: Any) -> tuple[Any, str | None]:
    """Return a key's source, and the column's name if its operator class is said apart."""
    ordered = bool(key.descending or key.nulls_first or key.collation)
    if key.column is not None and not ordered:
        return key.column, key.column if key.opclass else None
    if key.column is None and expression is not None and not isinstance(expression, DeclaredColumn):
        return sql_node(context.words.sql(expression) + _missing_class(key, context.words.sql(expression))), None
    return sql_node(_written(context, key)), None


def _missing_class(key: IndexKey, sql: str) -> str:
    return f" {key.opclass}" if key.opclass and key.opclass.rpartition(".")[2] not in sql else ""


def _written(context: Context, key: IndexKey) -> str:
    words = [key.text if key.column is None else context.quote(key.column)]
    words += [f"COLLATE {key.collation}"] if key.collation else []
    words += [key.opclass] if key.opclass else []
    words += ["DESC"] if key.descending else []
    # DESC has its NULLs first unless it says otherwise.
    if key.nulls_first != key.descending:
        words.append("NULLS FIRST" if key.nulls_first else "NULLS LAST")
    return " ".join(words)
