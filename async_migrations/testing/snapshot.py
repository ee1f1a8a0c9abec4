"""What a database's schema is, as lines of text that two databases can be compared by."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

# Not `schema.catalog`, which reads what models can say: a migration that is taken back must not lose a trigger either.
OURS = """
NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname NOT LIKE 'pg\\_temp%'
"""


def _granted(acl: str, kind: str, owner: str) -> str:
    """Write who may do what, in one order; nothing where it is the default, which a REVOKE leaves written out.

    Args:
        acl: the column with the rights.
        kind: what they are rights to, as `acldefault` has it.
        owner: the column with the owner.
    """
    listed = "(SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest({}) AS item)"
    default = listed.format(f"acldefault({kind}, {owner})")
    given = f"coalesce({listed.format(acl)}, 'nobody')"
    return f"CASE WHEN {acl} IS NOT NULL THEN 'granted ' || nullif({given}, {default}) END"


# Columns and attributes stand without their position: one that is taken away and added again is the last one.
QUERY = f"""
WITH spaces AS (SELECT oid, nspname, nspacl, nspowner FROM pg_namespace WHERE nspname {OURS}),
extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relations AS (
    SELECT c.*, nspname FROM pg_class AS c JOIN spaces AS s ON s.oid = relnamespace
    WHERE c.oid NOT IN (SELECT objid FROM extensions WHERE classid = 'pg_class'::regclass) AND relname <> ALL ($1)
)
SELECT 'schema', nspname, {_granted("nspacl", "'n'", "nspowner")} FROM spaces
UNION ALL
SELECT 'extension', extname, '' FROM pg_extension
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END,
    nspname || '.' || relname,
    concat_ws(' ', relkind::text, relrowsecurity, CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
        pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'),
        CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
        CASE WHEN relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END,
        CASE WHEN relkind IN ('r', 'p', 'm') THEN 'REPLICA IDENTITY ' || nullif(relreplident::text, 'd') END,
        (SELECT string_agg(option, ', ' ORDER BY option) FROM unnest(reloptions) AS option),
        (SELECT 'INHERITS ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhparent::regclass::text)
            FROM pg_inherits WHERE inhrelid = r.oid AND NOT relispartition),
        (SELECT concat_ws(' ', seqtypid::regtype, 'START', seqstart, 'INCREMENT', seqincrement, 'MINVALUE', seqmin,
            'MAXVALUE', seqmax, 'CACHE', seqcache, CASE WHEN seqcycle THEN 'CYCLE' END)
            FROM pg_sequence WHERE seqrelid = r.oid),
        {_granted("relacl", '''CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END''', "relowner")})
FROM relations AS r WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL
SELECT 'column', nspname || '.' || relname || '.' || attname,
    concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity::text, attgenerated::text,
        pg_get_expr(adbin, adrelid), nullif(attcollation, 0)::regcollation, col_description(attrelid, attnum),
        'STORAGE ' || nullif(attstorage, typstorage)::text, 'COMPRESSION ' || nullif(attcompression::text, ''),
        'STATISTICS ' || nullif(attstattarget, -1),
        (SELECT string_agg(option, ', ' ORDER BY option) FROM unnest(attoptions) AS option),
        {_granted("attacl", "'c'", "relowner")})
FROM pg_attribute JOIN relations AS r ON r.oid = attrelid AND relkind IN ('r', 'p', 'f', 'm')
JOIN pg_type AS t ON t.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', nspname || '.' || relname || '.' || conname, pg_get_constraintdef(p.oid)
FROM pg_constraint AS p JOIN relations AS r ON r.oid = conrelid WHERE contype <> 'n'
UNION ALL
SELECT 'index', i.nspname || '.' || i.relname, concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid,
    CASE WHEN indisreplident THEN 'REPLICA IDENTITY' END, CASE WHEN indisclustered THEN 'CLUSTER' END)
FROM pg_index JOIN relations AS i ON i.oid = indexrelid JOIN relations AS t ON t.oid = indrelid
UNION ALL
SELECT 'statistics', nspname || '.' || stxname, concat_ws(' ', pg_get_statisticsobjdef(e.oid),
    'STATISTICS ' || nullif(stxstattarget, -1))
FROM pg_statistic_ext AS e JOIN spaces AS s ON s.oid = stxnamespace
UNION ALL
SELECT 'trigger', nspname || '.' || relname || '.' || tgname, concat_ws(' ', pg_get_triggerdef(g.oid), tgenabled::text)
FROM pg_trigger AS g JOIN relations AS r ON r.oid = tgrelid WHERE NOT tgisinternal
UNION ALL
SELECT 'rule', nspname || '.' || relname || '.' || rulename, concat_ws(' ', pg_get_ruledef(w.oid), ev_enabled::text)
FROM pg_rewrite AS w JOIN relations AS r ON r.oid = ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'policy', nspname || '.' || relname || '.' || polname, concat_ws(' ', polcmd::text, polpermissive,
    pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
FROM pg_policy JOIN relations AS r ON r.oid = polrelid
UNION ALL
SELECT 'function', nspname || '.' || p.oid::regprocedure, concat_ws(' ',
    CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
    (SELECT concat_ws(' ', aggkind::text, 'SFUNC', aggtransfn, 'STYPE', aggtranstype::regtype, 'FINALFUNC',
        aggfinalfn, 'COMBINEFUNC', aggcombinefn, 'MSFUNC', aggmtransfn, 'SORTOP', aggsortop::regoperator, agginitval,
        proparallel::text)
        FROM pg_aggregate WHERE aggfnoid = p.oid),
    {_granted("proacl", "'f'", "proowner")})
FROM pg_proc AS p JOIN spaces AS s ON s.oid = pronamespace
WHERE p.oid NOT IN (SELECT objid FROM extensions WHERE classid = 'pg_proc'::regclass)
UNION ALL
SELECT 'type', nspname || '.' || typname, concat_ws(' ', typtype::text, format_type(nullif(typbasetype, 0), typtypmod),
    typdefault, (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
    CASE WHEN typnotnull THEN 'NOT NULL' END,
    (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), ', ' ORDER BY conname)
        FROM pg_constraint WHERE contypid = t.oid AND contype <> 'n'),
    (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname)
        FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped),
    {_granted("typacl", "'T'", "typowner")})
FROM pg_type AS t JOIN spaces AS s ON s.oid = typnamespace
WHERE (typtype IN ('e', 'd', 'r') OR EXISTS (SELECT FROM pg_class WHERE oid = typrelid AND relkind = 'c'))
AND t.oid NOT IN (SELECT objid FROM extensions WHERE classid = 'pg_type'::regclass)
UNION ALL
SELECT 'default privileges', concat_ws(' ', defaclrole::regrole, nullif(defaclnamespace, 0)::regnamespace,
    defaclobjtype::text), (SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest(defaclacl) AS item)
FROM pg_default_acl
ORDER BY 1, 2, 3
"""


async def snapshot(driver: Any, *left_out: str) -> tuple[str, ...]:
    """Read the whole schema of a database.

    Args:
        driver: a connection of asyncpg.
        left_out: tables that do not count, such as the ledger.
    """
    rows = await driver.fetch(QUERY, [name for table in left_out for name in (table, f"{table}_id_seq")])
    return tuple(" ".join(filter(None, row)) for row in rows)


def differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the lines that only one of two snapshots has, `-` for the first and `+` for the second."""
    lines = difflib.ndiff(list(before), list(after))
    return [line for line in lines if line.startswith(("- ", "+ "))]
