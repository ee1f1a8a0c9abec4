"""Renames undone in the scratch place, so that PostgreSQL itself prints the metadata in the live schema's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from async_migrations.errors import RenameError, SchemaError
from async_migrations.retry import describe, sqlstate
from async_migrations.schema.forms import Address, Forms, addressed
from async_migrations.schema.hints import Hint
from async_migrations.schema.renaming import Renaming, renamed
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name
from async_migrations.schema.translation import Translation
from async_migrations.sql import qualified, quote_identifier, quote_literal

_TAKEN = frozenset({"42P07", "42701", "42710", "42P06"})
"""Duplicate table, column, object and schema."""

_AWAY = "async_migrations_away_"
_OF_ITS_OWN = frozenset({"table", "type", "sequence"})


async def undo(driver: Any, renaming: Renaming, domains: frozenset[Name], translation: Translation) -> None:
    """Give what was created in a scratch place the names that it has in the live schema.

    Args:
        driver: asyncpg's connection, in the transaction of the scratch place.
        renaming: what to undo.
        domains: which of the types are domains, by their new names.
        translation: of scratch schemas in the live database.

    Raises:
        RenameError: PostgreSQL refuses a rename, such as that of a column that a table inherits, or a swap over two
            schemas of tables whose indexes have one name.
    """
    if translation.names and renaming.schemas:
        raise SchemaError(
            "The rename of a schema cannot be followed through scratch schemas in the live database. Nothing was "
            "compared. Give a scratch_url, or the right CREATEDB."
        )
    if not translation.names:  # where there are some, all of them are made
        for home in sorted({_home(hint, renaming) for hint in renaming.hints if hint.kind in _OF_ITS_OWN}):
            await driver.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(home)}")
    swapped = [hint for hint in renaming.hints if _is_swapped(hint, renaming.hints)]
    for number, hint in enumerate(reversed(renaming.hints)):
        if hint in swapped:
            kin = [each for each in swapped if each.kind == hint.kind]
            swapped = [each for each in swapped if each.kind != hint.kind]
            for sql in _swapped(kin, renaming, domains):
                await _follow(driver, hint, translation.outward(sql), "")
        elif not _is_swapped(hint, renaming.hints):
            for sql, away in _statements(hint, renaming, domains, f"{_AWAY}{number}"):
                await _follow(driver, hint, translation.outward(sql), translation.outward(away))


def _is_swapped(hint: Hint, hints: Sequence[Hint]) -> bool:
    """Whether a rename stands in a circle: its name was another's, and so on back to its own."""
    seen: list[Hint] = []
    here: Hint | None = hint
    while here is not None and here not in seen:
        seen.append(here)
        place = here.renamed if here.kind in _OF_ITS_OWN else Name(here.owner.schema, here.owner.name)
        here = next((each for each in hints if _stood_at(each, hint.kind, place, seen[-1].new)), None)
    return here == hint


def _stood_at(hint: Hint, kind: str, place: Name, name: str) -> bool:
    if hint.kind != kind or hint.old != name:
        return False
    return kind == "schema" or hint.owner == place


def _swapped(hints: Sequence[Hint], renaming: Renaming, domains: frozenset[Name]) -> Iterator[str]:
    """Write the way back of names that are swapped: all of them out of the way first."""
    back: list[str] = []
    for number, hint in enumerate(hints):
        spare = f"{_AWAY}swapped_{number}"
        if hint.kind not in _OF_ITS_OWN:
            yield _statements(replace(hint, old=spare), renaming, domains, spare)[0][0]
            back.append(_statements(replace(hint, new=spare), renaming, domains, spare)[0][0])
            continue
        now: Name = getattr(renaming, hint.kind)(hint.owner)
        home = _home(hint, renaming)
        word = _word(hint, now, domains)
        yield f"ALTER {word} {qualified(now.schema, now.name)} RENAME TO {quote_identifier(spare)}"
        if now.schema != home:
            back.append(f"ALTER {word} {qualified(now.schema, spare)} SET SCHEMA {quote_identifier(home)}")
        back.append(f"ALTER {word} {qualified(home, spare)} RENAME TO {quote_identifier(hint.old)}")
    yield from back


def forms_of(backwards: Snapshot, renaming: Renaming) -> tuple[Forms, Mapping[Address, tuple[Address, str]]]:
    """Return the texts under old names as forms of those under new ones, and where each stands under its old name.

    Args:
        backwards: the scratch place after `undo`.
        renaming: what was undone.
    """
    places: dict[Address, tuple[Address, str]] = {}
    for (address, _), (old, text) in zip(addressed(renamed(backwards, renaming)), addressed(backwards), strict=True):
        places[address] = old, text
    return Forms({address: frozenset({text}) for address, (_, text) in places.items()}), places


async def _follow(driver: Any, hint: Hint, sql: str, away: str) -> None:
    await driver.execute("SAVEPOINT rename")
    try:
        await driver.execute(sql)
    except Exception as error:
        code = sqlstate(error)
        await driver.execute("ROLLBACK TO SAVEPOINT rename")
        if code not in _TAKEN or not away:
            raise RenameError([f"{hint}: PostgreSQL refuses it: {describe(error)}."]) from error
        # The metadata has something new under the old name.
        await driver.execute(f"{away}; {sql}")


def _statements(hint: Hint, renaming: Renaming, domains: frozenset[Name], away: str) -> list[tuple[str, str]]:
    """Write each rename backwards, and what gets another thing out of its way."""
    old, new, spare = quote_identifier(hint.old), quote_identifier(hint.new), quote_identifier(away)
    if hint.kind == "schema":
        return [(f"ALTER SCHEMA {new} RENAME TO {old}", f"ALTER SCHEMA {old} RENAME TO {spare}")]
    owner = renaming.type(hint.owner) if hint.kind == "enum_value" else renaming.table(hint.owner)
    where = qualified(owner.schema, owner.name)
    match hint.kind:
        case "column" | "constraint":
            what = f"ALTER TABLE {where} RENAME {hint.kind.upper()}"
            return [(f"{what} {new} TO {old}", f"{what} {old} TO {spare}")]
        case "enum_value":
            label, past, gone = (quote_literal(each) for each in (hint.new, hint.old, away))
            what = f"ALTER TYPE {where} RENAME VALUE"
            return [(f"{what} {label} TO {past}", f"{what} {past} TO {gone}")]
        case "index":
            schema = owner.schema
            return [
                (
                    f"ALTER INDEX {qualified(schema, hint.new)} RENAME TO {old}",
                    f"ALTER INDEX {qualified(schema, hint.old)} RENAME TO {spare}",
                )
            ]
    return _of_its_own(hint, renaming, domains, away)


def _of_its_own(hint: Hint, renaming: Renaming, domains: frozenset[Name], away: str) -> list[tuple[str, str]]:
    """Write the way back of a table, type or sequence: into its schema, then to its name."""
    now: Name = getattr(renaming, hint.kind)(hint.owner)
    word = _word(hint, now, domains)
    home = _home(hint, renaming)
    statements = []
    if now.name != hint.old:
        name, spare = qualified(now.schema, now.name), quote_identifier(away)
        statements.append(
            (
                f"ALTER {word} {name} RENAME TO {quote_identifier(hint.old)}",
                f"ALTER {word} {qualified(now.schema, hint.old)} RENAME TO {spare}",
            )
        )
    if now.schema != home:
        statements.append(
            (
                f"ALTER {word} {qualified(now.schema, hint.old)} SET SCHEMA {quote_identifier(home)}",
                f"ALTER {word} {qualified(home, hint.old)} RENAME TO {quote_identifier(away)}",
            )
        )
    return statements


def _home(hint: Hint, renaming: Renaming) -> str:
    """Return the schema that a thing goes back to; schemas are renamed last of all on the way back."""
    return renaming.schemas.get(hint.owner.schema, hint.owner.schema)


def _word(hint: Hint, now: Name, domains: frozenset[Name]) -> str:
    return {"table": "TABLE", "sequence": "SEQUENCE"}.get(hint.kind, "DOMAIN" if now in domains else "TYPE")
