"""SQL that writes what a definition of the server's does not say of a thing: its place, its state, its rights."""

from __future__ import annotations

# What the index `c`, a row `i` of pg_index, is of use for beside queries.
CHOSEN = """array_remove(ARRAY[
  CASE WHEN i.indisclustered THEN format('ALTER TABLE %s CLUSTER ON %I', i.indrelid::regclass, c.relname) END,
  CASE WHEN i.indisreplident THEN
   format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', i.indrelid::regclass, c.relname) END], NULL)"""

# Several statements, for the row `s` of pg_statistic_ext.
STATISTICS = """array_to_string(ARRAY[pg_get_statisticsobjdef(s.oid),
  CASE WHEN s.stxstattarget >= 0 THEN
   format('ALTER STATISTICS %s.%I SET STATISTICS %s', s.stxnamespace::regnamespace, s.stxname, s.stxstattarget) END,
  CASE WHEN obj_description(s.oid, 'pg_statistic_ext') IS NOT NULL THEN format('COMMENT ON STATISTICS %s.%I IS %L',
   s.stxnamespace::regnamespace, s.stxname, obj_description(s.oid, 'pg_statistic_ext')) END,
  CASE WHEN pg_get_userbyid(s.stxowner) <> current_user THEN format('ALTER STATISTICS %s.%I OWNER TO %I',
   s.stxnamespace::regnamespace, s.stxname, pg_get_userbyid(s.stxowner)) END], E';\\n')"""

# Before PostgreSQL 17 a target of -1 is none.
_SETTINGS = """ARRAY(
  SELECT format('ALTER COLUMN %I %s', {column}.attname, s.setting) FROM pg_type AS t CROSS JOIN LATERAL (VALUES
   ('SET STATISTICS ' || CASE WHEN {column}.attstattarget >= 0 THEN {column}.attstattarget::text END),
   ('SET STORAGE ' || CASE WHEN {column}.attstorage <> t.typstorage THEN CASE {column}.attstorage
    WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END),
   ('SET COMPRESSION ' || CASE {column}.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END),
   ((SELECT 'SET (' || string_agg(o, ', ') || ')' FROM unnest({column}.attoptions) AS o))
  ) AS s (setting) WHERE t.oid = {column}.atttypid AND s.setting IS NOT NULL
 )"""

_TABLESPACE = """(SELECT CASE coalesce(s.spcname, '') WHEN current_setting('default_tablespace') THEN {statement}
  ELSE format(E'SET LOCAL default_tablespace = %L;\\n%s;\\nSET LOCAL default_tablespace = %L', coalesce(s.spcname, ''),
   {statement}, current_setting('default_tablespace')) END
  FROM (SELECT 1) AS one LEFT JOIN pg_tablespace AS s ON s.oid = {relation}.reltablespace)"""

_STATE = """CASE {enabled} WHEN 'O' THEN '' ELSE format(E';\\nALTER TABLE %s %s {kind} %I', {relation}::regclass,
  CASE {enabled} WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, {name}) END"""

_GRANT = """format('GRANT %s%s ON %s TO %s%s', {acl}.privilege_type, {columns}, {relation}, {grantee},
  CASE WHEN {acl}.is_grantable THEN ' WITH GRANT OPTION' END)"""


def settings(column: str) -> str:
    """Write the actions of ALTER TABLE that say of a row of pg_attribute how it is stored and looked at."""
    return _SETTINGS.format(column=column)


def placed(statement: str, relation: str) -> str:
    """Write a statement so that what it creates lies in the tablespace of a relation of pg_class."""
    return _TABLESPACE.format(statement=statement, relation=relation)


def state(kind: str, enabled: str, relation: str, name: str) -> str:
    """Write what switches a new RULE or TRIGGER off, or on for replicas too, behind its definition."""
    return _STATE.format(kind=kind, enabled=enabled, relation=relation, name=name)


def role(oid: str) -> str:
    """Write a role as GRANT has it; 0 is everybody."""
    return f"CASE {oid} WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid({oid})) END"


def grant(acl: str, relation: str, column: str = "NULL") -> str:
    """Write the GRANT of a row of `aclexplode`, on a relation or on a column of it."""
    columns = f"CASE WHEN {column} IS NOT NULL THEN format(' (%I)', {column}) END"
    return _GRANT.format(acl=acl, columns=columns, relation=relation, grantee=role(f"{acl}.grantee"))
