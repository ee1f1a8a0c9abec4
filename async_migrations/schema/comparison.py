"""Comparing a live schema with a metadata: read, build the shadow, compare, settle what PostgreSQL prints twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.errors import ConfigurationError, DatabaseUnavailableError
from async_migrations.events import Event
from async_migrations.schema import hints as h
from async_migrations.schema.answer import SchemaDifference
from async_migrations.schema.catalog import read
from async_migrations.schema.compare import compare
from async_migrations.schema.resolution import resolve
from async_migrations.schema.scope import Include, Scope
from async_migrations.schema.scratch import open_scratch
from async_migrations.schema.shadow import Wish, create, snapshot, steps_of
from async_migrations.session import SessionLostError, connect, where


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
        deadline: seconds to wait for a connection, and for another comparison to end.

    Returns:
        The differences; false when there are none.

    Raises:
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
        async with connect(engine, _nobody, deadline=deadline) as session:
            place, live = await read(session.driver)
            wish = Wish(found, place, engine.dialect, live.extensions)
            steps = await steps_of(wish)
            hints = h.parse(renames, place.default_schema)
            async with open_scratch(engine, session, place, scratch_url=scratch_url, deadline=deadline) as scratch:
                await create(scratch, wish, steps)
                wanted = await snapshot(scratch, wish)
            scope = Scope(frozenset(schemas) if schemas is not None else wish.schemas, ledger_table, include)
            renaming = resolve(hints, live, wanted)
            compared = compare(live, wanted, scope, renaming)
            return SchemaDifference(compared.differences, found, live, wanted, compared.notes)
    except SessionLostError as error:
        raise DatabaseUnavailableError(where(engine), str(error), "Nothing was compared; try again.") from error


def _nobody(_event: Event) -> None:
    """Nobody is told of tries to connect."""
