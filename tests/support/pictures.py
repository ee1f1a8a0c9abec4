"""A picture of all that a database holds, to compare two moments of it."""

import json
from typing import Any

OURS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
RELATION = "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"

QUERIES = {
    "schemas": f"""SELECT n.nspname, obj_description(n.oid, 'pg_namespace') AS comment
 FROM pg_namespace AS n WHERE {OURS}""",
    "relations": f"""SELECT c.oid::regclass::text AS name, c.relkind, c.relpersistence, c.reloptions,
 pg_get_expr(c.relpartbound, c.oid) AS bound, pg_get_partkeydef(c.oid) AS key, c.reltablespace,
 obj_description(c.oid, 'pg_class') AS comment {RELATION} WHERE {OURS}""",
    "columns": f"""SELECT c.oid::regclass::text AS relation, a.attname, format_type(a.atttypid, a.atttypmod) AS type,
 a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid) AS expression, l.collname,
 col_description(c.oid, a.attnum) AS comment {RELATION} JOIN pg_attribute AS a ON a.attrelid = c.oid
 LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
 WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v')""",
    "constraints": f"""SELECT k.conrelid::regclass::text AS relation, k.contypid::regtype::text AS domain, k.conname,
 pg_get_constraintdef(k.oid) AS definition, k.convalidated, obj_description(k.oid, 'pg_constraint') AS comment
 FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace WHERE {OURS} AND k.contype <> 'n'""",
    "indexes": f"""SELECT pg_get_indexdef(i.indexrelid) AS definition, i.indisvalid,
 obj_description(c.oid, 'pg_class') AS comment {RELATION} JOIN pg_index AS i ON i.indexrelid = c.oid WHERE {OURS}""",
    "types": f"""SELECT t.oid::regtype::text AS name, t.typtype, format_type(t.typbasetype, t.typtypmod) AS base,
 t.typdefault, t.typnotnull, obj_description(t.oid, 'pg_type') AS comment,
 ARRAY(SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
 FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE {OURS} AND t.typtype IN ('e', 'd')""",
    "sequences": f"""SELECT c.oid::regclass::text AS name, format_type(s.seqtypid, NULL) AS type, s.seqstart,
 s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
 (SELECT format('%s.%s %s', p.refobjid::regclass, p.refobjsubid <> 0, p.deptype) FROM pg_depend AS p
 WHERE p.objid = c.oid AND p.refclassid = 'pg_class'::regclass AND p.deptype IN ('a', 'i') LIMIT 1) AS owner
 {RELATION} JOIN pg_sequence AS s ON s.seqrelid = c.oid WHERE {OURS}""",
    "parents": f"""SELECT c.oid::regclass::text AS child, h.inhparent::regclass::text AS parent
 {RELATION} JOIN pg_inherits AS h ON h.inhrelid = c.oid WHERE {OURS} AND c.relkind IN ('r', 'p')""",
    "extensions": "SELECT e.extname FROM pg_extension AS e WHERE e.extname <> 'plpgsql'",
}


async def picture(driver: Any) -> dict[str, list[str]]:
    """Return all that a database holds, rows aside, each thing as one line of text."""
    found: dict[str, list[str]] = {}
    for kind, query in QUERIES.items():
        rows = await driver.fetch(f"SELECT to_jsonb(q)::text AS line FROM ({query}) AS q")
        found[kind] = sorted(json.dumps(json.loads(row["line"]), sort_keys=True) for row in rows)
    return found


def changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> str:
    """Say line by line what one picture has and the other has not."""
    lines = []
    for kind in QUERIES:
        lines += [f"- {kind}: {line}" for line in before[kind] if line not in after[kind]]
        lines += [f"+ {kind}: {line}" for line in after[kind] if line not in before[kind]]
    return "\n".join(lines)
