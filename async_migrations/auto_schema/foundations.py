"""What tables stand on: schemas, enums, domains and sequences, created where they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Row, text
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from async_migrations import ddl
from async_migrations.auto_schema.snapshot import Snapshot
from async_migrations.auto_schema.target import Name, Named, Target
from async_migrations.errors import AutoSchemaError
from async_migrations.sql import quote_identifier

TypeKey = tuple[str | None, str]

INSUFFICIENT_PRIVILEGE = "42501"

SELECT_TYPES = text("""
SELECT n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind,
       pg_catalog.pg_type_is_visible(t.oid) AS visible
  FROM pg_catalog.pg_type AS t
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
 WHERE t.typname = ANY (CAST(:names AS text[]))
""")


def create(target: Target, snapshot: Snapshot) -> None:
    """Create the schemas, types and sequences that are missing, in this order.

    Raises:
        AutoSchemaError: a schema is missing, and the role may not create it; or a type that is needed is a table's.
    """
    create_schemas(target, snapshot.schemas)
    create_types(target, snapshot)
    create_sequences(target, snapshot)


def create_schemas(target: Target, existing: frozenset[str]) -> None:
    """Create the schemas that the models name and the database lacks."""
    items: list[Named] = [*target.tables, *ddl.sequences(target.metadata), *needed_types(target)]
    named = {target.declared_schema(item) for item in items}
    for schema in sorted(filter(None, named - existing)):
        with target.step(f"Creating missing schema: {schema}", f"Created schema: {schema}"):
            _create_schema(target, str(schema))


def _create_schema(target: Target, schema: str) -> None:
    try:
        target.connection.execute(CreateSchema(schema))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise AutoSchemaError(
            f"The models need the schema {schema}, which is missing, and this role may not create it. Let the "
            f"database's owner run CREATE SCHEMA {quote_identifier(schema)} and grant this role USAGE and CREATE "
            "on it, then start again."
        ) from error


def create_types(target: Target, snapshot: Snapshot) -> None:
    """Create the enums and domains that columns need.

    Raises:
        AutoSchemaError: a table has the name of a type that a missing column needs.
    """
    needed = needed_types(target)
    live = _read_types(target, needed)
    for type_ in needed:
        shown = target.shown(type_)
        found = live.get(_key(target, type_))
        if found is not None:
            _check_kind(target, snapshot, type_, found)
            _note_place(target, type_, found)
        elif type_.create_type:
            with target.step(f"Creating missing type: {shown}", f"Created type: {shown}"):
                type_.create(target.connection, checkfirst=False)


def create_sequences(target: Target, snapshot: Snapshot) -> None:
    """Create the sequences that columns draw from."""
    for sequence in ddl.sequences(target.metadata):
        if snapshot.kind(target.name_of(sequence)) == "S":
            continue
        shown = target.shown(sequence)
        with target.step(f"Creating missing sequence: {shown}", f"Created sequence: {shown}"):
            sequence.create(target.connection, checkfirst=False)


def needed_types(target: Target) -> list[ddl.NamedType]:
    """Return the enums and domains of the models, each once, what others are made of first."""
    found: dict[Name, ddl.NamedType] = {}
    for table in target.tables:
        for column in table.columns:
            for type_ in ddl.named_types(column.type, target.dialect):
                found.setdefault(target.name_of(type_), type_)
    return list(found.values())


def _read_types(target: Target, needed: Iterable[ddl.NamedType]) -> dict[TypeKey, Row[Any]]:
    names = sorted({str(type_.name) for type_ in needed})
    live: dict[TypeKey, Row[Any]] = {}
    for row in target.connection.execute(SELECT_TYPES, {"names": names}) if names else ():
        live[row.schema, row.name] = row
        if row.visible:
            live[None, row.name] = row
    return live


def _note_place(target: Target, type_: ddl.NamedType, found: Row[Any]) -> None:
    wanted, place = target.name_of(type_), Name(found.schema, found.name)
    if place != wanted:
        target.elsewhere[wanted] = place


def _check_kind(target: Target, snapshot: Snapshot, type_: ddl.NamedType, found: Row[Any]) -> None:
    wanted, name = ("d", "a domain") if isinstance(type_, DOMAIN) else ("e", "an enum")
    column = _first_to_add(target, snapshot, type_) if found.kind == "c" else None
    if column is not None:
        raise AutoSchemaError(
            f"The column {column} cannot be added: {type_.name} is {name} in the models and the rows of "
            f"{found.schema}.{found.name} in the database. Rename one of the two, then start again."
        )
    if found.kind != wanted:
        sentence = f"The type {type_.name} exists in the database and is not {name}, as the models say: left as it is."
        target.refuse(target.name_of(type_), sentence)


def _first_to_add(target: Target, snapshot: Snapshot, type_: ddl.NamedType) -> Column[Any] | None:
    for table in target.tables:
        name = target.name_of(table)
        there = snapshot.tables[name].columns if snapshot.is_table(name) else set()
        for column in table.columns if snapshot.is_table(name) or snapshot.kind(name) is None else ():
            needed = {target.name_of(each) for each in ddl.named_types(column.type, target.dialect)}
            if column.name not in there and target.name_of(type_) in needed:
                return column
    return None


def _key(target: Target, type_: ddl.NamedType) -> TypeKey:
    return target.declared_schema(type_), str(type_.name)
