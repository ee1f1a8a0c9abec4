"""Steps for a table that is partitioned otherwise: a new one takes its place and its rows."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate import constraint_source, index_source, tables
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import ConstraintKind, Name, Table


def changed(context: Context, it: d.PartitioningChanged) -> Iterator[Step]:
    """Make the table anew, and copy the rows; where one has no partition to go to, everything is taken back."""
    live = _live(context, it.table)
    if live is None:
        return
    remark = "Every row is copied while nobody reads or writes; a row without a partition ends it, and nothing changes."
    up = (*_out_of_the_way(context, it.table, live), *_made(context, it.table, live))
    yield Step(Stage.MAIN, Phase.TABLES, up, None, reason="the table was made anew", remarks=(remark,))


def _live(context: Context, name: Name) -> Table | None:
    old = next((each.before for each in context.of(d.TableRenamed) if each.after == name), name)
    return next((each for each in context.live.tables if each.name == old), None)


def _out_of_the_way(context: Context, name: Name, live: Table) -> Iterator[Group]:
    own, away = context.schema(name), _away(name)
    for table, key in context.references():
        if key.target == name and table != name:
            yield op("drop_constraint", key.name, table.name, schema=context.schema(table))
    yield op("rename_table", name.name, away, schema=own)
    keys = sorted(live.constraints, key=lambda each: each.kind is not ConstraintKind.FOREIGN_KEY)
    for constraint in keys:
        yield op("drop_constraint", constraint.name, away, schema=own)
    for index in live.indexes:
        yield op("drop_index", index.name, away, schema=own)
    for column in live.columns:
        if column.identity is not None or column.sequence is not None:
            yield op("alter_column", away, column.name, server_default=literal(None), schema=own)
        if column.sequence is not None:
            yield op("drop_sequence", column.sequence.name, schema=context.schema(column.sequence))


def _made(context: Context, name: Name, live: Table) -> Iterator[Group]:
    own, away, wanted = context.schema(name), _away(name), context.tables[name]
    yield tables.creation(context, wanted, [e for e in wanted.constraints if e.kind is ConstraintKind.FOREIGN_KEY])
    for each in context.of(d.TableAdded):
        if name in each.table.parents:
            yield tables.creation(context, each.table)
    for index in wanted.indexes:
        yield index_source.creation(context, name, index)
    there = {each.name for each in live.columns}
    kept = ", ".join(context.quote(e.name) for e in wanted.columns if e.name in there and e.computed is None)
    old = context.sql_name(Name(name.schema, away))
    always = any(each.identity and each.identity.always for each in wanted.columns)
    yield op(
        "execute",
        f"INSERT INTO {context.sql_name(name)} ({kept}){' OVERRIDING SYSTEM VALUE' if always else ''} "
        f"SELECT {kept} FROM {old}",
    )
    for column in wanted.columns:
        if column.identity is not None or column.sequence is not None:
            yield op("restart_identity", name.name, column.name, schema=own)
    yield op("drop_table", away, schema=own)
    for table, key in context.references():
        if key.target == name and table != name:
            yield constraint_source.creation(context, table, key)


def _away(name: Name) -> str:
    return f"{name.name[:59]}_old"
