"""Steps for generated columns."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate import constraints, indexes
from async_migrations.schema.generate.column_source import column_node
from async_migrations.schema.generate.context import Context, shortened
from async_migrations.schema.generate.source import Group, call, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import SQLALCHEMY
from async_migrations.schema.generate.words import condition_node


def changed(context: Context, it: d.ComputedChanged) -> Iterator[Step]:
    """Compute a column otherwise, or on one side only."""
    before, after = it.before, it.after
    if before and after and (it.table, it.column) not in context.remade:
        words = context.words.computed(it.table, context.column(it.table, it.column))
        up, down = (_altered(context, it, each) for each in ((words, after.stored), (before.expression, before.stored)))
        yield Step(Stage.MAIN, Phase.COMPUTED, (up,), (down,), told=(before.expression,))
    elif after is not None:
        yield from _added_anew(context, it)
    elif before is not None and before.stored:
        yield _freed(context, it)
    else:
        yield _copied(context, it)


def _altered(context: Context, it: d.ComputedChanged, wanted: tuple[str, bool]) -> Group:
    node = call("sa.Computed", condition_node(wanted[0]), persisted=wanted[1], imports=SQLALCHEMY)
    return op("alter_column", it.table.name, it.column, server_default=node, schema=context.schema(it.table))


def _added_anew(context: Context, it: d.ComputedChanged) -> Iterator[Step]:
    """Drop a column and add it as a generated one, with the indexes and constraints that go with it."""
    own = context.schema(it.table)
    node = column_node(context, it.table, context.column(it.table, it.column))
    up = op("drop_column", it.table.name, it.column, schema=own), op("add_column", it.table.name, node, schema=own)
    down: tuple[Group, ...] | None = None
    yield Step(Stage.MAIN, Phase.COMPUTED, up, down, reason="the column was made anew")
    table = context.tables[it.table]
    renewed = {each.index.name for each in context.of(d.IndexAdded)}
    renewed |= {each.after.name for each in context.of(d.IndexChanged)}
    for index in table.indexes:
        if index.name not in renewed and index.leans_on(it.column):
            yield indexes.made(context, it.table, index)
    renewed = {each.constraint.name for each in context.of(d.ConstraintAdded)}
    renewed |= {each.after.name for each in context.of(d.ConstraintChanged)}
    for constraint in table.constraints:
        if constraint.name not in renewed and it.column in constraint.columns:
            yield from constraints.made(context, it.table, constraint)


def _freed(context: Context, it: d.ComputedChanged) -> Step:
    """Let a column keep its values, and be written from now on."""
    up = op("alter_column", it.table.name, it.column, server_default=literal(None), schema=context.schema(it.table))
    return Step(Stage.MAIN, Phase.COMPUTED, (up,), None, reason="the column may have values that were not computed")


def _copied(context: Context, it: d.ComputedChanged) -> Step:
    """Write down the values of a virtual column, which PostgreSQL cannot turn into a plain one."""
    own, away = context.schema(it.table), _away(context, it)
    column = context.column(it.table, it.column)
    node = column_node(context, it.table, column, nullable=...)
    named = _renamed(node, column.name, away)
    table = context.sql_name(it.table)
    up = [
        op("add_column", it.table.name, named, schema=own),
        op("execute", f"UPDATE {table} SET {context.quote(away)} = {context.quote(it.column)}"),
        op("drop_column", it.table.name, it.column, schema=own),
        op("rename_column", it.table.name, away, it.column, schema=own),
    ]
    if not column.nullable:
        up.append(op("set_not_null", it.table.name, it.column, schema=own))
    return Step(Stage.MAIN, Phase.COMPUTED, tuple(up), None, reason="the column may have values that were not computed")


def _away(context: Context, it: d.ComputedChanged) -> str:
    """Return a name that no column has."""
    # Of any table, since a table that is renamed stands in the live schema under its old name.
    taken = {each.name for side in (context.live, context.wanted) for table in side.tables for each in table.columns}
    names = (f"{shortened(it.column, 6)}_new{number or ''}" for number in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _renamed(node: Group, before: str, after: str) -> Group:
    first, *others = node.items
    assert first == literal(before)  # noqa: S101 - a column's source begins with its name
    return Group(node.opening, (literal(after), *others), node.closing, node.imports)
