"""The names of NOT NULL constraints, which PostgreSQL 18 has: those that it chose follow a rename."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from async_migrations.online.bench import Bench
from async_migrations.sql import qualified, quote_identifier, quote_literal

LONGEST = 63
"""Bytes of a name: NAMEDATALEN - 1."""

SELECT_NAMES = """SELECT k.conname AS name, a.attname AS column FROM pg_constraint AS k
 JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
 WHERE k.conrelid = to_regclass({table}) AND k.contype = 'n' AND k.coninhcount = 0"""
"""Of the table alone: a child's follow its parent's."""


class NotNullNamesBench(Bench):
    """Lets the names of NOT NULL constraints follow."""

    async def _follow(self, schema: str | None, before: tuple[str, str | None], after: tuple[str, str | None]) -> None:
        """Rename the NOT NULL constraints that PostgreSQL named after a table or column that was renamed."""
        table = qualified(schema, after[0])
        there = [(row["name"], row["column"]) for row in await self._wire.read(names_of(table))]
        if statements := list(followed(table, there, before, after)):
            await self._run(*statements)


def names_of(table: str) -> str:
    """Return the query for the constraints of a table, given as quoted SQL; before PostgreSQL 18 there are none."""
    return SELECT_NAMES.format(table=quote_literal(table))


def chosen_name(table: str, column: str) -> str:
    """Return the name that PostgreSQL chooses, as its makeObjectName() does."""
    ending = "_not_null"
    room = LONGEST - len(ending) - 1
    one, other = len(table.encode()), len(column.encode())
    while one + other > room:
        if one > other:
            one -= 1
        else:
            other -= 1
    return f"{_cut(table, one)}_{_cut(column, other)}{ending}"


def followed(
    table: str, there: Iterable[tuple[str, str]], before: tuple[str, str | None], after: tuple[str, str | None]
) -> Iterator[str]:
    """Yield statements that rename what PostgreSQL named after the old name.

    Args:
        table: the table as it is called now, as SQL.
        there: (name, column) of its constraints.
        before: table and column as they were called; no column where the table was renamed.
        after: as they are called now.
    """
    taken = {name for name, _ in there}
    for name, column in there:
        if after[1] is not None and column != after[1]:
            continue
        old, new = chosen_name(before[0], before[1] or column), chosen_name(after[0], column)
        if name == old != new and new not in taken:
            yield f"ALTER TABLE {table} RENAME CONSTRAINT {quote_identifier(old)} TO {quote_identifier(new)}"


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")
