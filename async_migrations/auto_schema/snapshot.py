"""What stands in the database: a few queries, whatever the number of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, inspect, text
from sqlalchemy.engine.interfaces import ReflectedForeignKeyConstraint

from async_migrations import ddl
from async_migrations.auto_schema.target import Name, Target

TABLES = frozenset("rp")
VIEWS = frozenset("vm")
COLUMN_HOLDERS = TABLES | VIEWS | {"f"}

KINDS: Mapping[str, str] = {
    "r": "a table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialised view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "a partitioned index",
    "c": "a composite type",
}

SELECT_SCHEMAS = text("""
SELECT current_schema()::text AS first, ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace) AS existing
""")

SELECT_TABLE_NAMES = text("""
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
""")

SELECT_RELATIONS = text("""
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.reltuples::float8 AS rows,
       t.relname::text AS indexed, coalesce(i.indisvalid, true) AS valid,
       ARRAY(SELECT ARRAY[pn.nspname::text, p.relname::text]
               FROM pg_catalog.pg_inherits AS h
               JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
               JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
              WHERE h.inhrelid = c.oid) AS parents
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
 WHERE n.nspname = ANY (CAST(:schemas AS text[])) AND c.relname = ANY (CAST(:names AS text[]))
""")

SELECT_VISIBLE = text("""
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relname = ANY (CAST(:names AS text[])) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname = ANY (current_schemas(false)) AND pg_catalog.pg_table_is_visible(c.oid)
""")

# Not the inspector's get_multi_columns: it warns about every type that SQLAlchemy does not know (a vector, a point).
SELECT_COLUMNS = text("""
SELECT n.nspname::text AS schema, c.relname::text AS table, a.attname::text AS name
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (CAST(:schemas AS text[])) AND c.relname = ANY (CAST(:names AS text[]))
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
""")

SELECT_CONSTRAINTS = text("""
SELECT n.nspname::text AS schema, c.relname::text AS table, k.conname::text AS name, k.contype::text AS kind
  FROM pg_catalog.pg_constraint AS k
  JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (CAST(:schemas AS text[])) AND c.relname = ANY (CAST(:names AS text[]))
""")

SELECT_FAMILY = text("""
WITH RECURSIVE family AS (
    SELECT c.oid, true AS head
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = :schema AND c.relname = :table
     UNION
    SELECT h.inhrelid, false FROM pg_catalog.pg_inherits AS h JOIN family ON family.oid = h.inhparent
), defaults AS (
    SELECT family.oid, family.head, NOT a.attislocal AS inherited,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression
      FROM family
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = family.oid AND a.attname = :column AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
)
SELECT n.nspname::text AS schema, c.relname::text AS table,
       each.head OR (each.inherited AND each.expression IS NOT DISTINCT FROM head.expression) AS given
  FROM defaults AS each
  JOIN defaults AS head ON head.head
  JOIN pg_catalog.pg_class AS c ON c.oid = each.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
""")


@dataclass(frozen=True, slots=True)
class Relation:
    """Whatever has a name in a schema.

    Attributes:
        kind: the letter of pg_class.relkind.
        rows: how many rows the planner expects; below zero where nobody has counted.
        indexed: the table of an index.
        valid: False for an index that a dead build left behind.
        parents: what a partition or an heir belongs to.
    """

    kind: str
    rows: float = -1
    indexed: str | None = None
    valid: bool = True
    parents: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveTable:
    """What belongs to one table of the database.

    Attributes:
        columns: their names.
        constraints: the names of all constraints, with the letter of pg_constraint.contype.
    """

    columns: set[str] = field(default_factory=set)
    constraints: dict[str, str] = field(default_factory=dict)

    @property
    def has_primary_key(self) -> bool:
        """Whether rows have a primary key already."""
        return "p" in self.constraints.values()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database has under the names that the models use."""

    schemas: frozenset[str]
    relations: Mapping[Name, Relation]
    tables: Mapping[Name, LiveTable]

    def kind(self, name: Name) -> str | None:
        """Return the relkind of what has this name; None if it is free."""
        relation = self.relations.get(name)
        return relation.kind if relation else None

    def is_table(self, name: Name) -> bool:
        """Whether a table or partition has this name."""
        return self.kind(name) in TABLES


def read_schemas(connection: Connection) -> tuple[str | None, frozenset[str]]:
    """Return the schema in which an unqualified name is created, and all schemas that exist."""
    first, existing = connection.execute(SELECT_SCHEMAS).one()
    return first, frozenset(existing)


def read_table_names(connection: Connection) -> list[Name]:
    """Return all tables and partitions of the database, the system's aside."""
    return [Name(row.schema, row.name) for row in connection.execute(SELECT_TABLE_NAMES)]


def read_visible(connection: Connection, names: Iterable[str]) -> dict[str, Name]:
    """Return what an unqualified name means in a query, the system's own tables aside."""
    rows = connection.execute(SELECT_VISIBLE, {"names": sorted(names)})
    return {row.name: Name(row.schema, row.name) for row in rows}


def read_columns(connection: Connection, schema: str, table: str) -> set[str]:
    """Return the names of the columns of one table or view; none if there is no such table."""
    rows = connection.execute(SELECT_COLUMNS, {"schemas": [schema], "names": [table]})
    return {row.name for row in rows}


def read(target: Target, schemas: frozenset[str]) -> Snapshot:
    """Return what the database has under the names that the models use."""
    tables = [target.name_of(table) for table in target.tables]
    asked = {
        "schemas": sorted({name.schema for name in _names(target)}),
        "names": sorted({name.name for name in _names(target)}),
    }
    relations = {
        Name(row.schema, row.name): _relation(row) for row in target.connection.execute(SELECT_RELATIONS, asked)
    }
    found = [name for name in tables if name in relations and relations[name].kind in COLUMN_HOLDERS]
    return Snapshot(schemas, relations, read_tables(target.connection, found))


def _names(target: Target) -> Iterable[Name]:
    for table in target.tables:
        name = target.name_of(table)
        yield name
        for index in table.indexes:
            yield Name(name.schema, ddl.plain_name(target.dialect, index) or "")
    yield from (target.name_of(sequence) for sequence in ddl.sequences(target.metadata))


def _relation(row: Row[Any]) -> Relation:
    parents = tuple(Name(schema, name) for schema, name in row.parents)
    return Relation(row.kind, row.rows, row.indexed, row.valid, parents)


def read_tables(connection: Connection, names: Sequence[Name]) -> Mapping[Name, LiveTable]:
    """Return what belongs to tables that exist."""
    tables: dict[Name, LiveTable] = {name: LiveTable() for name in names}
    asked = {"schemas": sorted({n.schema for n in names}), "names": sorted({n.name for n in names})}
    if not names:
        return tables
    for row in connection.execute(SELECT_COLUMNS, asked):
        if table := tables.get(Name(row.schema, row.table)):
            table.columns.add(row.name)
    for row in connection.execute(SELECT_CONSTRAINTS, asked):
        if table := tables.get(Name(row.schema, row.table)):
            table.constraints[row.name] = row.kind
    return tables


def read_family(connection: Connection, name: Name, column: str) -> list[tuple[Name, bool]]:
    """Return a table and all its heirs, each with whether `column` and its default come from that table."""
    asked = {"schema": name.schema, "table": name.name, "column": column}
    return [(Name(row.schema, row.table), row.given) for row in connection.execute(SELECT_FAMILY, asked)]


def read_foreign_keys(connection: Connection, name: Name) -> list[ReflectedForeignKeyConstraint]:
    """Return the foreign keys of one table."""
    # Always with the schema's name: without one the inspector takes whatever search_path shows.
    return inspect(connection).get_foreign_keys(name.name, schema=name.schema)
