"""What stands in the database under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from async_migrations.online.wire import Wire
from async_migrations.sql import qualified, quote_literal

RELATION = """SELECT c.relkind AS kind, n.nspname AS schema FROM pg_class AS c
 JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({name})"""

TYPE = """SELECT t.typtype AS kind, n.nspname AS schema, t.typname AS name,
 obj_description(t.oid, 'pg_type') AS comment,
 ARRAY(SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
 format_type(t.typbasetype, t.typtypmod) AS base
 FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.oid = to_regtype({name})"""

COLUMN = """SELECT t.oid::bigint AS relation, a.attnum AS number, t.relkind AS kind,
 format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
 a.attidentity AS identity, a.attgenerated AS generated, pg_get_expr(d.adbin, d.adrelid) AS "default",
 col_description(a.attrelid, a.attnum) AS comment, current_setting('server_version_num')::integer AS version,
 (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_depend AS s JOIN pg_class AS c ON c.oid = s.objid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND c.relkind = 'S'
  AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype IN ('a', 'i') ORDER BY s.deptype DESC LIMIT 1
 ) AS sequence,
 (SELECT quote_ident(k.conname) FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
  AND k.conkey[1] = a.attnum AND NOT k.convalidated) AS unproved
 FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
 LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE t.oid = to_regclass({table}) AND a.attname = {column} AND a.attnum > 0 AND NOT a.attisdropped"""

CONSTRAINT = """SELECT k.contype AS kind, k.convalidated AS valid, pg_get_constraintdef(k.oid) AS definition,
 k.confrelid = to_regclass({referent}) AS referent, k.confdeltype AS ondelete, k.confupdtype AS onupdate,
 k.confmatchtype AS match, k.condeferrable AS deferrable, k.condeferred AS deferred,
 ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute AS a
  ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i) AS columns,
 ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute AS a
  ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i) AS remote
 FROM pg_constraint AS k WHERE k.conrelid = to_regclass({table}) AND k.conname = {name}"""

DOMAIN_CONSTRAINT = """SELECT k.contype AS kind, k.convalidated AS valid, pg_get_constraintdef(k.oid) AS definition
 FROM pg_constraint AS k WHERE k.contypid = to_regtype({domain}) AND k.conname = {name}"""

SCHEMA = "SELECT 1 AS one FROM pg_namespace WHERE nspname = {name}"

INHERITANCE = """SELECT h.inhparent = to_regclass({parent}) AS ours,
 coalesce((to_jsonb(h) ->> 'inhdetachpending')::boolean, false) AS pending
 FROM pg_inherits AS h WHERE h.inhrelid = to_regclass({table})"""

PARTITIONED = "SELECT partdefid <> 0 AS has_default FROM pg_partitioned_table WHERE partrelid = to_regclass({name})"

# A prepared transaction has no process. A vacuum's snapshot is waited for by nobody.
OPENERS = """SELECT DISTINCT coalesce(l.pid::text, 'of a prepared transaction') AS process,
 l.virtualtransaction AS transaction FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND (
  l.locktype = 'relation' AND l.relation = to_regclass({parent})
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  OR {snapshots} AND l.locktype = 'virtualxid' AND a.datname = current_database() AND a.backend_xmin IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS v WHERE v.pid = l.pid))"""

BOUND = """SELECT coalesce(pg_get_partition_constraintdef(c.oid), 'true') AS bound FROM pg_class AS c
 WHERE c.oid = to_regclass({table}) AND NOT EXISTS (
  SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND quote_ident(k.conname) = {name})"""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What the catalog says of a column.

    Attributes:
        relation: the oid of its table.
        number: its own, `pg_attribute.attnum`.
        kind: `pg_class.relkind` of its table.
        type: as the server prints it.
        not_null: whether it refuses NULL; see `unproved`.
        identity: `pg_attribute.attidentity`: `a` always, `d` by default, or empty.
        generated: `pg_attribute.attgenerated`: `s` stored, `v` virtual, or empty.
        default: SQL of its default, or of what it is generated from; None without.
        comment: its comment; None without.
        sequence: the quoted name of the sequence that it owns, as identity or serial; None without.
        version: the server's, as in 160004.
        unproved: the quoted name of its NOT NULL that is NOT VALID, which PostgreSQL 18 has; rows may have NULL.
    """

    relation: int
    number: int
    kind: str
    type: str
    not_null: bool
    identity: str
    generated: str
    default: str | None
    comment: str | None
    sequence: str | None
    version: int
    unproved: str | None


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """What the catalog says of a type; `kind` is `pg_type.typtype`, `base` what a domain is made of."""

    kind: str
    schema: str
    name: str
    comment: str | None
    labels: Sequence[str]
    base: str


async def relation_kind(wire: Wire, schema: str | None, name: str) -> str | None:
    """Return `pg_class.relkind` of what has a name; None if nothing has."""
    rows = await _read(wire, RELATION, name=qualified(schema, name))
    return str(rows[0]["kind"]) if rows else None


async def relation_schema(wire: Wire, schema: str | None, name: str) -> str | None:
    """Return the schema in which a relation's name is found; None if nothing has it."""
    rows = await _read(wire, RELATION, name=qualified(schema, name))
    return str(rows[0]["schema"]) if rows else None


async def column_facts(wire: Wire, schema: str | None, table: str, column: str) -> ColumnFacts | None:
    """Return what the catalog says of a column; None if there is none."""
    rows = await _read(wire, COLUMN, table=qualified(schema, table), column=column)
    return ColumnFacts(**rows[0]) if rows else None


async def type_facts(wire: Wire, schema: str | None, name: str) -> TypeFacts | None:
    """Return what the catalog says of a type; None if there is none."""
    rows = await _read(wire, TYPE, name=qualified(schema, name))
    return TypeFacts(**rows[0]) if rows else None


async def constraint(
    wire: Wire, schema: str | None, table: str, name: str, referent: str = ""
) -> dict[str, Any] | None:
    """Return what the catalog says of a constraint; None if there is none.

    Args:
        wire: the connection.
        schema: the table's schema; None looks along `search_path`.
        table: the table.
        name: the constraint.
        referent: the quoted name of the table that a foreign key is expected to refer to.
    """
    rows = await _read(wire, CONSTRAINT, table=qualified(schema, table), name=name, referent=referent or "pg_class")
    return rows[0] if rows else None


async def domain_constraint(wire: Wire, schema: str | None, domain: str, name: str) -> dict[str, Any] | None:
    """Return what the catalog says of a domain's constraint; None if there is none."""
    rows = await _read(wire, DOMAIN_CONSTRAINT, domain=qualified(schema, domain), name=name)
    return rows[0] if rows else None


async def schema_exists(wire: Wire, name: str) -> bool:
    """Tell whether a schema exists."""
    return bool(await _read(wire, SCHEMA, name=name))


async def parentage(wire: Wire, table: str, parent: str) -> tuple[bool, bool]:
    """Tell of two quoted names whether the first is a partition or heir of the second, and half detached."""
    rows = [row for row in await _read(wire, INHERITANCE, table=table, parent=parent) if row["ours"]]
    return bool(rows), any(row["pending"] for row in rows)


async def openers(wire: Wire, parent: str, *, snapshots: bool) -> set[tuple[str, str]]:
    """Return (process, transaction) of those who have a table, by its quoted name, open.

    Args:
        wire: the connection.
        parent: the table.
        snapshots: whether those count, too, who have a snapshot of the database.
    """
    rows = await _read(wire, OPENERS, parent=parent, snapshots=str(snapshots).lower())
    return {(row["process"], row["transaction"]) for row in rows}


async def missing_bound(wire: Wire, partition: str, name: str) -> str | None:
    """Return what a partition may hold, as SQL; None if a constraint of that name says it already.

    Args:
        wire: the connection.
        partition: its quoted name.
        name: the constraint's, of plain letters.
    """
    rows = await _read(wire, BOUND, table=partition, name=name.strip('"'))
    return str(rows[0]["bound"]) if rows else None


async def has_default_partition(wire: Wire, parent: str) -> bool:
    """Tell whether a partitioned table, by its quoted name, has a default partition."""
    rows = await _read(wire, PARTITIONED, name=parent)
    return any(row["has_default"] for row in rows)


async def _read(wire: Wire, query: str, **names: str) -> list[dict[str, Any]]:
    return await wire.read(query.format(**{key: quote_literal(value) for key, value in names.items()}))
