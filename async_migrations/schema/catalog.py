"""A normalised snapshot of a live schema, in a fixed number of queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread

from async_migrations.errors import SchemaError
from async_migrations.retry import describe, sqlstate
from async_migrations.schema import queries
from async_migrations.schema.answers import Answers, ask, rows
from async_migrations.schema.assembly import assemble
from async_migrations.schema.collector import held_back
from async_migrations.schema.patience import answered, roll_back, set_lock_timeout
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.translation import Translation

OLDEST = 140000
"""The oldest server whose catalog is known."""

TRIES = 4
"""How often a schema is read at most that changes while it is read."""

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0"
_DISTINCT_SINCE = 150000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schema is: what a scratch place has to have in common with it.

    Attributes:
        version: the server's.
        database: its name.
        default_schema: where unqualified names are created; None if there is no such place.
        search_path: the schemas that it names and that exist, PostgreSQL's own aside.
        settings: by name, others that decide what a definition means or how it is printed.
        locale: how the database was made: encoding, collate, ctype and more.
        role: who we are.
    """

    version: int
    database: str
    default_schema: str | None
    search_path: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    locale: Mapping[str, Any] = field(default_factory=dict)
    role: str = ""


async def read_place(driver: Any) -> Place:
    """Ask the server where we are.

    Args:
        driver: asyncpg's connection, with the search path that the application has.

    Raises:
        SchemaError: the server is too old.
    """
    (row,) = rows(await ask(driver, queries.SELECT_PLACE))
    version = int(row[0] or 0)
    if version < OLDEST:
        raise SchemaError(
            f"This server is PostgreSQL {version // 10000}, whose catalog is not known here: 14 is the oldest. "
            "Nothing was compared. Bring the server up to date first."
        )
    path, settings, locale = (json.loads(each or "null") for each in row[3:6])
    return Place(version, row[1] or "", row[2], tuple(path), settings, locale, row[6] or "")


async def read(driver: Any, *, deadline: float) -> tuple[Place, Snapshot]:
    """Read the whole schema, as it was at one moment.

    Args:
        driver: asyncpg's connection, in no transaction.
        deadline: seconds to wait for a table that is locked, and for a server that stays silent.

    Raises:
        SchemaError: the server is too old, or this role may not read its catalog.
        TimeoutError: there was no answer by the deadline.
    """
    with answered(deadline):
        for _ in range(TRIES):
            place, answers, before = await _read_once(driver, deadline)
            # Some of PostgreSQL's printing functions look at the present and not at our snapshot.
            if before == await _stamp(driver, deadline):
                break
    return place, await _assembled(answers, place, Translation())


async def read_inside(driver: Any, *, patience: float) -> tuple[Place, Snapshot]:
    """Read the whole schema as a transaction sees it that has work in it; its settings stay changed.

    Args:
        driver: asyncpg's connection, in a savepoint that will be rolled back.
        patience: seconds that one query may take.

    Raises:
        SchemaError: the server is too old, or this role may not read its catalog.
    """
    try:
        place = await read_place(driver)
        await driver.execute(f"{queries.SET_PRINTED}; SET LOCAL statement_timeout = {int(patience * 1000)}")
        for _ in range(TRIES):
            # Each query has a snapshot of its own here, and others may change things between two of them.
            before = await ask(driver, queries.SELECT_STAMP)
            answers = await _ask_all(driver, place.version)
            if before == await ask(driver, queries.SELECT_STAMP):
                break
    except Exception as error:
        raise _explained(error) from error
    return place, await _assembled(answers, place, Translation())


async def read_within(driver: Any, place: Place, translation: Translation | None = None) -> Snapshot:
    """Read the whole schema as the transaction sees it that is open; its settings for printing stay changed.

    Args:
        driver: asyncpg's connection, in a transaction.
        place: what `read_place` said.
        translation: of scratch schemas, where the database is not a scratch place as a whole.
    """
    await driver.execute(queries.SET_PRINTED)
    return await _assembled(await _ask_all(driver, place.version), place, translation or Translation())


async def _read_once(driver: Any, deadline: float) -> tuple[Place, Mapping[str, bytes], bytes]:
    try:
        await driver.execute(f"{BEGIN}; {set_lock_timeout(deadline)}")
        place = await read_place(driver)
        await driver.execute(queries.SET_PRINTED)
        return place, await _ask_all(driver, place.version), await ask(driver, queries.SELECT_STAMP)
    except Exception as error:
        raise _explained(error) from error
    finally:
        await roll_back(driver)


async def _stamp(driver: Any, deadline: float) -> bytes:
    try:
        await driver.execute(f"{BEGIN}; {set_lock_timeout(deadline)}")
        return await ask(driver, queries.SELECT_STAMP)
    finally:
        await roll_back(driver)


async def _ask_all(driver: Any, version: int) -> Mapping[str, bytes]:
    distinct = "i.indnullsnotdistinct" if version >= _DISTINCT_SINCE else "false"
    return {
        "schemas": await ask(driver, queries.SELECT_SCHEMAS),
        "relations": await ask(driver, queries.SELECT_RELATIONS),
        "columns": await ask(driver, queries.SELECT_COLUMNS),
        "constraints": await ask(driver, queries.SELECT_CONSTRAINTS),
        "indexes": await ask(driver, queries.SELECT_INDEXES % {"nulls_not_distinct": distinct}),
        "types": await ask(driver, queries.SELECT_TYPES),
        "sequences": await ask(driver, queries.SELECT_SEQUENCES),
    }


async def _assembled(answers: Mapping[str, bytes], place: Place, translation: Translation) -> Snapshot:
    def work() -> Snapshot:
        with held_back():
            parsed = Answers(**{name: rows(answer) for name, answer in answers.items()})
            return assemble(translation.answers(parsed), version=place.version, default_schema=place.default_schema)

    return await to_thread.run_sync(work)


def _explained(error: Exception) -> Exception:
    if sqlstate(error) != "42501":
        return error
    return SchemaError(
        f"This role may not read the catalog: {describe(error)}. Nothing was compared. Every role may, unless that "
        "right was taken away: GRANT SELECT on that table of pg_catalog to it, or compare as the owner of the schema."
    )
