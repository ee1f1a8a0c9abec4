"""What PostgreSQL prints of a text that it reads again, until nothing new comes: the forms that mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from async_migrations.retry import is_lock_timeout, sqlstate
from async_migrations.schema import difference as d
from async_migrations.schema.answers import ask, rows
from async_migrations.schema.forms import Address, Forms
from async_migrations.schema.table import Constraint, ConstraintKind, Index, Name
from async_migrations.schema.translation import Translation
from async_migrations.sql import qualified, quote_identifier

ROUNDS = 4
"""How often a text is read again at most; two rounds were enough for all that is known."""

_VARCHAR = re.compile(r"\((E?'(?:[^'\\]|''|\\.)*')::character varying\)::text")

PROBE = "async_migrations_probe_"

SELECT_PROBES = f"""SELECT substr(a.attname, {len(PROBE) + 1}), pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute AS a
 JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attname ^@ '{PROBE}'
UNION ALL SELECT substr(conname, {len(PROBE) + 1}), pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conname ^@ '{PROBE}'
UNION ALL SELECT substr(typname, {len(PROBE) + 1}), pg_get_expr(typdefaultbin, 0) FROM pg_type
 WHERE typname ^@ '{PROBE}' AND typtype = 'd' AND typdefaultbin IS NOT NULL
UNION ALL SELECT substr(c.relname, {len(PROBE) + 1}), regexp_replace(pg_get_indexdef(c.oid),
 '^CREATE INDEX {PROBE}\\d+ ON (ONLY )?("([^"]|"")*"|[^".]+)\\.("([^"]|"")*"|[^" ]+) USING ', '')
 FROM pg_class AS c WHERE c.relname ^@ '{PROBE}' AND c.relkind IN ('i', 'I')
 AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid)"""


Types = Mapping[tuple[Name, str], str]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Two texts that differ and may mean the same.

    Attributes:
        address: where they stand, in the words of the metadata.
        here: where they stand in the scratch place, which may have old names.
        live: what the live database prints.
        wanted: what the scratch place printed of the metadata.
    """

    address: Address
    here: Address
    live: str
    wanted: str


def doubts(differences: Iterable[d.Difference]) -> Iterator[Doubt]:
    """Yield the pairs of texts behind `differences`."""
    listed = list(differences)
    for each in listed:
        match each:
            case d.DefaultChanged(table, column, str(before), str(after)):
                yield _doubt("default", table, column, before, after)
            case d.ComputedChanged(table, column, before, after) if before and after:
                yield _doubt("computed", table, column, before.expression, after.expression)
            case d.ConstraintChanged(table, before, after):
                yield from _constraints(table, before, after)
            case d.IndexChanged(table, before, after):
                yield _doubt("index", table, after.name, before.body, after.body)
            case d.DomainChanged(name, before, after):
                yield from _domains(name, before, after)
            case _:
                pass
    yield from _strangers(listed)


def _doubt(what: str, name: Name, part: str, live: str, wanted: str) -> Doubt:
    address = (what, name, part)
    return Doubt(address, address, live, wanted)


def _constraints(table: Name, live: Constraint, wanted: Constraint) -> Iterator[Doubt]:
    if live.kind is wanted.kind and wanted.kind in {ConstraintKind.CHECK, ConstraintKind.EXCLUDE}:
        yield _doubt("constraint", table, wanted.name, live.definition, wanted.definition)


def _domains(name: Name, live: Any, wanted: Any) -> Iterator[Doubt]:
    if live.default is not None and wanted.default is not None and live.default != wanted.default:
        yield _doubt("domain default", name, "", live.default, wanted.default)
    known = {check.definition for check in live.checks}
    for one in live.checks:
        for other in wanted.checks:
            if one.definition != other.definition and other.definition not in known:
                yield _doubt("domain check", name, other.name, one.definition, other.definition)


def _strangers(differences: Sequence[d.Difference]) -> Iterator[Doubt]:
    """Yield what is on one side only beside what is on the other only: the same, perhaps, under another name."""
    gone_constraints: dict[Name, list[Constraint]] = {}
    gone_indexes: dict[Name, list[Index]] = {}
    for each in differences:
        if isinstance(each, d.ConstraintRemoved):
            gone_constraints.setdefault(each.table, []).append(each.constraint)
        elif isinstance(each, d.IndexRemoved):
            gone_indexes.setdefault(each.table, []).append(each.index)
    for each in differences:
        if isinstance(each, d.ConstraintAdded):
            for constraint in gone_constraints.get(each.table, ()):
                yield from _constraints(each.table, constraint, each.constraint)
        elif isinstance(each, d.IndexAdded):
            for index in gone_indexes.get(each.table, ()):
                yield _doubt("index", each.table, each.index.name, index.body, each.index.body)


async def settle(driver: Any, open_doubts: Sequence[Doubt], types: Types, translation: Translation) -> Forms:
    """Have PostgreSQL read both texts of each doubt again and again; where they meet, they mean the same.

    Args:
        driver: asyncpg's connection to a scratch place in which the metadata was created; names are printed in full.
        open_doubts: what to find out.
        types: of columns, and of domains as of a column without a name, as they are in the scratch place.
        translation: of scratch schemas in the live database.

    Returns:
        The live texts that are as good as the wanted ones.
    """
    texts = list(dict.fromkeys(_texts(open_doubts)))
    orbits = await _orbits(driver, texts, types, translation)
    known: dict[Address, frozenset[str]] = {}
    for doubt in open_doubts:
        live, wanted = (set(map(_plain, orbits[doubt.here, each])) for each in (doubt.live, doubt.wanted))
        if live & wanted:
            known[doubt.address] = known.get(doubt.address, frozenset()) | {doubt.live}
    return Forms(known)


def _plain(text: str) -> str:
    """Write a text that was made a varchar first as the text that it is: both types hold the same bytes."""
    return _VARCHAR.sub(r"\1::text", text)


_Text = tuple[Address, str]


def _texts(open_doubts: Iterable[Doubt]) -> Iterator[_Text]:
    for doubt in open_doubts:
        yield doubt.here, doubt.live
        yield doubt.here, doubt.wanted


async def _orbits(driver: Any, texts: Sequence[_Text], types: Types, translation: Translation) -> dict[_Text, set[str]]:
    """Return all forms that each text takes, itself included."""
    orbits = {each: {each[1]} for each in texts}
    current = {each: each[1] for each in texts}
    for _ in range(ROUNDS):
        starts = list(current)
        probes = [_probe(start[0], current[start], types, number) for number, start in enumerate(starts)]
        sent = [(number, translation.outward(sql)) for number, sql in enumerate(probes) if sql]
        printed = await _printed(driver, sent)
        current = {}
        for number, start in enumerate(starts):
            text = printed.get(number)
            text = text if text is None else translation.inward(text)
            if text is not None and text not in orbits[start]:
                orbits[start].add(text)
                current[start] = text
        if not current:
            break
    return orbits


def _probe(here: Address, text: str, types: Types, number: int) -> str:
    """Write the statement that makes PostgreSQL read `text` where it stands, under a name of its own."""
    what, name, part = here
    thing, probe = qualified(name.schema, name.name), quote_identifier(f"{PROBE}{number}")
    type_ = types.get((name, "" if what.startswith("domain") else part), "")
    alter = f"ALTER TABLE {thing} ADD"
    if what not in {"constraint", "index"} and not type_:
        return ""
    statements = {
        "default": f"{alter} COLUMN {probe} {type_} DEFAULT {text}",
        "computed": f"{alter} COLUMN {probe} {type_} GENERATED ALWAYS AS ({text}) STORED",
        "constraint": f"{alter} CONSTRAINT {probe} {text}",
        "index": f"CREATE INDEX {probe} ON {thing} USING {text}",
        "domain default": f"CREATE DOMAIN {quote_identifier(name.schema)}.{probe} AS {type_} DEFAULT {text}",
        # A check cannot be added to a domain that an array is made of.
        "domain check": f"CREATE DOMAIN {quote_identifier(name.schema)}.{probe} AS {type_} CONSTRAINT {probe} {text}",
    }
    return statements.get(what, "")


async def _printed(driver: Any, statements: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Return what PostgreSQL prints of each probe; those that it refuses are left out."""
    if not statements:
        return {}
    await driver.execute("SAVEPOINT probes")
    answer = None
    try:
        await driver.execute("; ".join(sql for _, sql in statements))
        answer = await ask(driver, SELECT_PROBES)
    except Exception as error:
        if sqlstate(error) is None or is_lock_timeout(error):
            raise
    # Not where it is cancelled or lost: the whole transaction goes then.
    await driver.execute("ROLLBACK TO SAVEPOINT probes")
    if answer is not None:
        return {int(number or 0): text or "" for number, text in rows(answer)}
    if len(statements) == 1:
        return {}
    middle = len(statements) // 2
    return await _printed(driver, statements[:middle]) | await _printed(driver, statements[middle:])
