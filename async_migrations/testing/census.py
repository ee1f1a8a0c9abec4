"""The rows of a database by their keys: what of them is lost on the way to another state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from async_migrations.sql import quote_identifier

TABLES = """
SELECT nspname, relname, coalesce((SELECT array_agg(attname::text ORDER BY ordinality)
    FROM pg_constraint AS p, unnest(conkey) WITH ORDINALITY AS k(number, ordinality)
    JOIN pg_attribute ON attrelid = c.oid AND attnum = k.number
    WHERE conrelid = c.oid AND contype = 'p'), '{}') AS key
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relname <> $1
AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_t%'
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table.

    Attributes:
        key: the columns of its primary key.
        keys: the values of it, one for each row.
        number: how many rows there are.
    """

    key: tuple[str, ...]
    keys: frozenset[str]
    number: int


@dataclass(frozen=True, slots=True)
class Census:
    """The rows of all tables that have any, by the table's name."""

    tables: Mapping[str, Rows]

    def __bool__(self) -> bool:
        return bool(self.tables)

    def lost_in(self, later: Census) -> list[str]:
        """Return a sentence for each table that has lost rows; it begins with the table's name."""
        found = []
        for name, rows in self.tables.items():
            now = later.tables.get(name, Rows((), frozenset(), 0))
            if now.key == rows.key and (missing := rows.keys - now.keys):
                found.append(f"{name} has lost {len(missing)} of {rows.number} row(s), such as {min(missing)}.")
            elif now.number < rows.number:
                found.append(f"{name} had {rows.number} row(s), and has {now.number}.")
        return found


async def count(driver: Any, left_out: str) -> Census:
    """Take the census of a database.

    Args:
        driver: a connection of asyncpg.
        left_out: a table that does not count, such as the ledger.
    """
    tables: dict[str, Rows] = {}
    for schema, table, key in await driver.fetch(TABLES, left_out):
        columns = ", ".join(map(quote_identifier, key))
        place = f"{quote_identifier(schema)}.{quote_identifier(table)}"
        found = [row[0] for row in await driver.fetch(f"SELECT row({columns})::text FROM {place}")]
        if found:
            name = table if schema == "public" else f"{schema}.{table}"
            tables[name] = Rows(tuple(key), frozenset(found) if key else frozenset(), len(found))
    return Census(tables)
