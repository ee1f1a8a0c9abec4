"""What leans on columns that are about to be replaced: taken away before, and made again after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from async_migrations.online.wire import Wire
from async_migrations.sql import quote_literal

# An index of a constraint comes and goes with it. What is inherited comes and goes with the parent's.
CONSTRAINTS = """SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS gone,
 format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) AS again,
 format('COMMENT ON CONSTRAINT %I ON %s IS ', k.conname, k.conrelid::regclass) AS subject,
 obj_description(k.oid, 'pg_constraint') AS comment, k.contype = 'f' AS late
 FROM pg_constraint AS k WHERE k.coninhcount = 0 AND EXISTS (
  SELECT FROM (VALUES {columns}) AS c (relation, number, whole)
  WHERE (k.contype IN ('c', 'x', 'f') OR c.whole AND k.contype IN ('u', 'p')) AND (
   (k.conrelid = c.relation AND c.number = ANY (k.conkey)) OR (k.confrelid = c.relation AND c.number = ANY (k.confkey))
   OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.relation AND d.refobjsubid = c.number)
  )) ORDER BY k.oid"""

# The server prints ON ONLY for the index of a partitioned table, which would leave out its partitions.
INDEXES = """SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS gone,
 CASE c.relkind WHEN 'I' THEN h.head || ' ON ' || i.indrelid::regclass || substr(pg_get_indexdef(i.indexrelid),
  1 + length(format('%s ON ONLY %I.%I', h.head, n.nspname, t.relname)))
 ELSE pg_get_indexdef(i.indexrelid) END AS again,
 format('COMMENT ON INDEX %s IS ', i.indexrelid::regclass) AS subject,
 obj_description(i.indexrelid, 'pg_class') AS comment, false AS late
 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
 JOIN pg_namespace AS n ON n.oid = t.relnamespace
 CROSS JOIN LATERAL (
  SELECT format('CREATE %sINDEX %I', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname)
 ) AS h (head)
 WHERE i.indisvalid
 AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
 AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
 AND EXISTS (
  SELECT FROM (VALUES {columns}) AS v (relation, number, whole) JOIN pg_depend AS d
  ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = v.relation AND d.refobjsubid = v.number
  WHERE v.whole OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
 ) ORDER BY i.indexrelid"""


class Place(NamedTuple):
    """A column: the oid of its relation, and its number.

    Attributes:
        whole: whether it is dropped and takes everything with it. One that only changes to an unrelated type takes its
            checks, exclusions and foreign keys, and indexes with an expression or a predicate; others the server
            rebuilds.
    """

    relation: int
    number: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Dependents:
    """What takes dependents away, and what makes them again."""

    before: Sequence[str]
    after: Sequence[str]


async def dependents_on(wire: Wire, columns: Sequence[Place]) -> Dependents:
    """Find what cannot be carried through the change of these columns."""
    if not columns:
        return Dependents((), ())
    values = ", ".join(f"({each.relation:d}::oid, {each.number:d}, {each.whole})" for each in columns)
    rows = await wire.read(INDEXES.format(columns=values))
    found = [*rows, *await wire.read(CONSTRAINTS.format(columns=values))]
    found.sort(key=lambda row: bool(row["late"]))
    again = [row["again"] for row in found]
    comments = [row["subject"] + quote_literal(row["comment"]) for row in found if row["comment"] is not None]
    return Dependents([row["gone"] for row in reversed(found)], [*again, *comments])
