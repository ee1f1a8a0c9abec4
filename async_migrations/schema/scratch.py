"""A scratch place: where the metadata is created, looked at and rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations.connector import EngineConnector, connect, spare
from async_migrations.errors import DatabaseUnavailableError, SchemaError
from async_migrations.events import Event
from async_migrations.retry import is_lock_timeout, sqlstate
from async_migrations.schema.answers import ask, rows
from async_migrations.schema.catalog import Place, read_place
from async_migrations.schema.kept import ensure, scratch_name
from async_migrations.schema.live import Live
from async_migrations.schema.patience import answered, set_lock_timeout
from async_migrations.schema.translation import Translation, translation
from async_migrations.session import Session

LOCK = 0x61736D5F73637261
"""The advisory lock of a scratch database: two comparisons would wait for each other's names, or deadlock."""

_EMPTY_OF = {
    "pg_class": ("relname", "relnamespace", "relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')"),
    "pg_type": ("typname", "typnamespace", "typtype IN ('e', 'd', 'r')"),
    "pg_proc": ("proname", "pronamespace", "true"),
    "pg_collation": ("collname", "collnamespace", "true"),
}
SELECT_LEFTOVERS = " UNION ALL ".join(
    f"""(SELECT n.nspname, c.{name} FROM pg_catalog.{catalog} AS c JOIN pg_catalog.pg_namespace AS n
 ON n.oid = c.{schema} WHERE {kinds} AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
 WHERE d.classid = 'pg_catalog.{catalog}'::regclass AND d.objid = c.oid AND d.deptype = 'e') LIMIT 1)"""
    for catalog, (name, schema, kinds) in _EMPTY_OF.items()
)
_DATABASE: ContextVar[str | None] = ContextVar("scratch_database", default=None)


class Kind(StrEnum):
    """Which scratch place it is, as people are told of it."""

    GIVEN = "the given database"
    DATABASE = "the kept database"
    SCHEMAS = "scratch schemas in"


@dataclass(frozen=True, slots=True)
class Scratch:
    """An open scratch place: a session in a transaction that will be rolled back.

    Attributes:
        session: the session.
        place: where it is.
        kind: which of the places it is.
        note: a sentence on it, where people have to know.
        translation: of scratch schemas in the live database.
    """

    session: Session
    place: Place
    kind: Kind
    note: str | None = None
    translation: Translation = field(default_factory=Translation)

    def __str__(self) -> str:
        return f"{self.kind.value} {self.place.database}"

    @property
    def driver(self) -> Any:
        """Asyncpg's connection."""
        return self.session.driver


@asynccontextmanager
async def open_scratch(
    engine: AsyncEngine,
    live: Live,
    place: Place,
    schemas: Collection[str],
    *,
    scratch_url: str | None,
    deadline: float,
) -> AsyncIterator[Scratch]:
    """Open the best scratch place there is.

    That is the database at `scratch_url`, or else a database kept for it beside the live one, or else, for a role
    that may not create databases, schemas in the live database itself.

    Args:
        engine: of the live database.
        live: its side, which has a scratch database made.
        place: what it said of itself.
        schemas: those of the metadata, and those that things move out of.
        scratch_url: a database to use instead; when it is not empty, one beside it.
        deadline: seconds to wait for a connection, and for another comparison to end.

    Raises:
        SchemaError: there is no scratch place, and why.
        DatabaseUnavailableError: `scratch_url` cannot be reached.
    """
    if scratch_url is not None:
        async with _given(scratch_url, place, deadline) as scratch:
            yield scratch
        return
    async with AsyncExitStack() as stack:
        yield await _opened(stack, engine, live, place, schemas, deadline)


async def _opened(
    stack: AsyncExitStack, engine: AsyncEngine, live: Live, place: Place, schemas: Collection[str], deadline: float
) -> Scratch:
    with answered(deadline):
        reason = await live.ensure(name := scratch_name(place), place)
    if reason is None:
        try:
            return await stack.enter_async_context(_begun(engine, name, deadline))
        except DatabaseUnavailableError as error:
            reason = f"the scratch database {name} cannot be reached ({error.reason})"
    scratch = await stack.enter_async_context(
        _begun(engine, None, deadline, kind=Kind.SCHEMAS, note=_less_exact(reason))
    )
    return replace(scratch, translation=translation(schemas))


@asynccontextmanager
async def _given(url: str, place: Place, deadline: float) -> AsyncIterator[Scratch]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with connect(EngineConnector(engine), _nobody, deadline=deadline) as session:
            with answered(deadline):
                there = await read_place(session.driver)
                occupied = await ask(session.driver, SELECT_LEFTOVERS)
                name = scratch_name(there) if occupied else None
                if name and (reason := await ensure(session, name, there)):
                    raise SchemaError(
                        f"scratch_url names {EngineConnector(engine).where}, which is not empty, and {reason}."
                    )
        async with _begun(engine, name, deadline, kind=Kind.GIVEN, note=_differs(place, there)) as scratch:
            yield scratch
    finally:
        await engine.dispose()


def _differs(live: Place, scratch: Place) -> str | None:
    if live.version // 10000 == scratch.version // 10000:
        return None
    return (
        f"The scratch server is PostgreSQL {scratch.version // 10000} and the live one {live.version // 10000}: where "
        "they print a definition differently, it is shown as a difference."
    )


def _less_exact(reason: str) -> str:
    return (
        f"Compared through scratch schemas in the live database, because {reason}: names without a schema may have "
        "been found among live things. A scratch_url (--scratch-url, --scratch-embedded) or the right CREATEDB "
        "makes it exact."
    )


@asynccontextmanager
async def _begun(
    engine: AsyncEngine, database: str | None, deadline: float, *, kind: Kind = Kind.DATABASE, note: str | None = None
) -> AsyncIterator[Scratch]:
    async with AsyncExitStack() as stack:
        with _connecting_to(engine, database):
            # Our settings end with the transaction, so that they leak through no pooler.
            session = await stack.enter_async_context(
                spare(EngineConnector(engine), _nobody, deadline=deadline, pooled=True)
            )
        stack.push_async_callback(session.rollback)
        with answered(deadline):
            await _begin(session, deadline)
            place = await read_place(session.driver)
            if database is not None and place.database != database:
                raise DatabaseUnavailableError(
                    EngineConnector(engine).where,
                    "the engine's own way to connect leads to one database only",
                    "Give a scratch_url.",
                )
            await _lock(session, place, deadline)
            await _check_empty(session, place, kind)
        yield Scratch(session, place, kind, note)


async def _begin(session: Session, deadline: float) -> None:
    # A role's own timeouts are made for requests, and a client that hangs must not keep the others out for ever.
    patience = (
        f"SET LOCAL statement_timeout = 0; {set_lock_timeout(deadline)}; "
        "SET LOCAL idle_in_transaction_session_timeout = '10min'"
    )
    try:
        await session.begin("SET TRANSACTION READ WRITE", patience)
    except Exception as error:
        if sqlstate(error) != "0A000":
            raise
        raise SchemaError(
            "There is no scratch place: this server is a read-only standby. Nothing was compared. Give a scratch_url, "
            "or compare on the primary."
        ) from error


async def _lock(session: Session, place: Place, deadline: float) -> None:
    try:
        await session.send(f"SELECT pg_advisory_xact_lock({LOCK})")
    except Exception as error:
        if not is_lock_timeout(error):
            raise
        raise SchemaError(
            f"Another comparison has been at work in {place.database} for {deadline:g} s. Nothing was compared. "
            "Wait for it, or end its session."
        ) from error


async def _check_empty(session: Session, place: Place, kind: Kind) -> None:
    if kind is Kind.SCHEMAS:
        return
    for schema, name in rows(await ask(session.driver, SELECT_LEFTOVERS)):
        raise SchemaError(
            f"The scratch database {place.database} is not empty: it has {schema}.{name}. Nothing was compared. It is "
            "kept for comparisons alone: drop it, and the next one makes it anew."
        )


@contextmanager
def _connecting_to(engine: AsyncEngine, database: str | None) -> Iterator[None]:
    """Have this task's new connections of `engine` go to another database, with everything else as it is."""
    if database is None:
        yield
        return
    token = _DATABASE.set(database)

    def redirect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        # Other tasks may connect meanwhile.
        if _DATABASE.get() is not None:
            parameters["database"] = database

    event.listen(engine.sync_engine, "do_connect", redirect)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "do_connect", redirect)
        _DATABASE.reset(token)


def _nobody(_event: Event) -> None:
    """Nobody is told of tries to connect."""
