"""What is made by hand and leans on columns whose type changes: views, rules, triggers, policies.

PostgreSQL refuses to change a type under them. They are nobody's model, so that they are taken away and made again
exactly as they were, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from async_migrations.online.dependents import Dependents, Place
from async_migrations.online.wire import Wire

# A change of type reaches the columns of all children too. What an extension owns is left to PostgreSQL's refusal.
_COLUMNS = """family (relation, number) AS (
  SELECT * FROM (VALUES {columns}) AS c (relation, number)
  UNION SELECT h.inhrelid, a.attnum FROM family AS f JOIN pg_inherits AS h ON h.inhparent = f.relation
  JOIN pg_attribute AS p ON p.attrelid = f.relation AND p.attnum = f.number
  JOIN pg_attribute AS a ON a.attrelid = h.inhrelid AND a.attname = p.attname
 )"""

# Views stand on views; the deepest go first and come last.
VIEWS = (
    "WITH RECURSIVE "
    + _COLUMNS
    + """, leaning (oid, depth) AS (
  SELECT r.ev_class, 1 FROM family AS f JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = f.relation AND d.refobjsubid = f.number
  JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN'
  UNION SELECT r.ev_class, l.depth + 1 FROM leaning AS l JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid
  JOIN pg_rewrite AS r ON r.oid = d.objid AND r.rulename = '_RETURN' AND r.ev_class <> l.oid
 ), views AS (
  SELECT c.*, l.depth, c.oid::regclass::text AS name,
   CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
  FROM (SELECT oid, max(depth) AS depth FROM leaning GROUP BY oid) AS l JOIN pg_class AS c USING (oid)
  WHERE NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
   AND e.deptype = 'e')
 ), granted AS (
  SELECT v.oid, v.depth, v.name, a.grantee, a.privilege_type AS privilege, a.is_grantable, NULL AS attname
  FROM views AS v CROSS JOIN LATERAL aclexplode(v.relacl) AS a WHERE a.grantee <> v.relowner
  UNION ALL SELECT v.oid, v.depth, v.name, a.grantee, a.privilege_type, a.is_grantable, t.attname
  FROM views AS v JOIN pg_attribute AS t ON t.attrelid = v.oid CROSS JOIN LATERAL aclexplode(t.attacl) AS a
  WHERE a.grantee <> v.relowner
 )
 SELECT depth, 0 AS part, format('DROP %s %s', kind, name) AS gone, format('CREATE %s %s%s AS %s%s', kind, name,
  (SELECT ' WITH (' || string_agg(format('%I = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
   || ')' FROM unnest(reloptions) AS o),
  rtrim(pg_get_viewdef(oid), ';'), CASE WHEN relkind = 'm' AND NOT relispopulated THEN ' WITH NO DATA' END) AS again
 FROM views
 UNION ALL SELECT depth, 2, NULL, format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', name, a.attname,
  pg_get_expr(d.adbin, d.adrelid))
 FROM views AS v JOIN pg_attrdef AS d ON d.adrelid = v.oid JOIN pg_attribute AS a
  ON a.attrelid = v.oid AND a.attnum = d.adnum
 UNION ALL SELECT depth, 2, NULL, pg_get_indexdef(i.indexrelid) FROM views AS v JOIN pg_index AS i ON i.indrelid = v.oid
 UNION ALL SELECT depth, 2, NULL, pg_get_ruledef(r.oid) FROM views AS v JOIN pg_rewrite AS r ON r.ev_class = v.oid
  WHERE r.rulename <> '_RETURN'
 UNION ALL SELECT depth, 2, NULL, pg_get_triggerdef(t.oid) FROM views AS v JOIN pg_trigger AS t ON t.tgrelid = v.oid
  WHERE NOT t.tgisinternal
 UNION ALL SELECT depth, 3, NULL, format('COMMENT ON %s %s IS %L', CASE d.objsubid WHEN 0 THEN kind ELSE 'COLUMN' END,
  name || coalesce('.' || quote_ident(a.attname), ''), d.description)
 FROM views AS v JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = v.oid
 LEFT JOIN pg_attribute AS a ON a.attrelid = v.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 UNION ALL SELECT depth, 4, NULL, format('GRANT %s%s ON %s TO %s%s', privilege,
  CASE WHEN attname IS NOT NULL THEN format(' (%I)', attname) END, name,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END) FROM granted
 UNION ALL SELECT depth, 5, NULL, format('ALTER TABLE %s OWNER TO %I', name, pg_get_userbyid(relowner)) FROM views
  WHERE pg_get_userbyid(relowner) <> current_user
 ORDER BY 1, 2, 4"""
)

# PostgreSQL has no word for the definition of a policy.
OTHERS = (
    "WITH RECURSIVE "
    + _COLUMNS
    + """, leaning AS (
  SELECT DISTINCT d.classid, d.objid FROM family AS f JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass
   AND d.refobjid = f.relation AND d.refobjsubid = f.number
 )
 SELECT format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass) AS gone, pg_get_ruledef(r.oid) AS again,
  format('COMMENT ON RULE %I ON %s IS %L', r.rulename, r.ev_class::regclass,
   obj_description(r.oid, 'pg_rewrite')) AS comment, obj_description(r.oid, 'pg_rewrite') IS NOT NULL AS commented
 FROM leaning AS l JOIN pg_rewrite AS r ON l.classid = 'pg_rewrite'::regclass AND r.oid = l.objid
 WHERE r.rulename <> '_RETURN'
 UNION ALL SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
  pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE format(E';\\nALTER TABLE %s %s TRIGGER %I',
   t.tgrelid::regclass, CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
   ELSE 'ENABLE ALWAYS' END, t.tgname) END,
  format('COMMENT ON TRIGGER %I ON %s IS %L', t.tgname, t.tgrelid::regclass, obj_description(t.oid, 'pg_trigger')),
  obj_description(t.oid, 'pg_trigger') IS NOT NULL
 FROM leaning AS l JOIN pg_trigger AS t ON l.classid = 'pg_trigger'::regclass AND t.oid = l.objid
 WHERE NOT t.tgisinternal AND t.tgparentid = 0
 UNION ALL SELECT format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass),
  format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, p.polrelid::regclass,
   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
    ELSE 'ALL' END,
   (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
    FROM unnest(p.polroles) AS r))
   || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
   || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
  format('COMMENT ON POLICY %I ON %s IS %L', p.polname, p.polrelid::regclass, obj_description(p.oid, 'pg_policy')),
  obj_description(p.oid, 'pg_policy') IS NOT NULL
 FROM leaning AS l JOIN pg_policy AS p ON l.classid = 'pg_policy'::regclass AND p.oid = l.objid
 ORDER BY 1"""
)


async def leaning_on(wire: Wire, columns: Sequence[Place]) -> Dependents:
    """Find what stands in the way of another type for these columns."""
    if not columns:
        return Dependents((), ())
    values = ", ".join(f"({each.relation:d}::oid, {each.number:d}::smallint)" for each in columns)
    views = await wire.read(VIEWS.format(columns=values))
    others = await wire.read(OTHERS.format(columns=values))
    before = [row["gone"] for row in reversed(views) if row["gone"] is not None]
    after = [row["again"] for row in views]
    for row in others:
        after += [row["again"], *([row["comment"]] if row["commented"] else [])]
    return Dependents([*before, *(row["gone"] for row in others)], after)
