"""What must hold for every history of migrations; a check that fails says what is wrong in an AssertionError."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from async_migrations.testing.census import Census, count
from async_migrations.testing.recipe import Recipe
from async_migrations.testing.snapshot import differences, snapshot
from async_migrations.testing.template import engine_on

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

GONE = re.compile(r"^--\s*gone\s*:(?P<tables>.*)$", re.MULTILINE | re.IGNORECASE)


NOT_VALID = " NOT VALID"


class NothingToCheckError(Exception):
    """The history has nothing that this check is about; the sentence says what is missing."""


def numbers_are_in_order(recipe: Recipe) -> None:
    """Every file's name is a migration's, no number is there twice, none is missing, and the head file is right.

    Raises:
        DiscoveryError: a name is wrong, or two files have one number.
    """
    odd = recipe.folder().warnings
    _must(not odd, "\n".join(odd))


async def each_applies_from_empty(recipe: Recipe, url: str) -> None:
    """Every migration applies by itself, from an empty database on, and files and ledger agree at the end."""
    async with engine_on(url) as engine:
        runner = recipe.runner(engine)
        for name in recipe.names():
            applied = (await runner.run_migrations(name)).applied
            _must(applied == (name,), f"{name} was to be applied by itself, and {applied} were.")
        odd = [finding.text for finding in await runner.verify() if finding.choice == "error"]
        _must(not odd, "\n".join(odd))


async def models_equal_migrations(recipe: Recipe, url: str, scratch_url: str) -> None:
    """The schema of a migrated database is the one that the models describe, to the last default and predicate.

    Args:
        recipe: the history.
        url: of a migrated database.
        scratch_url: of an empty database on the same server, in which the models are created and rolled back.
    """
    from async_migrations.schema.comparison import compare_schema
    from async_migrations.schema.scope import excluding

    if recipe.base is None:
        raise NothingToCheckError("No models: name them with async_migrations_base = module:attribute.")
    async with engine_on(url) as engine:
        found = await compare_schema(
            engine,
            recipe.base,
            scratch_url=scratch_url,
            schemas=recipe.within or None,
            include=excluding(recipe.exclude),
            ledger_table=_ledger(recipe),
        )
    _must(not found, f"The migrations do not lead to the models:\n{found}")


async def down_and_up_is_the_same(recipe: Recipe, url: str) -> None:
    """Each migration that can be reverted can be applied again, and all of them lead to the same schema then.

    Args:
        recipe: the history.
        url: of an empty database.

    Raises:
        NothingToCheckError: the last migration is irreversible, so that none below it can be reached.
    """
    async with engine_on(url) as engine:
        runner, names = recipe.runner(engine), recipe.names()
        lowest = _first_reversible(recipe)
        await runner.run_migrations()
        at_first = await _schema(engine, recipe)
        for number in range(len(names) - 1, lowest - 1, -1):
            # With it goes, a second time, the one above that the turn before has applied again.
            await runner.downgrade(names[number - 1] if number else 0)
            await runner.run_migrations(names[number])
        await runner.downgrade(names[lowest - 1] if lowest else 0)
        await runner.run_migrations()
        step = f"reverting all down to {names[lowest]}, and applying them again,"
        _same(at_first, await _schema(engine, recipe), step)


async def down_leads_back(recipe: Recipe, url: str) -> None:
    """Each migration that is reverted leaves the schema as it was before, on the way up.

    Auto schema in a history follows today's models, so that this need not hold there.

    Args:
        recipe: the history.
        url: of an empty database.

    Raises:
        NothingToCheckError: the last migration is irreversible, so that none below it can be reached.
    """
    async with engine_on(url) as engine:
        runner, names = recipe.runner(engine), recipe.names()
        on_the_way, lowest = await _climb(engine, recipe), _first_reversible(recipe)
        for number in range(len(names) - 1, lowest - 1, -1):
            await runner.downgrade(names[number - 1] if number else 0)
            _same(on_the_way[number], await _schema(engine, recipe), f"reverting {names[number]}")


async def sample_survives(recipe: Recipe, url: str, name: str, sample: str) -> None:
    """Rows that were there at one migration are there after all later ones, in every table that has a key.

    Args:
        recipe: the history.
        url: of an empty database.
        name: that of the sample's file; it begins with the number of the migration before it.
        sample: SQL that inserts the rows; `-- gone: table` in it names tables whose rows may go.
    """
    from async_migrations.plan import number_of

    names = recipe.names()
    start = number_of(name)
    gone = {table.strip() for found in GONE.finditer(sample) for table in found["tables"].split(",")}
    async with engine_on(url) as engine:
        runner = recipe.runner(engine)
        for each in names:
            if number_of(each) <= start:
                await runner.run_migrations(each)
        before = await _census(engine, recipe, sample)
        _must(before, f"{name} has put in no row.")
        for each in names:
            if number_of(each) > start:
                await runner.run_migrations(each)
                after = await _census(engine, recipe, "")
                lost = [sentence for sentence in before.lost_in(after) if sentence.partition(" ")[0] not in gone]
                _must(not lost, f"With the rows of {name}, {each} loses data:\n" + "\n".join(lost))


def samples(folder: Path) -> list[Path]:
    """Return the files with sample rows.

    Args:
        folder: where they are looked for.

    Raises:
        NothingToCheckError: there are none.
    """
    found = sorted(folder.glob("[0-9]*.sql"))
    if not found:
        raise NothingToCheckError(
            f"No sample rows: write {folder / '003.sql'}, say, with INSERTs that are right after migration 003."
        )
    return found


async def _climb(engine: AsyncEngine, recipe: Recipe) -> list[tuple[str, ...]]:
    """Apply all migrations, one by one; return the schema before the first and after each."""
    found = [await _schema(engine, recipe)]
    for name in recipe.names():
        await recipe.runner(engine).run_migrations(name)
        found.append(await _schema(engine, recipe))
    return found


def _first_reversible(recipe: Recipe) -> int:
    from async_migrations.loading import load

    loaded = load(recipe.folder().files, Path(recipe.directory))
    irreversible = [number for number, each in enumerate(loaded) if not each.is_reversible]
    lowest = irreversible[-1] + 1 if irreversible else 0
    if lowest == len(loaded):
        raise NothingToCheckError("The last migration has no way back, so that none below it can be reached.")
    return lowest


async def _schema(engine: AsyncEngine, recipe: Recipe) -> tuple[str, ...]:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        return await snapshot(driver, _ledger(recipe))


async def _census(engine: AsyncEngine, recipe: Recipe, script: str) -> Census:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if script:
            await driver.execute(script)
        return await count(driver, _ledger(recipe))


def _must(condition: object, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


def _ledger(recipe: Recipe) -> str:
    return str(recipe.options.get("table", "schema_migrations"))


def _same(before: tuple[str, ...], after: tuple[str, ...], step: str) -> None:
    # What rows were looked at for stays looked at: no way back makes a constraint NOT VALID again.
    looked_at = {f"{line}{NOT_VALID}" for line in after}
    known = tuple(line.removesuffix(NOT_VALID) if line in looked_at else line for line in before)
    found = differences(known, after)
    lines = "\n".join(found)
    _must(not found, f"After {step} the schema is not what it was (- before, + now):\n{lines}")
