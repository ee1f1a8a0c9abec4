"""Generated columns that read others: dropped before those change, and added again after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from async_migrations.online.wire import Wire
from async_migrations.sql import quote_identifier, quote_literal

# On PostgreSQL 14 the column leans on those that it reads, later the expression does.
READERS = """SELECT DISTINCT a.attrelid::bigint AS relation, a.attnum AS number,
 format('%I.%I', n.nspname, c.relname) AS table, a.attname AS name,
 format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, a.attgenerated = 's' AS stored,
 pg_get_expr(d.adbin, d.adrelid) AS expression, col_description(a.attrelid, a.attnum) AS comment
 FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 JOIN pg_depend AS p ON (p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
   OR p.classid = 'pg_class'::regclass AND p.objid = a.attrelid AND p.objsubid = a.attnum)
  AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid <> a.attnum
 WHERE a.attgenerated <> '' AND a.attinhcount = 0 AND (p.refobjid, p.refobjsubid) IN (VALUES {columns})
 ORDER BY 3, 2"""


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated column, as the catalog has it."""

    relation: int
    number: int
    table: str
    name: str
    type: str
    not_null: bool
    stored: bool
    expression: str
    comment: str | None

    @property
    def gone(self) -> str:
        """The statement that drops it."""
        return f"ALTER TABLE {self.table} DROP COLUMN {quote_identifier(self.name)}"

    def again(self) -> Iterator[str]:
        """Write what adds it again, at the table's end."""
        name = quote_identifier(self.name)
        kind = "STORED" if self.stored else "VIRTUAL"
        definition = f"{self.type} GENERATED ALWAYS AS ({self.expression}) {kind}"
        yield f"ALTER TABLE {self.table} ADD COLUMN {name} {definition}{' NOT NULL' if self.not_null else ''}"
        if self.comment is not None:
            yield f"COMMENT ON COLUMN {self.table}.{name} IS {quote_literal(self.comment)}"


async def find_readers(wire: Wire, columns: Sequence[tuple[int, int]]) -> list[Generated]:
    """Return the generated columns that read any of these, which are given by relation and number."""
    if not columns:
        return []
    values = ", ".join(f"({relation:d}::oid, {number:d})" for relation, number in columns)
    return [Generated(**row) for row in await wire.read(READERS.format(columns=values))]
