"""The names of constraints that PostgreSQL chose and that follow a rename: of NOT NULL, and those of domains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from async_migrations.online.bench import Bench
from async_migrations.sql import qualified, quote_identifier, quote_literal

LONGEST = 63
"""Bytes of a name: NAMEDATALEN - 1."""

SELECT_NAMES = """SELECT k.conname AS name, a.attname AS column FROM pg_constraint AS k
 JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
 WHERE k.conrelid = to_regclass({table}) AND k.contype = 'n' AND k.coninhcount = 0"""
"""Of the table alone: a child's follow its parent's."""

SELECT_OF_DOMAIN = "SELECT conname AS name FROM pg_constraint WHERE contypid = to_regtype({domain}) ORDER BY conname"
_OF_DOMAIN = re.compile(r"_(?:check\d*|not_null)\Z")


class ChosenNamesBench(Bench):
    """Lets the names follow."""

    async def _follow_domain(self, schema: str | None, old: str, new: str) -> None:
        """Rename the constraints that PostgreSQL named after a domain that was renamed."""
        domain = qualified(schema, new)
        rows = await self._wire.read(SELECT_OF_DOMAIN.format(domain=quote_literal(domain)))
        if statements := list(followed_domain(domain, [row["name"] for row in rows], old, new)):
            await self._run(*statements)

    async def _follow(self, schema: str | None, before: tuple[str, str | None], after: tuple[str, str | None]) -> None:
        """Rename the NOT NULL constraints that PostgreSQL named after a table or column that was renamed."""
        table = qualified(schema, after[0])
        there = [(row["name"], row["column"]) for row in await self._wire.read(names_of(table))]
        if statements := list(followed(table, there, before, after)):
            await self._run(*statements)


def names_of(table: str) -> str:
    """Return the query for the constraints of a table, given as quoted SQL; before PostgreSQL 18 there are none."""
    return SELECT_NAMES.format(table=quote_literal(table))


def chosen_name(owner: str, column: str | None = None, ending: str = "not_null") -> str:
    """Return the name that PostgreSQL chooses, as its makeObjectName() does.

    Args:
        owner: a table or a domain.
        column: of the table; several are joined by underscores.
        ending: what it is about.
    """
    room = LONGEST - len(ending) - 1 - (column is not None)
    one, other = len(owner.encode()), len((column or "").encode())
    while one + other > room:
        if one > other:
            one -= 1
        else:
            other -= 1
    return "_".join([_cut(owner, one), *([] if column is None else [_cut(column, other)]), ending])


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


def followed_domain(domain: str, there: Sequence[str], old: str, new: str) -> Iterator[str]:
    """Yield statements that rename what PostgreSQL named after a domain's old name.

    Args:
        domain: the domain as it is called now, as SQL.
        there: the names of its constraints.
        old: its bare name before.
        new: its bare name.
    """
    for name in there:
        found = _OF_DOMAIN.search(name)
        ending = found[0].removeprefix("_") if found else ""
        if ending and name == chosen_name(old, ending=ending) and (now := chosen_name(new, ending=ending)) not in there:
            yield f"ALTER DOMAIN {domain} RENAME CONSTRAINT {quote_identifier(name)} TO {quote_identifier(now)}"


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")
