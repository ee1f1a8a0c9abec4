"""Generated columns that read others: dropped before those change, and added again after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from async_migrations.online.places import Place, listed
from async_migrations.online.properties import grant, settings
from async_migrations.online.wire import Wire
from async_migrations.sql import quote_identifier, quote_literal

# Heirs have the column from its parent, with rights, a comment and settings of their own.
GENERATED = f"""SELECT DISTINCT a.attrelid::bigint AS relation, a.attnum AS number,
 format('%I.%I', n.nspname, c.relname) AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) || coalesce(
  (SELECT format(' COLLATE %s.%I', l.collnamespace::regnamespace, l.collname) FROM pg_collation AS l, pg_type AS t
   WHERE l.oid = a.attcollation AND t.oid = a.atttypid AND l.oid <> t.typcollation), '') AS type,
 a.attnotnull AS not_null, a.attgenerated = 's' AS stored, {settings("a")} AS settings,
 pg_get_expr(d.adbin, d.adrelid) AS expression, col_description(a.attrelid, a.attnum) AS comment,
 ARRAY(
  WITH RECURSIVE family (relation) AS (
   SELECT a.attrelid UNION SELECT h.inhrelid FROM family AS f JOIN pg_inherits AS h ON h.inhparent = f.relation
  )
  SELECT s.statement FROM family AS f JOIN pg_attribute AS b ON b.attrelid = f.relation AND b.attname = a.attname
  CROSS JOIN LATERAL (
   SELECT format('ALTER TABLE ONLY %s %s', f.relation::regclass, array_to_string(e.actions, ', '))
   FROM (SELECT {settings("b")} AS actions) AS e WHERE f.relation <> a.attrelid AND e.actions <> ARRAY[]::text[]
   UNION ALL SELECT format('COMMENT ON COLUMN %s.%I IS %L', f.relation::regclass, b.attname, e.comment)
   FROM (SELECT col_description(f.relation, b.attnum) AS comment) AS e
   WHERE f.relation <> a.attrelid AND e.comment IS NOT NULL
   UNION ALL SELECT {grant("g", "f.relation::regclass", "b.attname")} FROM aclexplode(b.attacl) AS g
  ) AS s (statement)
 ) AS kept
 FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"""

# On PostgreSQL 14 the column leans on those that it reads, later the expression does.
READERS = (
    GENERATED
    + """ JOIN pg_depend AS p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
   OR p.classid = 'pg_class'::regclass AND p.objid = a.attrelid AND p.objsubid = a.attnum
 WHERE a.attgenerated <> '' AND a.attinhcount = 0
 AND (p.refclassid, p.refobjid, p.refobjsubid) <> ('pg_class'::regclass, a.attrelid, a.attnum)
 AND (p.refclassid, p.refobjid, p.refobjsubid) IN (
  SELECT catalog, object, number FROM (VALUES {places}) AS v (catalog, object, number, whole)
 ) ORDER BY 3, 2"""
)

ITSELF = (
    GENERATED
    + """ WHERE (a.attrelid, a.attnum) IN (
  SELECT object, number FROM (VALUES {places}) AS v (catalog, object, number, whole)
 )"""
)


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated column, as the catalog has it.

    Attributes:
        type: as the server prints it, with a COLLATE that is not the type's own.
        settings: actions of ALTER TABLE: storage, compression, statistics, options.
        kept: what else is said of it and its heirs: rights, and the heirs' comments and settings.
    """

    relation: int
    number: int
    table: str
    name: str
    type: str
    not_null: bool
    stored: bool
    settings: Sequence[str]
    expression: str
    comment: str | None
    kept: Sequence[str]

    @property
    def gone(self) -> str:
        """The statement that drops it."""
        return f"ALTER TABLE {self.table} DROP COLUMN {quote_identifier(self.name)}"

    def again(self) -> Iterator[str]:
        """Write what adds it again, at the table's end; its values are stored as the settings say."""
        name = quote_identifier(self.name)
        kind = "STORED" if self.stored else "VIRTUAL"
        definition = f"{self.type} GENERATED ALWAYS AS ({self.expression}) {kind}"
        added = f"ADD COLUMN {name} {definition}{' NOT NULL' if self.not_null else ''}"
        yield f"ALTER TABLE {self.table} {', '.join([added, *self.settings])}"
        if self.comment is not None:
            yield f"COMMENT ON COLUMN {self.table}.{name} IS {quote_literal(self.comment)}"
        yield from self.kept


async def find_readers(wire: Wire, places: Sequence[Place]) -> list[Generated]:
    """Return the generated columns that read any of these columns, or are or speak of these types."""
    if not places:
        return []
    return [Generated(**row) for row in await wire.read(READERS.format(places=listed(places)))]


async def find_generated(wire: Wire, place: Place) -> Generated:
    """Return a generated column."""
    (row,) = await wire.read(ITSELF.format(places=listed([place])))
    return Generated(**row)
