"""Comparing a live schema with a metadata: read, build the shadow, compare, settle what PostgreSQL prints twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from anyio import create_task_group, to_thread
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.connector import EngineConnector, connect
from async_migrations.errors import ConfigurationError, DatabaseUnavailableError, MigrationsError
from async_migrations.events import Event
from async_migrations.retry import describe, is_unavailable
from async_migrations.schema import hints as h
from async_migrations.schema.answer import SchemaDifference
from async_migrations.schema.bench import Bench, Shadow
from async_migrations.schema.catalog import Place, read
from async_migrations.schema.compare import Compared, compare
from async_migrations.schema.difference import Difference
from async_migrations.schema.fingerprint import Marks, marks_of
from async_migrations.schema.live import LiveSession
from async_migrations.schema.patience import naming_who_locks
from async_migrations.schema.renaming import Renaming
from async_migrations.schema.resolution import resolve
from async_migrations.schema.scope import Include, Scope, is_anything_compared
from async_migrations.schema.settle import Doubt, doubts
from async_migrations.schema.shadow import Wish
from async_migrations.schema.snapshot import Snapshot
from async_migrations.session import SessionLostError

NOTHING = "Nothing was compared: which schemas and which names are looked at leaves out everything that there is."


async def compare_schema(
    engine: AsyncEngine,
    metadata: Any,
    *,
    renames: Iterable[Sequence[str]] = (),
    scratch_url: str | None = None,
    schemas: Collection[str] | None = None,
    include: Include | None = None,
    ledger_table: str = "schema_migrations",
    deadline: float = 60.0,
) -> SchemaDifference:
    """Compare the schema of a database with a metadata; nothing is changed.

    Args:
        engine: of the live database.
        metadata: a MetaData, or a declarative base.
        renames: hints `(kind, old, new)`: the same thing under another name. `kind` is table, column, index,
            constraint, sequence, type, enum_value or schema; `old` the name in full (`public.users.age`,
            `public.ix_a`, `public.status.old`), `new` the bare name, or `schema.name` to move a table, type or
            sequence.
        scratch_url: a database in which the metadata may be created and rolled back, on any server of the same major
            version. By default a database is kept for that beside the live one.
        schemas: which schemas are compared; by default those that the metadata uses.
        include: is told kind and name of a table, enum, domain or sequence, and says whether it is compared.
        ledger_table: this engine's own table, which is nobody's model.
        deadline: seconds to wait for a connection, for a table that another session has locked, and for another
            comparison to end; five more for a server that stays silent.

    Returns:
        The differences; false when there are none.

    Raises:
        ConfigurationError: there are no models, or one of `schemas` is neither in the database nor in the metadata.
        MetadataRefusedError: PostgreSQL refuses something of the metadata.
        RenameError: a hint cannot be true.
        SchemaError: a schema cannot be read, or there is no scratch place.
        DatabaseUnavailableError: no connection by the deadline.
    """
    found = metadata if isinstance(metadata, MetaData) else getattr(metadata, "metadata", None)
    if not isinstance(found, MetaData):
        raise ConfigurationError(
            f"There are no models in {type(metadata).__name__}: compare_schema takes a MetaData or a declarative base."
        )
    try:
        async with (
            connect(EngineConnector(engine), _nobody, deadline=deadline) as session,
            naming_who_locks(session, deadline, "Nothing was compared."),
        ):
            place, live, marks = await _read_both(session.driver, found, deadline)
            hints = h.parse(renames, place.default_schema)
            wish = Wish(found, place, engine.dialect, live.extensions, marks, left=h.left(hints))
            chosen = frozenset(schemas) if schemas is not None else wish.schemas | _mentioned(hints)
            scope = Scope(chosen, ledger_table, include)
            async with Bench(
                engine, LiveSession(session, live), wish, scratch_url=scratch_url, deadline=deadline
            ) as bench:
                return await _compared(bench, wish, live, scope, hints)
    except Exception as error:
        raise _told(error, engine, "Nothing was compared; try again.") from error


async def read_schema(engine: AsyncEngine, *, deadline: float = 60.0) -> Snapshot:
    """Read the schema of a database, as it is at one moment; nothing is changed.

    Args:
        engine: of the database.
        deadline: seconds to wait for a connection, and for a table that another session has locked; five more for a
            server that stays silent.

    Raises:
        SchemaError: the schema cannot be read.
        DatabaseUnavailableError: no connection by the deadline.
    """
    return (await _read(engine, deadline))[1]


async def read_version(engine: AsyncEngine, *, deadline: float = 60.0) -> int:
    """Return the major version of a server whose schema can be read; raises as `read_schema` does."""
    return (await _read(engine, deadline))[0].version // 10000


async def _read(engine: AsyncEngine, deadline: float) -> tuple[Place, Snapshot]:
    try:
        async with (
            connect(EngineConnector(engine), _nobody, deadline=deadline) as session,
            naming_who_locks(session, deadline, "Nothing was read."),
        ):
            return await read(session.driver, deadline=deadline)
    except Exception as error:
        raise _told(error, engine, "Nothing was read; try again.") from error


def _told(error: Exception, engine: AsyncEngine, advice: str) -> Exception:
    """Return the error that says that the connection is lost, or silent; any other is itself."""
    lost = isinstance(error, SessionLostError) or is_unavailable(error)
    if isinstance(error, MigrationsError) or not lost:
        return error
    return DatabaseUnavailableError(EngineConnector(engine).where, describe(error), advice)


async def _read_both(driver: Any, metadata: MetaData, deadline: float) -> tuple[Place, Snapshot, Marks]:
    """Read the database while a thread reads the metadata."""
    marks: Marks = []
    result: tuple[Place, Snapshot] | Exception

    async def collect() -> None:
        marks.extend(await to_thread.run_sync(marks_of, metadata))

    async with create_task_group() as group:
        group.start_soon(collect)
        try:
            result = await read(driver, deadline=deadline)
        except Exception as error:
            result = error  # raised below, outside the group that would wrap it
    if isinstance(result, Exception):
        raise result
    return *result, marks


async def _compared(
    bench: Bench, wish: Wish, live: Snapshot, scope: Scope, hints: Sequence[h.Hint]
) -> SchemaDifference:
    shadow = await bench.shadow()
    renaming = await to_thread.run_sync(resolve, hints, live, shadow.snapshot)
    if renaming.hints:
        shadow = await bench.renamed(shadow, renaming)
    wanted = shadow.snapshot
    _see_that_they_are_there(scope.schemas - wish.schemas - {*live.schemas, *wanted.schemas}, live)
    result = await settled(bench, shadow, live, scope, renaming)
    said = [f"{hint} is followed already." for hint in renaming.done]
    left = [] if is_anything_compared(scope, live, wanted) else [NOTHING]
    notes = (*([shadow.note] if shadow.note else []), *said, *result.notes, *left)
    return SchemaDifference(result.differences, wish.metadata, live, wanted, notes, shadow.place)


def _see_that_they_are_there(missing: Collection[str], live: Snapshot) -> None:
    if missing:
        raise ConfigurationError(
            f"There is no schema {' and no '.join(map(repr, sorted(missing)))}, neither in the database nor in the "
            f"metadata. Nothing was compared. Correct the name (schemas, --within); the database has "
            f"{', '.join(sorted(live.schemas)) or 'none'}."
        )


async def settled(bench: Bench, shadow: Shadow, live: Snapshot, scope: Scope, renaming: Renaming) -> Compared:
    """Compare, and once more when it turned out that texts mean the same which seemed to differ.

    Args:
        bench: the place of work, opened only if there is a doubt.
        shadow: what is wanted; learns what was found out.
        live: the schema as it is.
        scope: what is compared.
        renaming: what has another name on both sides.
    """
    result = await to_thread.run_sync(compare, live, shadow.snapshot, scope, renaming, shadow.forms)
    if await bench.settle(shadow, await to_thread.run_sync(_doubts, result.differences), renaming):
        result = await to_thread.run_sync(compare, live, shadow.snapshot, scope, renaming, shadow.forms)
    return result


def _doubts(differences: Iterable[Difference]) -> list[Doubt]:
    return list(doubts(differences))


def _mentioned(hints: Sequence[h.Hint]) -> frozenset[str]:
    """Return the schemas that things come from, or go to."""
    return frozenset({hint.owner.schema for hint in hints} | {hint.schema for hint in hints if hint.schema})


def _nobody(_event: Event) -> None:
    """Nobody is told of tries to connect."""
