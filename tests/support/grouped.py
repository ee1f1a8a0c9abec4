"""Many cases at once, each in a schema of its own that is called as the case is."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from sqlalchemy import ARRAY, CheckConstraint, DefaultClause, Enum, MetaData, Table, TextClause, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.dialects.postgresql.named_types import NamedType
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import OrderedSet

from async_migrations import SchemaDifference, compare_schema
from async_migrations.schema.comparison import read_schema
from async_migrations.schema.difference import Difference
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name
from async_migrations.sql import quote_identifier
from tests.conftest import WHOLE
from tests.schema_cases import Build, Case
from tests.schema_cases.changed import nothing
from tests.support.generated import EMPTY, downgrade, has_way_back, upgrade
from tests.support.schemas import can_be, create_all, run_sql

T = TypeVar("T")
SIZE = 25
"""How many cases go together; with more, none gets cheaper."""


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are looked at together, by their schemas."""

    cases: dict[str, Case]

    def metadata(self, build_of: Callable[[Case], Build]) -> MetaData:
        """Return a metadata of all cases.

        Args:
            build_of: what fills that of one case.
        """
        metadata = MetaData()
        for place, case in self.cases.items():
            move(case.metadata(build_of(case)), metadata, place)
        return metadata

    def __str__(self) -> str:
        first, *more = self.cases.values()
        return f"{first}_and_{len(more)}_more"


@dataclass(frozen=True, slots=True)
class GroupWay:
    """What a group came to.

    Attributes:
        first: the comparison before.
        paths: the files.
        second: the comparison after.
        returning: the schemas of the cases that have a way back.
        stay: how many of the files, the first, belong to the others.
    """

    first: SchemaDifference
    paths: list[Path]
    second: SchemaDifference
    returning: frozenset[str]
    stay: int


def parametrize(metafunc: pytest.Metafunc, cases: Sequence[Case], *, more: Sequence[Case] = ()) -> None:
    """Give a test its cases: those together that can be, which is less work, or each alone.

    Together they are in schemas of their own, none of which is the default one.

    Args:
        metafunc: of a test, whose argument is called `case`, or of another one.
        cases: are alone on one version, and with the option --alone.
        more: further ones, which are alone with that option only.
    """
    if "case" in metafunc.fixturenames:
        version = metafunc.config.getoption("--postgres")
        alone = [*cases, *more] if metafunc.config.getoption("--alone") else cases if version == WHOLE else ()
        groups, others = grouped([each for each in (*cases, *more) if each not in alone], version)
        metafunc.parametrize("case", [*groups, *others, *alone], ids=str)


def grouped(cases: Iterable[Case], version: int) -> tuple[list[Group], list[Case]]:
    """Return groups, and the cases that stay alone.

    Args:
        cases: all of them.
        version: of the server.
    """
    together: list[Case] = []
    alone: list[Case] = []
    for case in cases:
        (together if can_be(case, version) and is_movable(case) else alone).append(case)
    count = -(-len(together) // SIZE)
    # Neighbours are alike: cases from everywhere have more to get in each other's way with.
    sets = [together[number::count] for number in range(count)]
    return [Group({f"{number} {case.name}"[:63]: case for number, case in enumerate(each, 1)}) for each in sets], alone


def is_movable(case: Case) -> bool:
    """Whether a case says the same in any schema."""
    if case.setup or case.renames or case.extensions or case.convention:
        return False
    return all(_is_movable(case.metadata(build)) for build in (case.before, case.after) if build)


def _is_movable(metadata: MetaData) -> bool:
    tables = metadata.tables.values()
    types = [each for table in tables for column in table.columns for each in _named(column.type)]
    things: list[Any] = [*tables, *types, *metadata._sequences.values()]
    names = [re.escape(each.name) for each in things]
    says = re.compile(rf"\b({'|'.join(names)})\b")
    return not (
        any(each.schema for each in things)
        or any(_is_bound(table) or any(map(says.search, _texts(table))) for table in tables)
        # Which of two is made first is known to nobody but the metadata that they were made for.
        or any(isinstance(each, DOMAIN) and [*_named(each.data_type)] for each in types)
    )


def _is_bound(table: Table) -> bool:
    """Whether a table has what no copy of it has elsewhere: parents, known by their names, and listeners."""
    return bool(table.dialect_options["postgresql"]["inherits"] or [*table.dispatch.after_create])


def _texts(table: Table) -> Iterator[str]:
    """Yield what stands in SQL as it is written, whatever the schema."""
    defaults = [each.server_default for each in table.columns]
    clauses = [each.arg for each in defaults if isinstance(each, DefaultClause)]
    clauses += [each.sqltext for each in table.constraints if isinstance(each, CheckConstraint)]
    yield from (each.text for each in clauses if isinstance(each, TextClause))


def _named(type_: TypeEngine[Any]) -> Iterator[Any]:
    """Yield what has a name in a schema: the type, or that of the elements."""
    if isinstance(type_, ARRAY):
        yield from _named(type_.item_type)
    elif isinstance(type_, Enum | NamedType):
        yield type_


def move(source: MetaData, target: MetaData, schema: str) -> None:
    """Copy all that a metadata has into a schema of another.

    Args:
        source: is of no more use afterwards.
        target: gets the copies.
        schema: where they are.
    """
    for sequence in source._sequences.values():
        sequence.schema = schema  # also for the defaults that draw from it
        sequence._copy()._set_metadata(target)
    for table in source.tables.values():
        for column in table.columns:
            column.type = _moved(column.type, schema)
            column.unique = column.unique and column.index
        for each in table.constraints:
            if isinstance(each, UniqueConstraint):
                each._column_flag = False  # copied in its place then, not with the column
        # Those without a name are numbered in their order, which SQLAlchemy's copies do not keep, nor prefixes.
        table.constraints = OrderedSet(table._sorted_constraints)
        table.to_metadata(target, schema=schema)._prefixes = table._prefixes


def _moved(type_: TypeEngine[Any], schema: str) -> TypeEngine[Any]:
    if isinstance(type_, ARRAY):
        return ARRAY(_moved(type_.item_type, schema), dimensions=type_.dimensions)
    if isinstance(type_, Enum | NamedType):
        return type_.adapt(type(type_), schema=schema, metadata=None, _create_events=True)
    return type_


async def see_together(group: Group, see: Callable[[Group], Awaitable[T]]) -> T:
    """Look at many cases at once.

    Args:
        group: the cases.
        see: looks at them, in a database that it empties.

    Returns:
        What it returns.

    Raises:
        Exception: what it raises, and which cases fail without the others, too.
    """
    try:
        return await see(group)
    except Exception as error:
        failing = [str(case) for place, case in group.cases.items() if not await _passes(Group({place: case}), see)]
        error.add_note(f"Cases that fail without the others, too: {', '.join(failing) or 'none'}")
        raise


async def _passes(group: Group, see: Callable[[Group], Awaitable[object]]) -> bool:
    with suppress(Exception):
        await see(group)
        return True
    return False


async def create_together(group: Group, engine: AsyncEngine) -> None:
    """Make the live schemas, with their rows, and have nothing else there."""
    await run_sql(engine, ";".join([EMPTY, *(f"CREATE SCHEMA {quote_identifier(each)}" for each in group.cases)]))
    await create_all(group.metadata(lambda case: case.before or (nothing if case.sql else case.after)), engine)
    for place, case in group.cases.items():
        with naming(case):
            await run_sql(engine, ";".join([_inside(place), case.sql, case.rows]))


async def walk_together(group: Group, engine: AsyncEngine, directory: Path) -> GroupWay:
    """Make the live schemas, compare, write the files, run them, compare again; all at once.

    The cases that have no way back come first, in files of their own: they would take it from the others.
    """
    return await see_together(group, lambda each: _walk(each, engine, directory / str(each)))


async def _walk(group: Group, engine: AsyncEngine, directory: Path) -> GroupWay:
    await create_together(group, engine)
    first = await compare_schema(engine, group.metadata(lambda case: case.after), schemas=group.cases)
    returning = frozenset(each for each in group.cases if _returns(_part(first, {each})))
    there = _written(_part(first, group.cases.keys() - returning), directory)
    back = _written(_part(first, returning), directory)
    assert has_way_back(back)
    await upgrade(engine, directory)
    second = await compare_schema(engine, group.metadata(lambda case: case.after), schemas=group.cases)
    return GroupWay(first, [*there, *back], second, returning, len(there))


async def walk_back_together(way: GroupWay, engine: AsyncEngine) -> Snapshot:
    """Take back what can be taken back, and read what is there then."""
    if len(way.paths) > way.stay:
        await downgrade(engine, way.paths[0].parent, way.stay)
    return await read_schema(engine)


async def values_in(place: str, engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query in a schema."""
    async with engine.connect() as connection:
        await connection.execute(text(_inside(place)))
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


def snapshot_of(place: str, snapshot: Snapshot) -> Snapshot:
    """Return what a catalog has in a schema."""
    return replace(
        snapshot,
        tables=tuple(each for each in snapshot.tables if each.name.schema == place),
        enums=tuple(each for each in snapshot.enums if each.name.schema == place),
        domains=tuple(each for each in snapshot.domains if each.name.schema == place),
        sequences=tuple(each for each in snapshot.sequences if each.name.schema == place),
    )


def operations_in(places: Collection[str], difference: SchemaDifference) -> tuple[Difference, ...]:
    """Return what differs in some schemas."""
    return tuple(each for each in difference.operations if _place(each) in places)


@contextmanager
def naming(case: Case) -> Iterator[None]:
    """Have what goes wrong say which case it is."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"The case is: {case}")
        raise


def _place(difference: Difference) -> str:
    return difference.group.schema if isinstance(difference.group, Name) else difference.group


def _inside(place: str) -> str:
    """Return SQL that has the transaction, also that of a script, look into a schema."""
    return f"SET LOCAL search_path TO {quote_identifier(place)}"


def _part(difference: SchemaDifference, places: Collection[str]) -> SchemaDifference:
    return replace(difference, operations=operations_in(places, difference))


def _returns(difference: SchemaDifference) -> bool:
    """Whether what is written for one case alone has a way back."""
    with TemporaryDirectory() as directory:
        return has_way_back(_written(difference, Path(directory)))


def _written(difference: SchemaDifference, directory: Path) -> list[Path]:
    return difference.write_migrations(directory, "change", allow_destructive=True)
