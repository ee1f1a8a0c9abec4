"""What a metadata may lean on and does not make itself: hand-made types, sequences, collations and functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from async_migrations.schema.answers import ask, rows
from async_migrations.schema.snapshot import Domain, Snapshot
from async_migrations.schema.table import Name
from async_migrations.sql import qualified, quote_identifier, quote_literal

# With an empty search path, PostgreSQL's own names need no schema.
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_NOT_OF_EXTENSION = """NOT EXISTS (SELECT FROM pg_depend AS d
 WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"""

SELECT_COLLATIONS = f"""SELECT n.nspname, l.collname, to_jsonb(l) FROM pg_collation AS l
 JOIN pg_namespace AS n ON n.oid = l.collnamespace WHERE {_OURS}"""
SELECT_COMPOSITES = f"""SELECT n.nspname, c.relname, (SELECT string_agg(quote_ident(a.attname) || ' '
 || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'c' AND {_OURS} AND {_NOT_OF_EXTENSION.format(catalog="pg_class", oid="c.oid")}"""
SELECT_RANGES = f"""SELECT n.nspname, t.typname, format_type(r.rngsubtype, NULL) FROM pg_range AS r
 JOIN pg_type AS t ON t.oid = r.rngtypid JOIN pg_namespace AS n ON n.oid = t.typnamespace
 WHERE {_OURS} AND {_NOT_OF_EXTENSION.format(catalog="pg_type", oid="t.oid")}"""
SELECT_CONFIGURATIONS = f"""SELECT n.nspname, c.cfgname FROM pg_ts_config AS c
 JOIN pg_namespace AS n ON n.oid = c.cfgnamespace WHERE {_OURS}"""
SELECT_METHODS = f"""SELECT a.amname, a.amtype, a.amhandler FROM pg_am AS a
 WHERE a.oid >= 16384 AND {_NOT_OF_EXTENSION.format(catalog="pg_am", oid="a.oid")}"""
SELECT_FUNCTIONS = f"""SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p
 JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') AND {_OURS}
 AND {_NOT_OF_EXTENSION.format(catalog="pg_proc", oid="p.oid")}"""


async def read_copies(driver: Any, live: Snapshot, made: Collection[Name]) -> list[str]:
    """Return statements that make what is in the live schema by hand, as far as names and types go.

    Args:
        driver: asyncpg's connection to the live database, in no transaction.
        live: the live schema.
        made: what the metadata makes itself.
    """
    await driver.execute("BEGIN READ ONLY; SET LOCAL search_path = ''; SET LOCAL statement_timeout = 0")
    try:
        return [*copied(live, made), *await read_by_hand(driver)]
    finally:
        if not driver.is_closed():
            await driver.execute("ROLLBACK")


def copied(live: Snapshot, made: Collection[Name]) -> list[str]:
    """Return statements that make the schemas, types and sequences of a snapshot, but for what the metadata makes."""
    schemas = [f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(each)}" for each in live.schemas]
    return [*schemas, *(sql for name, sql in _known(live) if name not in made)]


async def read_by_hand(driver: Any) -> list[str]:
    """Return statements that make what a snapshot only names.

    Args:
        driver: asyncpg's connection to the live database, in a transaction with an empty search path.
    """
    statements = []
    for schema, name, facts in rows(await ask(driver, SELECT_COLLATIONS)):
        statements.append(_collation(Name(schema or "", name or ""), json.loads(facts or "{}")))
    for schema, name, columns in rows(await ask(driver, SELECT_COMPOSITES)):
        statements.append(f"CREATE TYPE {qualified(schema, name or '')} AS ({columns or ''})")
    for schema, name, subtype in rows(await ask(driver, SELECT_RANGES)):
        statements.append(f"CREATE TYPE {qualified(schema, name or '')} AS RANGE (SUBTYPE = {subtype})")
    for schema, name in rows(await ask(driver, SELECT_CONFIGURATIONS)):
        made_by = "(COPY = simple)"
        statements.append(f"CREATE TEXT SEARCH CONFIGURATION {qualified(schema, name or '')} {made_by}")
    for name, kind, handler in rows(await ask(driver, SELECT_METHODS)):
        made_as = f"TYPE {'TABLE' if kind == 't' else 'INDEX'} HANDLER {handler}"
        statements.append(f"CREATE ACCESS METHOD {quote_identifier(name or '')} {made_as}")
    return statements + [row[0] or "" for row in rows(await ask(driver, SELECT_FUNCTIONS))]


async def make_copies(driver: Any, statements: Sequence[str]) -> None:
    """Run what can be run, again as long as that helps: one may lean on another.

    Args:
        driver: asyncpg's connection to a scratch place, in its transaction.
        statements: what `read_copies` said. What cannot be made is left out: perhaps nothing leans on it.
    """
    left = list(statements)
    while left:
        refused = [sql for sql in left if not await _make(driver, sql)]
        if len(refused) == len(left):
            return
        left = refused


async def _make(driver: Any, sql: str) -> bool:
    await driver.execute("SAVEPOINT copy")
    try:
        await driver.execute(sql)
    except Exception:
        if driver.is_closed():
            raise
        await driver.execute("ROLLBACK TO SAVEPOINT copy")
        return False
    return True


def _known(live: Snapshot) -> Iterator[tuple[Name, str]]:
    for enum in live.enums:
        labels = ", ".join(quote_literal(label) for label in enum.labels)
        yield enum.name, f"CREATE TYPE {_sql(enum.name)} AS ENUM ({labels})"
    for domain in live.domains:
        yield domain.name, _domain(domain)
    owned = {column.sequence for table in live.tables for column in table.columns}
    for sequence in live.sequences:
        if sequence.name not in owned and sequence.owner is None:
            yield sequence.name, _sequence(sequence)


def _sequence(sequence: Any) -> str:
    options = sequence.options
    return (
        f"CREATE SEQUENCE {_sql(sequence.name)} AS {options.type} INCREMENT {options.increment} "
        f"MINVALUE {options.minimum} MAXVALUE {options.maximum} START {options.start} CACHE {options.cache}"
        f"{' CYCLE' if options.cycle else ''}"
    )


def _domain(domain: Domain) -> str:
    parts = [f"CREATE DOMAIN {_sql(domain.name)} AS {domain.type}"]
    parts += [f"COLLATE {domain.collation}"] if domain.collation else []
    parts += [f"DEFAULT {domain.default}"] if domain.default else []
    parts += [] if domain.nullable else ["NOT NULL"]
    parts += [f"CONSTRAINT {qualified(None, check.name)} {check.definition}" for check in domain.checks]
    return " ".join(parts)


def _collation(name: Name, facts: Any) -> str:
    provider = {"i": "icu", "b": "builtin"}.get(facts["collprovider"], "libc")
    locale = facts.get("colllocale") or facts.get("colliculocale")
    options = [f"PROVIDER = {provider}"]
    if provider == "libc" or locale is None:
        options += [
            f"LC_COLLATE = {quote_literal(facts['collcollate'])}",
            f"LC_CTYPE = {quote_literal(facts['collctype'])}",
        ]
    else:
        options.append(f"LOCALE = {quote_literal(locale)}")
    if not facts["collisdeterministic"]:
        options.append("DETERMINISTIC = false")
    return f"CREATE COLLATION {_sql(name)} ({', '.join(options)})"


def _sql(name: Name) -> str:
    return qualified(name.schema, name.name)
