"""Steps for tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate import constraint_source, index_source
from async_migrations.schema.generate.column_source import column_node
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.index_source import option
from async_migrations.schema.generate.source import Group, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Name, Table, TableKind

_OPTIONS = ("inherits", "partition_by", "with", "with_oids", "on_commit", "tablespace", "using")
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
LOST = "the rows of a dropped table are gone"
REWRITTEN = "The table is written anew while nobody reads or writes it."


def added(context: Context) -> Iterator[Step]:
    """Create all new tables: what others refer to first, circular keys after them all."""
    tables = {
        each.table.name: each.table
        for each in context.of(d.TableAdded)
        if not {*each.table.parents} & context.repartitioned
    }
    made: set[Name] = set()
    for name in ordered(tables):
        table = tables[name]
        inline, later = _keys(context, table, made | {name})
        made.add(name)
        yield _created(context, table, inline)
        for index in table.indexes:
            up = index_source.creation(context, name, index)
            yield Step(Stage.MAIN, Phase.TABLES, (up,))
        for key in later:
            up = constraint_source.creation(context, name, key)
            down = op("drop_constraint", key.name, name.name, schema=context.schema(name))
            stage = Stage.VALIDATE if context.is_late(key) else Stage.MAIN
            yield Step(stage, Phase.TABLE_KEYS if stage is Stage.MAIN else Phase.REFERENCES, (up,), (down,))


def removed(context: Context) -> Iterator[Step]:
    """Drop tables: those that refer to others first; before anything new where that takes their names."""
    stage, keys, itself = Stage.DROP, Phase.DROP_COLUMNS, Phase.DROP_TABLES
    if context.makes_room:
        stage, keys, itself = Stage.MAIN, Phase.MAKE_ROOM, Phase.MAKE_ROOM
    tables = {each.table.name: each.table for each in context.of(d.TableRemoved)}
    order = [*reversed(ordered(tables))]
    for place, name in enumerate(order):
        for key in tables[name].constraints:
            if key.kind is ConstraintKind.FOREIGN_KEY and key.target in order[:place]:
                up = op("drop_constraint", key.name, name.name, schema=context.schema(name))
                yield Step(stage, keys, (up,), None, reason=LOST)
    for name in order:
        up = op("drop_table", name.name, schema=context.schema(name))
        yield Step(stage, itself, (up,), None, reason=LOST)


def ordered(tables: dict[Name, Table]) -> list[Name]:
    """Return tables so that each comes after those that it leans on; circles are cut somewhere."""
    graph = {name: sorted({*_leans_on(table)} & {*tables} - {name}) for name, table in sorted(tables.items())}
    while True:
        try:
            return [*TopologicalSorter(graph).static_order()]
        except CycleError as error:
            circle: Sequence[Name] = error.args[1]
            graph[circle[1]] = [name for name in graph[circle[1]] if name != circle[0]]


def options_changed(context: Context, it: d.TableOptionsChanged) -> Iterator[Step]:
    """Set and reset storage parameters."""

    def calls(before: Sequence[str], after: Sequence[str]) -> Iterator[Group]:
        then, now = dict(map(option, before)), dict(map(option, after))
        given = {name: value for name, value in now.items() if then.get(name) != value}
        gone = [name for name in then if name not in now]
        if given:
            yield op("set_table_options", it.table.name, given, schema=context.schema(it.table))
        if gone:
            yield op("reset_table_options", it.table.name, gone, schema=context.schema(it.table))

    yield Step(Stage.MAIN, Phase.STORAGE, tuple(calls(it.before, it.after)), tuple(calls(it.after, it.before)))


def tablespace_changed(context: Context, it: d.TablespaceChanged) -> Iterator[Step]:
    """Move a table to another tablespace."""
    own = context.schema(it.table)
    up, down = (
        op("set_tablespace", it.table.name, place or "pg_default", schema=own) for place in (it.after, it.before)
    )
    yield Step(Stage.MAIN, Phase.STORAGE, (up,), (down,), remarks=(REWRITTEN,))


def method_changed(context: Context, it: d.AccessMethodChanged) -> Iterator[Step]:
    """Give a table another access method."""
    table = context.sql_name(it.table)
    up, down = (
        op("execute", f"ALTER TABLE {table} SET ACCESS METHOD {context.quote(method or 'heap')}")
        for method in (it.after, it.before)
    )
    yield Step(Stage.MAIN, Phase.STORAGE, (up,), (down,), remarks=(REWRITTEN,))


def persistence(context: Context) -> Iterator[Step]:
    """Make tables logged or unlogged: PostgreSQL lets none that is logged refer to one that is not."""
    changes = {each.table: each for each in context.of(d.PersistenceChanged)}
    order = ordered({name: context.tables[name] for name in changes})
    logged = [name for name in order if not changes[name].after]
    unlogged = [name for name in reversed(order) if changes[name].after]
    for name in (*logged, *unlogged):
        own, it = context.schema(name), changes[name]
        up, down = (op("set_logged", name.name, not each, schema=own) for each in (it.after, it.before))
        yield Step(Stage.MAIN, Phase.STORAGE, (up,), (down,), remarks=(REWRITTEN,))


def parents_changed(context: Context, it: d.ParentsChanged) -> Iterator[Step]:
    """Begin and end inheriting."""

    def calls(before: Sequence[Name], after: Sequence[Name]) -> Iterator[Group]:
        for verb, parents in (("no_inherit", [*before]), ("inherit", [*after])):
            for parent in parents:
                if not (parent in before and parent in after):
                    schemas = {"schema": context.schema(it.table), "parent_schema": context.schema(parent)}
                    yield op(verb, it.table.name, parent.name, **schemas)

    yield Step(Stage.MAIN, Phase.PARENTS, tuple(calls(it.before, it.after)), tuple(calls(it.after, it.before)))


def bound_changed(context: Context, it: d.PartitionBoundChanged) -> Iterator[Step]:
    """Detach a partition and attach it with another bound."""
    table = context.tables[it.table]
    if not table.parents or it.before is None or it.after is None:
        return
    parent = table.parents[0]
    schemas = {"schema": context.schema(parent), "partition_schema": context.schema(it.table)}

    def calls(bound: str) -> tuple[Group, ...]:
        gone = op("detach_partition", parent.name, it.table.name, **schemas)
        return gone, op("attach_partition", parent.name, it.table.name, bound, **schemas)

    yield Step(Stage.MAIN, Phase.STORAGE, calls(it.after), calls(it.before))


def creation(context: Context, table: Table, inline: Sequence[Constraint] = ()) -> Group:
    """Return the operation that creates a table.

    Args:
        context: all differences.
        table: as PostgreSQL has read it.
        inline: the foreign keys that the table is created with.
    """
    schema = context.schema(table.name)
    if table.kind is TableKind.PARTITION and table.partition_bound is not None and table.parents:
        parent = table.parents[0]
        names = (table.name.name, parent.name, table.partition_bound)
        return op("create_partition", *names, schema=schema, parent_schema=context.schema(parent))
    key = next((each for each in table.constraints if each.kind is ConstraintKind.PRIMARY_KEY), None)
    own = [each for each in table.constraints if each.kind is not ConstraintKind.FOREIGN_KEY]
    parts = [
        node
        for each in (*own, *inline)
        if not (each is key and _is_short(key)) and (node := constraint_source.element(context, table.name, each))
    ]
    columns = [_column(context, table, each, key) for each in table.columns if each.local or not table.parents]
    return op(
        "create_table", table.name.name, *columns, *parts, schema=schema, comment=table.comment, **_how(context, table)
    )


def _created(context: Context, table: Table, inline: Sequence[Constraint]) -> Step:
    own = context.schema(table.name)
    apart = [
        constraint_source.creation(context, table.name, each)
        for each in table.constraints
        if each.kind is not ConstraintKind.FOREIGN_KEY and constraint_source.element(context, table.name, each) is None
    ]
    up = (creation(context, table, inline), *apart)
    return Step(Stage.MAIN, Phase.TABLES, up, (op("drop_table", table.name.name, schema=own),))


def _column(context: Context, table: Table, column: Column, key: Constraint | None) -> Group:
    changed: dict[str, Any] = {}
    is_key = key is not None and column.name in key.columns
    if key is not None and is_key:
        changed["nullable"] = ...  # the key says it
        if _is_short(key):
            changed["primary_key"] = True
        if column.sequence is None and column.type in _INTEGERS and len(key.columns) == 1:
            plain = column.default is None and column.identity is None and column.computed is None
            changed |= {"autoincrement": False} if plain else {}
        elif column.sequence is not None and len(key.columns) > 1:
            changed["autoincrement"] = True
    return column_node(context, table.name, column, **changed)


def _is_short(key: Constraint) -> bool:
    """Whether `primary_key=True` says it all."""
    plain = not (key.deferrable or key.comment or "INCLUDE" in key.definition)
    return key.implicit and len(key.columns) == 1 and plain


def _how(context: Context, table: Table) -> dict[str, Any]:
    """Return the keywords of a table that are for PostgreSQL alone."""
    declared = context.words.tables.get(table.name)
    if declared is None:
        return {"postgresql_partition_by": table.partition_key}
    options = declared.dialect_options["postgresql"]
    found = {f"postgresql_{name}": literal(value) for name in _OPTIONS if (value := options.get(name))}
    prefixes = [str(each) for each in declared._prefixes]  # noqa: SLF001 - SQLAlchemy has no public word for it
    return found | ({"prefixes": prefixes} if prefixes else {})


def _keys(context: Context, table: Table, made: set[Name]) -> tuple[list[Constraint], list[Constraint]]:
    """Return the foreign keys that a table is created with, and those that have to wait."""
    inline: list[Constraint] = []
    later: list[Constraint] = []
    for key in table.constraints:
        if key.kind is not ConstraintKind.FOREIGN_KEY:
            continue
        waits = key.target in context.new_tables and key.target not in made
        said = constraint_source.element(context, table.name, key) is not None
        (later if waits or context.is_late(key) or not said else inline).append(key)
    return inline, later


def _leans_on(table: Table) -> Iterator[Name]:
    yield from table.parents
    for key in table.constraints:
        if key.kind is ConstraintKind.FOREIGN_KEY and key.target is not None:
            yield key.target
