"""What leans on columns that are about to be replaced: taken away before, and made again after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from async_migrations.online.places import Place, listed
from async_migrations.online.properties import CHOSEN, STATISTICS, placed
from async_migrations.online.wire import Wire
from async_migrations.sql import quote_literal

# An index of a constraint comes and goes with it, and holds what an exclusion's expressions and predicate lean on. What
# is inherited comes and goes with the parent's; the constraint of a domain stops the change.
CONSTRAINTS = f"""SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS gone,
 {placed("n.text", "c")} AS again,
 format('COMMENT ON CONSTRAINT %I ON %s IS ', k.conname, k.conrelid::regclass) AS subject,
 obj_description(k.oid, 'pg_constraint') AS comment, {CHOSEN} AS chosen, k.contype = 'f' AS late
 FROM pg_constraint AS k CROSS JOIN LATERAL (SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s',
  k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))) AS n (text)
 LEFT JOIN pg_index AS i ON i.indexrelid = k.conindid AND k.contype <> 'f'
 LEFT JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE k.coninhcount = 0 AND k.conrelid <> 0 AND EXISTS (
  SELECT FROM (VALUES {{places}}) AS p (catalog, object, number, whole)
  WHERE (k.contype IN ('c', 'x', 'f') OR p.whole AND k.contype IN ('u', 'p')) AND (
   (k.conrelid = p.object AND p.number = ANY (k.conkey)) OR (k.confrelid = p.object AND p.number = ANY (k.confkey))
   OR EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = p.catalog AND d.refobjid = p.object
    AND d.refobjsubid = p.number AND (d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
     OR d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid))
  )) ORDER BY k.oid"""

# The server prints ON ONLY for the index of a partitioned table, which would leave out its partitions.
INDEXES = f"""SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS gone, {placed("a.text", "c")} AS again,
 format('COMMENT ON INDEX %s IS ', i.indexrelid::regclass) AS subject,
 obj_description(i.indexrelid, 'pg_class') AS comment, {CHOSEN} AS chosen, false AS late
 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
 JOIN pg_namespace AS n ON n.oid = t.relnamespace
 CROSS JOIN LATERAL (
  SELECT format('CREATE %sINDEX %I', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname)
 ) AS h (head)
 CROSS JOIN LATERAL (
  SELECT CASE c.relkind WHEN 'I' THEN h.head || ' ON ' || i.indrelid::regclass || substr(pg_get_indexdef(i.indexrelid),
   1 + length(format('%s ON ONLY %I.%I', h.head, n.nspname, t.relname)))
  ELSE pg_get_indexdef(i.indexrelid) END
 ) AS a (text)
 WHERE i.indisvalid
 AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
 AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
 AND EXISTS (
  SELECT FROM (VALUES {{places}}) AS v (catalog, object, number, whole) JOIN pg_depend AS d
  ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = v.catalog
  AND d.refobjid = v.object AND d.refobjsubid = v.number
  WHERE v.whole OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
 ) ORDER BY i.indexrelid"""

# Those on columns alone the server carries through a change of the type, as it does with indexes.
OBJECTS = f"""SELECT format('DROP STATISTICS %s.%I', s.stxnamespace::regnamespace, s.stxname) AS gone,
 {STATISTICS} AS again, NULL AS comment, ARRAY[]::text[] AS chosen, false AS late
 FROM pg_statistic_ext AS s WHERE EXISTS (
  SELECT FROM (VALUES {{places}}) AS v (catalog, object, number, whole) JOIN pg_depend AS d
  ON d.classid = 'pg_statistic_ext'::regclass AND d.objid = s.oid AND d.refclassid = v.catalog
  AND d.refobjid = v.object AND d.refobjsubid = v.number
  WHERE v.whole OR pg_get_statisticsobjdef_expressions(s.oid) IS NOT NULL
 ) ORDER BY s.oid"""

# Of columns of other types; a conversion has those of its own. Each table of a family has its own default.
DEFAULTS = """SELECT n.head || ' DROP DEFAULT' AS gone,
 n.head || ' SET DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) AS again,
 NULL AS comment, ARRAY[]::text[] AS chosen, false AS late
 FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
 JOIN pg_class AS c ON c.oid = d.adrelid AND c.relkind IN ('r', 'p', 'f') CROSS JOIN LATERAL (
  SELECT format('ALTER TABLE ONLY %s ALTER COLUMN %I', c.oid::regclass, a.attname)
 ) AS n (head)
 WHERE EXISTS (
  SELECT FROM (VALUES {places}) AS v (catalog, object, number, whole) JOIN pg_depend AS p
  ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = v.catalog AND p.refobjid = v.object
  WHERE v.catalog = 'pg_type'::regclass
 ) AND (d.adrelid, d.adnum) NOT IN (SELECT object, number FROM (VALUES {places}) AS v (catalog, object, number, whole)
  WHERE catalog = 'pg_class'::regclass) ORDER BY d.oid"""

KINDS = (INDEXES, OBJECTS, DEFAULTS, CONSTRAINTS)


@dataclass(frozen=True, slots=True)
class Dependents:
    """What takes dependents away, and what makes them again."""

    before: Sequence[str]
    after: Sequence[str]


async def dependents_on(wire: Wire, places: Sequence[Place]) -> Dependents:
    """Find what cannot be carried through the change of these columns or types."""
    if not places:
        return Dependents((), ())
    values = listed(places)
    found = [row for query in KINDS for row in await wire.read(query.format(places=values))]
    found.sort(key=lambda row: bool(row["late"]))
    again = [row["again"] for row in found]
    again += [statement for row in found for statement in row["chosen"]]
    comments = [row["subject"] + quote_literal(row["comment"]) for row in found if row["comment"] is not None]
    return Dependents([row["gone"] for row in reversed(found)], [*again, *comments])
