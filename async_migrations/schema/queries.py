"""What is asked of the catalog: a fixed number of queries, however many tables there are.

All run with an empty search path, so that PostgreSQL writes the schema before every name that is not its own.
Arrays come as JSON, and nothing needs a type that a driver would have to look up.
"""

from __future__ import annotations

PRINTED = {
    "search_path": "''",
    "quote_all_identifiers": "off",
    "datestyle": "'ISO, MDY'",
    "intervalstyle": "'postgres'",
    "timezone": "'UTC'",
    "bytea_output": "'hex'",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "xmlbinary": "'base64'",
}
"""How names and constants are printed: the same in every session."""

QUICKLY = {
    # A role's own timeout is made for requests.
    "statement_timeout": "0",
    # Our joins stand in a good order; to look for a better one takes half of what a small catalog takes in all.
    "join_collapse_limit": "1",
}
SET_PRINTED = "; ".join(f"SET LOCAL {name} = {value}" for name, value in {**PRINTED, **QUICKLY}.items())

_DECIDING = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "xmloption",
    "default_table_access_method",
    "lc_monetary",
    "lc_time",
]
_SETTINGS = ", ".join(f"'{name}', current_setting('{name}', true)" for name in _DECIDING)

SELECT_PLACE = f"""SELECT current_setting('server_version_num'), current_database(), current_schema(),
 to_json(current_schemas(false)), json_build_object({_SETTINGS}),
 (SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
 'provider', to_json(d) ->> 'datlocprovider', 'rules', to_json(d) ->> 'daticurules',
 'locale', coalesce(to_json(d) ->> 'datlocale', to_json(d) ->> 'daticulocale'))
 FROM pg_catalog.pg_database AS d WHERE datname = current_database()), current_user"""

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_EXTENSION = """LEFT JOIN pg_depend AS xd ON xd.classid = '{catalog}'::regclass AND xd.objid = {oid} AND xd.objsubid = 0
 AND xd.deptype = 'e' LEFT JOIN pg_extension AS x ON x.oid = xd.refobjid"""
_COMMENT = """LEFT JOIN pg_description AS o ON o.classoid = '{catalog}'::regclass AND o.objoid = {oid}
 AND o.objsubid = {column}"""


def _extension(catalog: str, oid: str) -> str:
    return _EXTENSION.format(catalog=catalog, oid=oid)


def _comment(catalog: str, oid: str, column: str = "0") -> str:
    return _COMMENT.format(catalog=catalog, oid=oid, column=column)


_HELD = """ARRAY(SELECT DISTINCT pg_describe_object(h.classid, h.objid, 0) FROM pg_depend AS h
 WHERE h.refclassid = '{catalog}'::regclass AND h.refobjid IN ({oids}) AND h.deptype IN ('n', 'a')
 AND h.classid IN ('pg_proc'::regclass, 'pg_rewrite'::regclass, 'pg_cast'::regclass, 'pg_operator'::regclass,
 'pg_opclass'::regclass, 'pg_type'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass))"""

SELECT_SCHEMAS = f"""SELECT 'schema', n.nspname, '', '', x.extname FROM pg_namespace AS n
 {_extension("pg_namespace", "n.oid")} WHERE {_OURS}
UNION ALL SELECT 'extension', n.nspname, x.extname, x.extversion, NULL FROM pg_extension AS x
 JOIN pg_namespace AS n ON n.oid = x.extnamespace
UNION ALL SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
 n.nspname, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '', NULL
 FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
 WHERE {_OURS} AND NOT EXISTS (SELECT FROM pg_depend AS d
 WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'composite type' END,
 n.nspname, c.relname, '', x.extname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 {_extension("pg_class", "c.oid")} WHERE c.relkind IN ('v', 'm', 'c') AND {_OURS}
UNION ALL SELECT 'collation', n.nspname, l.collname, '', NULL FROM pg_collation AS l
 JOIN pg_namespace AS n ON n.oid = l.collnamespace WHERE {_OURS}
UNION ALL SELECT 'operator class', '', CASE n.nspname WHEN 'pg_catalog' THEN '' ELSE quote_ident(n.nspname) || '.' END
 || quote_ident(y.opcname), y.oid::text, y.opcdefault::text FROM pg_opclass AS y
 JOIN pg_namespace AS n ON n.oid = y.opcnamespace WHERE NOT y.opcdefault
UNION ALL SELECT 'order', quote_ident(n.nspname), quote_ident(l.collname), l.oid::text, NULL FROM pg_collation AS l
 JOIN pg_namespace AS n ON n.oid = l.collnamespace
 WHERE l.oid <> 100 AND l.oid IN (SELECT unnest(indcollation) FROM pg_index)
ORDER BY 1, 2, 3"""

SELECT_RELATIONS = f"""SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relpersistence = 'u',
 to_json(c.reloptions || ARRAY(SELECT 'toast.' || option FROM unnest(b.reloptions) AS option)), s.spcname, a.amname,
 (SELECT json_agg(i.inhparent::bigint ORDER BY i.inhseqno) FROM pg_inherits AS i WHERE i.inhrelid = c.oid),
 CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END,
 CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END, o.description, x.extname
 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace LEFT JOIN pg_am AS a ON a.oid = c.relam
 LEFT JOIN pg_class AS b ON b.oid = c.reltoastrelid AND b.reloptions IS NOT NULL
 {_comment("pg_class", "c.oid")} {_extension("pg_class", "c.oid")}
 WHERE c.relkind IN ('r', 'p', 'f') AND {_OURS} ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C" """

# Since PostgreSQL 18 a NOT NULL may be NOT VALID: there may be rows that it does not hold for.
SELECT_COLUMNS = f"""SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),
 NOT a.attnotnull OR (a.attrelid, a.attnum) IN (SELECT conrelid, conkey[1] FROM pg_constraint
 WHERE contype = 'n' AND NOT convalidated),
 CASE WHEN d.oid IS NOT NULL THEN pg_get_expr(d.adbin, d.adrelid) END, nullif(a.attidentity, ''),
 nullif(a.attgenerated, ''), CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN
 (SELECT quote_ident(l.nspname) || '.' || quote_ident(k.collname) FROM pg_collation AS k
 JOIN pg_namespace AS l ON l.oid = k.collnamespace WHERE k.oid = a.attcollation) END,
 CASE WHEN m.typnamespace <> 11 THEN tn.nspname END, m.typname, a.attislocal, o.description
 FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 JOIN pg_type AS t ON t.oid = a.atttypid
 JOIN pg_type AS m ON m.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
 JOIN pg_namespace AS tn ON tn.oid = m.typnamespace
 LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef
 {_comment("pg_class", "a.attrelid", "a.attnum")}
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND {_OURS} ORDER BY a.attrelid, a.attnum"""

SELECT_CONSTRAINTS = f"""SELECT k.conrelid, k.contypid, k.conname, k.contype, pg_get_constraintdef(k.oid),
 to_json(k.conkey), k.confrelid, to_json(k.confkey), k.condeferrable, k.condeferred, k.convalidated, o.description
 FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace {_comment("pg_constraint", "k.oid")}
 WHERE k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conparentid = 0 AND (k.conislocal OR k.coninhcount = 0) AND {_OURS}
 ORDER BY k.conrelid, k.conname COLLATE "C" """

SELECT_INDEXES = f"""SELECT i.indrelid, c.relname, i.indisunique, i.indisvalid, a.amname, pg_get_indexdef(c.oid),
 length('CREATE INDEX ' || quote_ident(c.relname) || quote_ident(n.nspname) || quote_ident(r.relname)),
 CASE WHEN i.indexprs IS NOT NULL THEN
 to_json(ARRAY(SELECT pg_get_indexdef(c.oid, g, false) FROM generate_series(1, i.indnatts) AS g)) END,
 i.indkey, i.indoption, i.indnkeyatts, i.indclass, i.indcollation,
 CASE WHEN i.indpred IS NOT NULL THEN pg_get_expr(i.indpred, i.indrelid) END, to_json(c.reloptions), s.spcname,
 %(nulls_not_distinct)s, o.description
 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS r ON r.oid = i.indrelid
 JOIN pg_namespace AS n ON n.oid = r.relnamespace JOIN pg_am AS a ON a.oid = c.relam
 LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace {_comment("pg_class", "c.oid")}
 WHERE r.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND {_OURS} AND NOT EXISTS
 (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
 ORDER BY i.indrelid, c.relname COLLATE "C" """

SELECT_TYPES = f"""SELECT t.oid, n.nspname, t.typname, t.typtype,
 (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid),
 CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END, NOT t.typnotnull,
 CASE WHEN t.typdefaultbin IS NOT NULL THEN pg_get_expr(t.typdefaultbin, 0) END,
 CASE WHEN t.typcollation <> b.typcollation THEN (SELECT quote_ident(l.nspname) || '.' || quote_ident(k.collname)
 FROM pg_collation AS k JOIN pg_namespace AS l ON l.oid = k.collnamespace WHERE k.oid = t.typcollation) END,
 x.extname, to_json({_HELD.format(catalog="pg_type", oids="t.oid, t.typarray")})
 FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace LEFT JOIN pg_type AS b ON b.oid = t.typbasetype
 {_extension("pg_type", "t.oid")} WHERE t.typtype IN ('e', 'd', 'r') AND {_OURS}
 ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C" """

SELECT_SEQUENCES = f"""SELECT n.nspname, c.relname, format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin,
 q.seqmax, q.seqcache, q.seqcycle, c.relpersistence = 'u', d.refobjid, d.refobjsubid, d.deptype = 'i', x.extname,
 to_json({_HELD.format(catalog="pg_class", oids="c.oid")})
 FROM pg_sequence AS q JOIN pg_class AS c ON c.oid = q.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 LEFT JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
 AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') {_extension("pg_class", "c.oid")}
 WHERE {_OURS} ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C" """

SELECT_STAMP = f"""WITH r AS MATERIALIZED (SELECT c.oid, c.xmin FROM pg_class AS c JOIN pg_namespace AS n
 ON n.oid = c.relnamespace WHERE {_OURS}), s AS (SELECT xmin FROM r
 UNION ALL SELECT xmin FROM pg_attribute WHERE attrelid IN (SELECT oid FROM r)
 UNION ALL SELECT xmin FROM pg_attrdef UNION ALL SELECT xmin FROM pg_constraint UNION ALL SELECT xmin FROM pg_index
 UNION ALL SELECT xmin FROM pg_enum UNION ALL SELECT xmin FROM pg_sequence UNION ALL SELECT xmin FROM pg_namespace)
 SELECT count(*), sum(xmin::text::bigint) FROM s"""
"""Two numbers that change whenever a definition does: every change writes a row anew."""
