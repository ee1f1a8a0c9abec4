"""The Python source of a column's type: readable years later, and the same to PostgreSQL."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import ARRAY, TypeDecorator, TypeEngine

from async_migrations.online.texts import type_text
from async_migrations.schema.generate.source import Code, Node, call, flat, imports_of

SQLALCHEMY = frozenset({"import sqlalchemy as sa"})
POSTGRESQL = frozenset({"from sqlalchemy.dialects import postgresql"})


def type_source(type_: TypeEngine[Any], dialect: Dialect) -> Node:
    """Return the source of a type.

    Decorators give way to what they store: the file shall not change with the application. A type that only the
    application knows is imported from there, and where that does not give the same SQL, the SQL itself is written down.

    Args:
        type_: the type.
        dialect: for which database.
    """
    wanted = type_text(type_, dialect)
    for candidate in _candidates(type_, dialect):
        if _evaluated(candidate, dialect) == wanted:
            return candidate
    return raw_type(wanted)


def raw_type(sql: str) -> Node:
    """Return the source of a type of which only the SQL is known."""
    return call("RawType", sql, imports=frozenset({"from async_migrations import RawType"}))


def _candidates(type_: TypeEngine[Any], dialect: Dialect) -> Iterator[Node]:
    stored = _stored(type_, dialect)
    if (own := _named(stored, dialect)) is not None:
        yield own
    elif isinstance(stored, ARRAY):
        yield _array(stored, dialect)
    else:
        yield from _by_repr(stored)
    if type_ is not stored:
        yield from _by_repr(type_)


def _stored(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return what stands in the database behind decorators and variants."""
    variant = getattr(type_, "_variant_mapping", {}).get(dialect.name)
    if variant is not None:
        return _stored(variant, dialect)
    if isinstance(type_, TypeDecorator):
        return _stored(type_.load_dialect_impl(dialect), dialect)
    return type_


def _named(type_: TypeEngine[Any], dialect: Dialect) -> Node | None:
    """Return the source of an enum or domain, which exists already when the type is used."""
    if isinstance(type_, postgresql.DOMAIN):
        inner = type_source(type_.data_type, dialect)
        return call("postgresql.DOMAIN", type_.name, inner, **_schema(type_), create_type=False, imports=POSTGRESQL)
    if isinstance(type_, sa.Boolean):
        return call("sa.Boolean", imports=SQLALCHEMY)
    if not isinstance(type_, sa.Enum):
        return None
    native = type_.dialect_impl(dialect)
    if isinstance(native, postgresql.ENUM):
        name = native.name or type_.name
        return call(
            "postgresql.ENUM", *type_.enums, name=name, **_schema(native), create_type=False, imports=POSTGRESQL
        )
    collation = {"collation": type_.collation} if getattr(type_, "collation", None) else {}
    return call("sa.String", type_.length, **collation, imports=SQLALCHEMY)


def _schema(type_: Any) -> dict[str, str]:
    return {"schema": type_.schema} if type_.schema else {}


def _array(type_: ARRAY[Any], dialect: Dialect) -> Node:
    dimensions = {"dimensions": type_.dimensions} if type_.dimensions else {}
    return call("postgresql.ARRAY", type_source(type_.item_type, dialect), **dimensions, imports=POSTGRESQL)


def _by_repr(type_: TypeEngine[Any]) -> Iterator[Node]:
    module, name = type(type_).__module__, type(type_).__qualname__
    arguments = repr(type_).partition("(")[2]
    if module.startswith("sqlalchemy.dialects.postgresql"):
        # What the repr says beyond the name may be about Python's side alone: JSONB(astext_type=Text()).
        yield call(f"postgresql.{name}", imports=POSTGRESQL)
        yield Code(f"postgresql.{type_!r}".replace("'", '"'), POSTGRESQL)
    elif module.startswith("sqlalchemy."):
        yield call(f"sa.{name}", imports=SQLALCHEMY)
        yield Code(f"sa.{type_!r}".replace("'", '"'), SQLALCHEMY)
    elif "<locals>" not in name and module not in {"__main__", "builtins"}:
        yield Code(f"{module}.{name}({arguments}".replace("'", '"'), frozenset({f"import {module}"}))


def _evaluated(node: Node, dialect: Dialect) -> str | None:
    """Return the SQL that the source gives; None if it is no source."""
    try:
        space: dict[str, Any] = {"sa": sa, "postgresql": postgresql}
        for statement in imports_of(node):
            name = statement.removeprefix("import ")
            if name.isidentifier() or ("." in name and " " not in name):
                importlib.import_module(name)
                top = name.partition(".")[0]
                space[top] = importlib.import_module(top)
        return type_text(eval(flat(node), space), dialect)  # noqa: S307 - our own source, to see that it is right
    except Exception:
        return None
