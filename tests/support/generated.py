"""A database that many cases use one after the other, and the way of each through generated migrations."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner, SchemaDifference, compare_schema
from async_migrations.connector import EngineConnector
from async_migrations.schema.comparison import read_schema
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Table, TableKind
from tests.schema_cases import Case
from tests.support.schemas import create, leave_out_what_cannot_be, run_sql

EMPTY = """DO $$ DECLARE name text; BEGIN
FOR name IN SELECT format('%s %s', of.type, of.identity) FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = refobjid,
  pg_identify_object(d.classid, d.objid, 0) AS of
  WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND extname = 'plpgsql' AND d.objid >= 16384
  AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.oid = d.objid AND (typelem <> 0 OR typrelid <> 0)) LOOP
  EXECUTE 'ALTER EXTENSION plpgsql DROP ' || name; END LOOP;
FOR name IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
  EXECUTE format('DROP EXTENSION %I CASCADE', name); END LOOP;
FOR name IN SELECT fdwname FROM pg_foreign_data_wrapper LOOP
  EXECUTE format('DROP FOREIGN DATA WRAPPER %I CASCADE', name); END LOOP;
FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' LOOP
  EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
CREATE SCHEMA public; END $$; DISCARD TEMP"""
LEDGER = "schema_migrations"


@dataclass(frozen=True, slots=True)
class Way:
    """What a case came to.

    Attributes:
        first: the comparison before.
        paths: the files.
        second: the comparison after.
    """

    first: SchemaDifference
    paths: list[Path]
    second: SchemaDifference

    @property
    def text(self) -> str:
        """What was written."""
        return "\n".join(f"# {path.name}\n{path.read_text()}" for path in self.paths)


async def walk(case: Case, engine: AsyncEngine, directory: Path, version: int) -> Way:
    """Make the live schema, compare, write the files, run them, compare again."""
    leave_out_what_cannot_be(case, version)
    await run_sql(engine, EMPTY)
    await create(case, engine)
    first = await compare_schema(engine, case.metadata(case.after), renames=case.renames)
    paths = first.write_migrations(directory, "change", allow_destructive=True)
    await upgrade(engine, directory)
    second = await compare_schema(engine, case.metadata(case.after))
    return Way(first, paths, second)


async def walk_back(way: Way, engine: AsyncEngine) -> Snapshot | None:
    """Take everything back and read what is there then; None where there is no way back."""
    if not has_way_back(way.paths):
        return None
    await downgrade(engine, way.paths[0].parent, 0)
    return await read_schema(engine)


def has_way_back(paths: Iterable[Path]) -> bool:
    """Whether all files have one."""
    return all("async def downgrade" in path.read_text() for path in paths)


async def upgrade(engine: AsyncEngine, directory: Path) -> None:
    """Run what is pending, and raise what goes wrong."""
    async with _apart(engine) as own:
        await MigrationRunner(own, None, directory, observers=()).run_migrations()


async def downgrade(engine: AsyncEngine, directory: Path, target: int) -> None:
    """Take back what is above a target, and raise what goes wrong."""
    async with _apart(engine) as own:
        await MigrationRunner(own, None, directory, observers=()).downgrade(target)


@asynccontextmanager
async def _apart(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """Open a pool of its own for a run, which keeps none of its connections: ours know the catalog already."""
    own = EngineConnector(engine).twin().engine
    try:
        yield own
    finally:
        await own.dispose()


def comparable(snapshot: Snapshot, *, partitions: bool = True) -> dict[str, Any]:
    """Return what a catalog holds, without our ledger and without what no comparison looks at.

    Args:
        snapshot: the catalog.
        partitions: whether partitions count, which no metadata knows.
    """
    ours = [each for each in snapshot.tables if each.name.name not in {LEDGER, "alembic_version"}]
    tables = [_comparable(each) for each in ours if partitions or each.kind is not TableKind.PARTITION]
    sequences = [each for each in snapshot.sequences if not each.name.name.startswith(LEDGER)]
    return {
        "tables": {each.name: each for each in tables},
        "enums": snapshot.enums,
        "domains": snapshot.domains,
        "sequences": sequences,
    }


async def values(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    async with engine.connect() as connection:
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


def _comparable(table: Table) -> Table:
    return replace(
        table,
        columns=tuple(sorted(table.columns, key=lambda each: each.name)),
        # What was looked at once is not forgotten on the way back.
        constraints=tuple(replace(each, validated=True) for each in sorted(table.constraints, key=lambda e: e.name)),
    )
