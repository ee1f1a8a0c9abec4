"""Whether what stands in the database is what is wanted: the server makes a twin of it and writes out both.

A twin is made in a scratch transaction that is rolled back, among the temporary relations. It is looked for only when
an earlier try may have done the work, and before anything is called done.
"""

from __future__ import annotations

from typing import Any

from async_migrations.online.wire import Wire
from async_migrations.sql import qualified, quote_identifier, quote_literal

REPARSED = 2
"""How often the server's own text is given back to it; later it stays the same."""

TWIN = qualified("pg_temp", "async_migrations_twin")
"""What a twin is called where nobody can speak of it by name."""

COLUMNS = """SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
 a.attidentity AS identity, a.attgenerated AS generated, coll.collname AS "collation",
 CASE WHEN EXISTS (SELECT FROM pg_depend AS s WHERE s.classid = 'pg_class'::regclass AND s.deptype = 'a'
  AND s.refclassid = 'pg_class'::regclass AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum
  AND EXISTS (SELECT FROM pg_sequence AS q WHERE q.seqrelid = s.objid)) THEN 'serial'
 ELSE pg_get_expr(d.adbin, d.adrelid) END AS "default"
 FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 LEFT JOIN pg_collation AS coll ON coll.oid = a.attcollation
 WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

CONSTRAINTS = """SELECT pg_get_constraintdef(k.oid) AS definition FROM pg_constraint AS k
 WHERE k.conrelid = to_regclass({table}) AND k.contype IN ('c', 'p', 'u', 'x') ORDER BY 1"""

CONSTRAINT = """SELECT pg_get_constraintdef(k.oid) AS definition FROM pg_constraint AS k
 WHERE {owner} AND k.conname = {name}"""

SEQUENCE = """SELECT format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache,
 s.seqcycle FROM pg_sequence AS s WHERE s.seqrelid = to_regclass({name})"""

DOMAIN = """SELECT format_type(t.typbasetype, t.typtypmod) AS base, t.typdefault, t.typnotnull, t.typcollation,
 ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c'
  ORDER BY 1) AS checks
 FROM pg_type AS t WHERE t.typtype = 'd' AND t.oid = to_regtype({name})"""


PARTITION_KEY = "SELECT pg_get_partkeydef(to_regclass({name})) AS key"

PARTITION_BOUND = """SELECT pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_class AS c
 WHERE c.oid = to_regclass({name})"""


def twin_of(table: str) -> str:
    """Return what a table's twin is called.

    It has the table's own name, which expressions may hold: `orders.price > 0`. It hides the table where that is
    looked for along `search_path`, so that the table is read before its twin is there.
    """
    return qualified("pg_temp", table)


async def is_same_table(wire: Wire, there: str, table: str, statement: str) -> bool:
    """Tell whether a table has the columns and constraints, foreign keys aside, that `statement` gives its twin."""
    found = [await _rows(wire, query, table=there) for query in (COLUMNS, CONSTRAINTS)]
    async with wire.scratch():
        await wire.run(statement)
        return found == [await _rows(wire, query, table=twin_of(table)) for query in (COLUMNS, CONSTRAINTS)]


async def is_same_column(wire: Wire, there: str, table: str, column: str, statement: str) -> bool:
    """Tell whether a column is the one that `statement` adds to the twin of its table."""
    found, twin = await _column(wire, there, column), twin_of(table)
    async with wire.scratch():
        await _copy(wire, there, twin)
        await wire.run(f"ALTER TABLE {twin} DROP COLUMN {quote_identifier(column)} CASCADE; {statement}")
        return found == await _column(wire, twin, column)


async def is_same_type(wire: Wire, there: str, column: str, type_: str) -> bool:
    """Tell whether a column has a type already, and its collation."""
    name = quote_identifier(column)
    async with wire.scratch():
        await _copy(wire, there, TWIN)
        await wire.run(f"ALTER TABLE {TWIN} DROP COLUMN {name} CASCADE; ALTER TABLE {TWIN} ADD COLUMN {name} {type_}")
        ours, twins = await _column(wire, there, column), await _column(wire, TWIN, column)
    return (ours["type"], ours["collation"]) == (twins["type"], twins["collation"])


async def is_same_constraint(wire: Wire, there: str, table: str, name: str, clause: str) -> bool:
    """Tell whether a CHECK, UNIQUE, PRIMARY KEY or EXCLUDE of a table is the one that `clause` adds."""
    found = await _definition(wire, f"k.conrelid = to_regclass({quote_literal(there)})", name)
    async with wire.scratch():
        await _copy(wire, there, twin_of(table))
        return await _comes_up(wire, twin_of(table), name, clause, found, "k.conrelid = to_regclass")


async def is_same_domain_check(wire: Wire, domain: str, name: str, base: str, clause: str) -> bool:
    """Tell whether a constraint of a domain is the one that `clause` adds."""
    found = await _definition(wire, f"k.contypid = to_regtype({quote_literal(domain)})", name)
    async with wire.scratch():
        await wire.run(f"CREATE DOMAIN {TWIN} AS {base}")
        return await _comes_up(wire, TWIN, name, clause, found, "k.contypid = to_regtype", kind="DOMAIN")


async def is_same_sequence(wire: Wire, there: str, options: str) -> bool:
    """Tell whether a sequence has these options."""
    async with wire.scratch():
        await wire.run(f"CREATE SEQUENCE {TWIN} {options}")
        return await _rows(wire, SEQUENCE, name=there) == await _rows(wire, SEQUENCE, name=TWIN)


async def is_same_bound(wire: Wire, there: str, parent: str, bound: str) -> bool:
    """Tell whether a partition has a bound, by making one of a twin of its parent."""
    (key,) = await _rows(wire, PARTITION_KEY, name=parent)
    part = qualified("pg_temp", "async_migrations_part")
    async with wire.scratch():
        await wire.run(f"CREATE TABLE {TWIN} (LIKE {parent}) PARTITION BY {key['key']}")
        await wire.run(f"CREATE TABLE {part} PARTITION OF {TWIN} {bound}")
        return await _rows(wire, PARTITION_BOUND, name=there) == await _rows(wire, PARTITION_BOUND, name=part)


async def is_same_domain(wire: Wire, there: str, statement: str) -> bool:
    """Tell whether a domain is the one that `statement` makes under the name of a twin."""
    async with wire.scratch():
        await wire.run(statement)
        return await _rows(wire, DOMAIN, name=there) == await _rows(wire, DOMAIN, name=TWIN)


async def _copy(wire: Wire, there: str, twin: str) -> None:
    await wire.run(f"CREATE TABLE {twin} (LIKE {there} INCLUDING GENERATED)")


async def _rows(wire: Wire, query: str, **names: str) -> list[dict[str, Any]]:
    return await wire.read(query.format(**{key: quote_literal(value) for key, value in names.items()}))


async def _column(wire: Wire, table: str, column: str) -> dict[str, Any]:
    rows = await _rows(wire, COLUMNS, table=table)
    return next(row for row in rows if row["name"] == column)


async def _definition(wire: Wire, owner: str, name: str) -> str:
    rows = await wire.read(CONSTRAINT.format(owner=owner, name=quote_literal(name)))
    return str(rows[0]["definition"]).removesuffix(" NOT VALID") if rows else ""


async def _comes_up(wire: Wire, twin: str, name: str, clause: str, found: str, owner: str, kind: str = "TABLE") -> bool:
    """Tell whether the server's text is among what it makes of the clause, given back to it some times."""
    quoted = quote_identifier(name)
    for _ in range(1 + REPARSED):
        await wire.run(f"ALTER {kind} {twin} ADD CONSTRAINT {quoted} {clause}")
        clause = await _definition(wire, f"{owner}({quote_literal(twin)})", name)
        if clause == found:
            return True
        await wire.run(f"ALTER {kind} {twin} DROP CONSTRAINT {quoted}")
    return False
