"""What is made by hand and leans on what changes: views, rules, triggers, policies.

PostgreSQL refuses to change a type under them. They are nobody's model, so that they are taken away and made again
exactly as they were, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from async_migrations.online.dependents import Dependents
from async_migrations.online.places import Place, listed
from async_migrations.online.properties import CHOSEN, STATISTICS, grant, placed, role, settings, state
from async_migrations.online.wire import Wire

# A change of type reaches the columns of all children too. Views stand on views; the deepest go first and come last.
# What an extension owns is left to PostgreSQL's refusal.
_LEANING = """WITH RECURSIVE family (catalog, object, number) AS (
  SELECT catalog, object, number FROM (VALUES {places}) AS c (catalog, object, number, whole)
  UNION SELECT f.catalog, h.inhrelid, a.attnum FROM family AS f JOIN pg_inherits AS h ON h.inhparent = f.object
  JOIN pg_attribute AS p ON p.attrelid = f.object AND p.attnum = f.number
  JOIN pg_attribute AS a ON a.attrelid = h.inhrelid AND a.attname = p.attname WHERE f.catalog = 'pg_class'::regclass
 ), leaning (oid, depth) AS (
  SELECT r.ev_class, 1 FROM family AS f JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
   AND d.refclassid = f.catalog AND d.refobjid = f.object AND d.refobjsubid = f.number
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
 )"""

# The default privileges of who makes a view again would let others read it than before. An owner's own privileges can
# be granted only when it is the owner, and a change of owner takes the privileges of the former along.
VIEWS = (
    _LEANING
    + f""", preset AS (
  SELECT DISTINCT v.oid, r.grantee FROM views AS v LEFT JOIN pg_default_acl AS p ON p.defaclobjtype = 'r'
   AND p.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
   AND p.defaclnamespace IN (0, v.relnamespace)
  CROSS JOIN LATERAL (SELECT v.relowner UNION SELECT grantee FROM aclexplode(p.defaclacl)) AS r (grantee)
  WHERE p.oid IS NOT NULL OR v.relacl IS NOT NULL
 ), granted AS (
  SELECT v.depth, v.name, NULL AS attname, a.* FROM views AS v
  CROSS JOIN LATERAL aclexplode(coalesce(v.relacl, acldefault('r', v.relowner))) AS a
  WHERE v.oid IN (SELECT oid FROM preset)
  UNION ALL SELECT v.depth, v.name, t.attname, a.* FROM views AS v JOIN pg_attribute AS t ON t.attrelid = v.oid
  CROSS JOIN LATERAL aclexplode(t.attacl) AS a
 ), set AS (
  SELECT v.depth, v.name, {settings("a")} AS actions FROM views AS v JOIN pg_attribute AS a ON a.attrelid = v.oid
  WHERE v.relkind = 'm' AND a.attnum > 0
 ), made AS (
  SELECT v.*, format('CREATE %s %s%s AS %s%s', kind, name,
   (SELECT ' WITH (' || string_agg(format('%I = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
    || ')' FROM unnest(reloptions) AS o),
   rtrim(pg_get_viewdef(oid), ';'), CASE WHEN relkind = 'm' AND NOT relispopulated THEN ' WITH NO DATA' END) AS text
  FROM views AS v
 ), indexes AS (
  SELECT v.depth, c.*, pg_get_indexdef(c.oid) AS text, {CHOSEN} AS chosen FROM views AS v
  JOIN pg_index AS i ON i.indrelid = v.oid JOIN pg_class AS c ON c.oid = i.indexrelid
 )
 SELECT depth, 0 AS part, format('DROP %s %s', kind, name) AS gone, {placed("v.text", "v")} AS again FROM made AS v
 UNION ALL SELECT depth, 1, NULL, format('ALTER TABLE %s %s', name, array_to_string(actions, ', ')) FROM set
  WHERE actions <> ARRAY[]::text[]
 UNION ALL SELECT depth, 2, NULL, format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', name, a.attname,
  pg_get_expr(d.adbin, d.adrelid))
 FROM views AS v JOIN pg_attrdef AS d ON d.adrelid = v.oid JOIN pg_attribute AS a
  ON a.attrelid = v.oid AND a.attnum = d.adnum
 UNION ALL SELECT depth, 2, NULL, {placed("i.text", "i")} FROM indexes AS i
 UNION ALL SELECT depth, 2, NULL, {STATISTICS} FROM views AS v JOIN pg_statistic_ext AS s ON s.stxrelid = v.oid
 UNION ALL SELECT depth, 3, NULL, unnest(chosen) FROM indexes
 UNION ALL SELECT depth, 3, NULL, format('COMMENT ON %s %s IS %L', CASE d.objsubid WHEN 0 THEN kind ELSE 'COLUMN' END,
  name || coalesce('.' || quote_ident(a.attname), ''), d.description)
 FROM views AS v JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = v.oid
 LEFT JOIN pg_attribute AS a ON a.attrelid = v.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 UNION ALL SELECT depth, 3, NULL, format('COMMENT ON INDEX %s IS %L', oid::regclass, obj_description(oid, 'pg_class'))
 FROM indexes WHERE obj_description(oid, 'pg_class') IS NOT NULL
 UNION ALL SELECT depth, 4, NULL, format('ALTER TABLE %s OWNER TO %I', name, pg_get_userbyid(relowner)) FROM views
  WHERE pg_get_userbyid(relowner) <> current_user
 UNION ALL SELECT depth, 5, NULL, format('REVOKE ALL ON %s FROM %s', name, {role("p.grantee")})
 FROM preset AS p JOIN views USING (oid)
 UNION ALL SELECT depth, 6, NULL, {grant("g", "g.name", "g.attname")} FROM granted AS g
 ORDER BY 1, 2, 4"""
)

# PostgreSQL has no word for the definition of a policy. Rules and triggers of views come when all views are there:
# they may speak of others than those that their own view reads.
OTHERS = (
    _LEANING
    + f""", others AS (
  SELECT d.classid, d.objid FROM family AS f JOIN pg_depend AS d ON d.refclassid = f.catalog
   AND d.refobjid = f.object AND d.refobjsubid = f.number
  UNION SELECT d.classid, d.objid FROM views AS v JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass
   AND d.refobjid = v.oid
 )
 SELECT format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass) AS gone,
  pg_get_ruledef(r.oid) || {state("RULE", "r.ev_enabled", "r.ev_class", "r.rulename")} AS again,
  format('COMMENT ON RULE %I ON %s IS %L', r.rulename, r.ev_class::regclass,
   obj_description(r.oid, 'pg_rewrite')) AS comment, obj_description(r.oid, 'pg_rewrite') IS NOT NULL AS commented
 FROM others AS l JOIN pg_rewrite AS r ON l.classid = 'pg_rewrite'::regclass AND r.oid = l.objid
 WHERE r.rulename <> '_RETURN'
 UNION ALL SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
  pg_get_triggerdef(t.oid) || {state("TRIGGER", "t.tgenabled", "t.tgrelid", "t.tgname")},
  format('COMMENT ON TRIGGER %I ON %s IS %L', t.tgname, t.tgrelid::regclass, obj_description(t.oid, 'pg_trigger')),
  obj_description(t.oid, 'pg_trigger') IS NOT NULL
 FROM others AS l JOIN pg_trigger AS t ON l.classid = 'pg_trigger'::regclass AND t.oid = l.objid
 WHERE NOT t.tgisinternal AND t.tgparentid = 0
 UNION ALL SELECT format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass),
  format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, p.polrelid::regclass,
   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
    ELSE 'ALL' END,
   (SELECT string_agg({role("r")}, ', ') FROM unnest(p.polroles) AS r))
   || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
   || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
  format('COMMENT ON POLICY %I ON %s IS %L', p.polname, p.polrelid::regclass, obj_description(p.oid, 'pg_policy')),
  obj_description(p.oid, 'pg_policy') IS NOT NULL
 FROM others AS l JOIN pg_policy AS p ON l.classid = 'pg_policy'::regclass AND p.oid = l.objid
 ORDER BY 1"""
)


async def leaning_on(wire: Wire, places: Sequence[Place]) -> Dependents:
    """Find what stands in the way of another type for these columns, or of these types."""
    if not places:
        return Dependents((), ())
    views = await wire.read(VIEWS.format(places=listed(places)))
    others = await wire.read(OTHERS.format(places=listed(places)))
    before = [row["gone"] for row in others]
    before += [row["gone"] for row in reversed(views) if row["gone"] is not None]
    after = [row["again"] for row in views]
    for row in others:
        after += [row["again"], *([row["comment"]] if row["commented"] else [])]
    return Dependents(before, after)
