"""The snapshot that a MetaData gives, as PostgreSQL itself reads it."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anyio import to_thread
from sqlalchemy import Connection, Dialect, MetaData, event, schema
from sqlalchemy import Table as DeclaredTable
from sqlalchemy.exc import SQLAlchemyError

from async_migrations.errors import MetadataRefusedError, MigrationsError, SchemaError
from async_migrations.retry import describe, is_unavailable, sqlstate
from async_migrations.schema.catalog import Place, read_within
from async_migrations.schema.collector import held_back
from async_migrations.schema.copies import make_copies
from async_migrations.schema.ddl import NotPlainError, Step, alone, announced, compiled, schemas_of
from async_migrations.schema.fingerprint import Marks
from async_migrations.schema.scratch import Kind, Scratch
from async_migrations.schema.snapshot import Domain, Extension, Snapshot
from async_migrations.schema.table import Name, Table
from async_migrations.sql import quote_identifier, quote_literal

Source = Callable[[], Awaitable[Sequence[str]]]
_MISSING = frozenset({"42883", "42704", "42P01", "3F000"})
"""No such function, object, table or schema."""
_CHECKED: Any = getattr(getattr(schema, "CheckFirst", None), "SEQUENCES", False)
"""What is looked for before it is made: a sequence, which SQLAlchemy makes for each column; since its 2.1."""
_PACKAGE, _PYTHON = Path(__file__).parents[1], Path(traceback.__file__).parent
_ADVICE = "correct it in the metadata, or see that what it leans on exists in the live database."


@dataclass(frozen=True, slots=True)
class Wish:
    """A metadata, and the place that it is meant for.

    Attributes:
        metadata: what is wanted.
        place: where the live schema is.
        dialect: SQLAlchemy's, connected.
        extensions: those of the live database.
        marks: by which a change of the metadata is noticed.
        translate: which schemas of the metadata go by another name, as in SQLAlchemy's `schema_translate_map`.
        left: schemas that things move out of, which the metadata may not use any more.
    """

    metadata: MetaData
    place: Place
    dialect: Dialect
    extensions: tuple[Extension, ...] = ()
    marks: Marks = field(default_factory=list)
    translate: Mapping[str | None, str | None] = field(default_factory=dict)
    left: frozenset[str] = frozenset()

    @property
    def schemas(self) -> frozenset[str]:
        """The schemas that the metadata uses, the default one included."""
        named = {self.schema(each) for each in (None, *schemas_of(self.metadata))}
        return frozenset(named - {""})

    def schema(self, declared: str | None) -> str:
        """Return the schema in which something is that the metadata has in `declared`."""
        return self.translate.get(declared, declared) or self.place.default_schema or ""


async def steps_of(wish: Wish) -> tuple[Step, ...] | None:
    """Return the statements of `create_all`; None if only a real connection can tell them.

    Raises:
        SchemaError: there are none, or one cannot be sent.
    """
    try:
        steps = await to_thread.run_sync(
            compiled, wish.metadata, wish.dialect, wish.place.default_schema, wish.translate
        )
    except NotPlainError:
        return None
    except SQLAlchemyError as error:
        raise _unwritable(error) from error
    try:
        "".join(step.sql for step in steps).encode()  # the driver is broken by what it cannot send
    except UnicodeEncodeError as error:
        broken = ascii(error.object[error.start : error.end])
        raise SchemaError(
            f"The metadata holds {broken}, which is half a character: PostgreSQL cannot take it. Nothing was compared. "
            "Correct the name or the text that it is in."
        ) from error
    return steps


async def create(scratch: Scratch, wish: Wish, steps: Sequence[Step] | None, source: Source) -> bool:
    """Create a metadata in a scratch database, with the schemas and extensions of the live one around it.

    Args:
        scratch: an open scratch database.
        wish: what to create.
        steps: its statements, or None to have SQLAlchemy send them.
        source: returns statements that make what is there by hand; asked only when something is missing.

    Returns:
        Whether something hand-made was needed.

    Raises:
        MetadataRefusedError: PostgreSQL refuses a statement.
        SchemaError: something has no place.
    """
    _see_that_all_has_a_place(wish)
    await _furnish(scratch, wish)
    try:
        await _build(scratch, wish, steps)
    except Exception as error:
        if sqlstate(error) not in _MISSING:
            raise
        await make_copies(scratch.driver, await source())
        await _build(scratch, wish, steps)
        return True
    return False


def _see_that_all_has_a_place(wish: Wish) -> None:
    things: list[Any] = [*wish.metadata.tables.values(), *wish.metadata._sequences.values()]  # noqa: SLF001 - see ddl
    homeless = next((each.name for each in things if not wish.schema(each.schema)), None)
    if homeless is not None:
        raise SchemaError(
            f"There is no schema for {homeless}: the metadata names none, and the search path of the role "
            f"{wish.place.role} in {wish.place.database} leads to none that exists and that it may use. Nothing was "
            "compared. Create the schema (CREATE SCHEMA), GRANT USAGE on it, or set the search_path of the role."
        )


async def _build(scratch: Scratch, wish: Wish, steps: Sequence[Step] | None) -> None:
    driver = scratch.driver
    await driver.execute("SAVEPOINT whole")
    try:
        if scratch.kind is Kind.SCHEMAS:
            await _build_translated(scratch, wish)
        elif steps is None:
            connection = await scratch.session.connection.execution_options(schema_translate_map=wish.translate)
            await connection.run_sync(_create_all, wish.metadata)
        elif steps:
            await driver.execute(";\n".join(step.sql for step in steps))
    except Exception as error:
        await driver.execute("ROLLBACK TO SAVEPOINT whole")
        if sqlstate(error) is None:
            raise _blamed(error) from error
        if steps is None or scratch.kind is Kind.SCHEMAS:
            raise
        await _one_by_one(scratch, steps)


async def _build_translated(scratch: Scratch, wish: Wish) -> None:
    names: dict[str | None, str] = dict(scratch.translation.names.items())
    if wish.place.default_schema in names:
        names[None] = names[wish.place.default_schema]
    names |= {declared: names[wish.schema(declared)] for declared in wish.translate}
    connection = await scratch.session.connection.execution_options(schema_translate_map=names)
    await connection.run_sync(_create_all, wish.metadata)


async def snapshot(scratch: Scratch, wish: Wish) -> Snapshot:
    """Read what was created, with what only the metadata knows of it.

    Args:
        scratch: a scratch database in which `create` has worked.
        wish: what was created.
    """
    place = replace(scratch.place, default_schema=wish.place.default_schema)
    read = await read_within(scratch.driver, place, scratch.translation)
    await _as_application(scratch, wish)
    return await to_thread.run_sync(_marked, read, wish)


async def _furnish(scratch: Scratch, wish: Wish) -> None:
    if scratch.kind is Kind.SCHEMAS:
        await _furnish_schemas(scratch)
        await _as_application(scratch, wish)
        return
    needed = dict.fromkeys([*wish.place.search_path, *sorted(wish.schemas)])
    needed |= dict.fromkeys(extension.schema for extension in wish.extensions)
    made = [f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(each)}" for each in needed if not each.startswith("pg_")]
    if made:
        await scratch.driver.execute("; ".join(made))
    for extension in wish.extensions:
        await _install(scratch, extension)
    await _as_application(scratch, wish)


async def _furnish_schemas(scratch: Scratch) -> None:
    made = [f"CREATE SCHEMA {quote_identifier(each)}" for each in scratch.translation.names.values()]
    if not made:
        return  # the driver cannot read the answer to an empty text
    try:
        await scratch.driver.execute("; ".join(made))
    except Exception as error:
        if sqlstate(error) != "42501":
            raise
        raise SchemaError(
            f"There is no scratch place: the role {scratch.place.role} may create neither a database nor a schema. "
            "Nothing was compared. Give a scratch_url (--scratch-url, or --scratch-embedded), or the right CREATEDB."
        ) from error


async def _install(scratch: Scratch, extension: Extension) -> None:
    name, schema = quote_identifier(extension.name), quote_identifier(extension.schema)
    version = quote_literal(extension.version)
    sql = f"CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema} VERSION {version} CASCADE"
    await scratch.driver.execute("SAVEPOINT extension")
    try:
        await scratch.driver.execute(sql)
    except Exception:
        # Perhaps nothing leans on it; what does says what it lacks.
        await scratch.driver.execute("ROLLBACK TO SAVEPOINT extension")


async def _as_application(scratch: Scratch, wish: Wish) -> None:
    """Resolve names and read constants as the application's own session does."""
    names = scratch.translation.path(wish.place.search_path)
    path = ", ".join(quote_identifier(each) for each in names) or "''"
    known = {name: value for name, value in wish.place.settings.items() if not name.startswith("lc_")}
    settings = [f"SET LOCAL {name} = {quote_literal(value)}" for name, value in known.items()]
    rest = "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = error"
    await scratch.driver.execute("; ".join([f"SET LOCAL search_path = {path}", *settings, rest]))


async def _one_by_one(scratch: Scratch, steps: Sequence[Step]) -> None:
    for step in steps:
        try:
            await scratch.driver.execute(step.sql)
        except Exception as error:
            await scratch.driver.execute("ROLLBACK TO SAVEPOINT whole")
            raise MetadataRefusedError(step.thing, describe(error), step.sql, sqlstate(error), _ADVICE) from error


def _create_all(connection: Connection, metadata: MetaData) -> None:
    said: list[str] = []

    def before(_c: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: Any) -> tuple[str, Any]:
        said[:] = [alone(sql)]
        return said[0], parameters

    event.listen(connection, "before_cursor_execute", before, retval=True)
    try:
        metadata.create_all(connection, checkfirst=_CHECKED)
    except Exception as error:
        code = sqlstate(error)
        if code is None and isinstance(error, SQLAlchemyError):
            raise _unwritable(error) from error
        if code is None:
            raise
        sql = said[0] if said else ""
        raise MetadataRefusedError("something", describe(error), sql, code, _ADVICE) from error
    finally:
        event.remove(connection, "before_cursor_execute", before)


def _unwritable(error: SQLAlchemyError) -> SchemaError:
    return SchemaError(
        f"SQLAlchemy cannot write the DDL of the metadata: {describe(error).rstrip('.')}. Nothing was compared. "
        "Correct the metadata first: create_all fails in the same way."
    )


def _blamed(error: Exception) -> Exception:
    """Return the sentence on an error of the metadata's own code; any other is itself."""
    if isinstance(error, MigrationsError) or is_unavailable(error) or type(error).__module__.startswith("asyncpg"):
        return error
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_theirs(each.filename)]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return SchemaError(
        f"The metadata's own code fails while it is created: {type(error).__name__}: {describe(error).rstrip('.')}"
        f"{where}. Nothing was compared. Correct it first: create_all fails in the same way."
    )


def _is_theirs(filename: str) -> bool:
    path = Path(filename)
    return path.is_file() and "site-packages" not in path.parts and not {_PACKAGE, _PYTHON} & set(path.parents)


def _marked(read: Snapshot, wish: Wish) -> Snapshot:
    declared = {_name(table, wish): table for table in wish.metadata.tables.values()}
    with held_back():
        tables = tuple(_marked_table(each, declared.get(each.name), wish) for each in read.tables)
    return replace(read, tables=tables, domains=tuple(_marked_domain(each) for each in read.domains))


def _name(table: DeclaredTable, wish: Wish) -> Name:
    return Name(wish.schema(table.schema), table.name)


def _marked_table(table: Table, declared: DeclaredTable | None, wish: Wish) -> Table:
    if declared is None:
        return table
    # A CHECK inside a column is the column's own.
    all_of_them = [*declared.constraints, *(each for column in declared.columns for each in column.constraints)]
    named: Mapping[str, Any] = {
        str(name): constraint
        for constraint in all_of_them
        if constraint.name is not None
        and (name := wish.dialect.identifier_preparer.format_constraint(constraint, _alembic_quote=False))
    }
    unvalidated = {name for name, each in named.items() if _is_not_valid(each)}
    constraints = tuple(
        replace(
            each,
            implicit=each.name not in named,
            validated=each.validated and each.name not in unvalidated,
        )
        for each in table.constraints
    )
    names = announced(declared)
    columns = tuple(replace(each, announced=True) if each.name in names else each for each in table.columns)
    return replace(table, constraints=constraints, columns=columns if names else table.columns)


def _is_not_valid(constraint: Any) -> bool:
    return bool(constraint.dialect_options["postgresql"].get("not_valid"))


def _marked_domain(domain: Domain) -> Domain:
    # PostgreSQL's own choice; who writes it out means the same.
    implicit = f"{domain.name.name}_check"
    return replace(domain, checks=tuple(replace(each, implicit=each.name == implicit) for each in domain.checks))
