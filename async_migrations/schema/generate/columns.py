"""Steps for columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import identity_node, type_node
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.conversion import back, changes_zone, using
from async_migrations.schema.generate.selection import is_made_anew, labels_after
from async_migrations.schema.generate.source import Group, Node, call, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.things import owned_again
from async_migrations.schema.generate.type_source import SQLALCHEMY, raw_type
from async_migrations.schema.generate.words import condition_node, sql_node
from async_migrations.schema.table import Column, Name, SequenceOptions
from async_migrations.sql import quote_literal

IN_UTC = "Times without a time zone are taken for UTC in {}; say another one here where they are of another."
LOST = "the values of a dropped column are gone"
_NONE = literal(None)
"""None as an argument, where a keyword that is None is left out."""


def removed(context: Context, it: d.ColumnRemoved) -> Iterator[Step]:
    """Drop a column."""
    up = op("drop_column", it.table.name, it.column.name, schema=context.schema(it.table))
    if it.column.computed is None:
        yield Step(Stage.DROP, Phase.DROP_COLUMNS, (up,), None, reason=LOST)
        return
    node = _told_column(it.column)
    again = op("add_column", it.table.name, node, schema=context.schema(it.table))
    told = (it.column.computed.expression, it.column.type)
    yield Step(Stage.MAIN, Phase.RELEASE_DEFAULTS, (up,), (again,), told=told)


def retyped(context: Context, it: d.ColumnTypeChanged | d.CollationChanged) -> Iterator[Step]:
    """Change a type or collation, with the default where that changes too."""
    default = next((each for each in context.of(d.DefaultChanged) if _is_of(each, it)), None)
    before, after = it.before, it.after
    up: dict[str, Any] = {"type_": type_node(context, it.table, after)}
    down: dict[str, Any] = {"type_": told_type(before)}
    zoned = changes_zone(before.stored, after.stored)
    # A USING would have the default that stays cast, which says the same in other words.
    if default is not None or (zoned and after.default is not None):
        up["server_default"] = _default(context, it.table, after) if _sets_default(it, after) else _NONE
        down["server_default"] = _NONE if before.default is None else sql_node(before.default)
    if isinstance(it, d.ColumnTypeChanged) and after.computed is None:
        name = context.quote(it.column)
        up["postgresql_using"] = using(name, before.stored, after.stored)
        down["postgresql_using"] = back(name, before.stored, after.stored)
    yield Step(
        Stage.MAIN,
        Phase.TYPES,
        (_alter(context, it, **up),),
        None if it.destructive or not _leads_back(it) else (_alter(context, it, **down),),
        reason="the conversion has rounded or cut values" if it.destructive else "no cast leads back",
        remarks=(IN_UTC.format(f"{it.table}.{it.column}"),) if zoned else (),
        told=(before.default or "", before.type),
    )


def defaulted(context: Context, it: d.DefaultChanged) -> Iterator[Step]:
    """Change a default, unless a change of type or identity does it."""
    for kind in (d.ColumnTypeChanged, d.CollationChanged, d.IdentityChanged, d.ComputedChanged):
        if any(
            _is_of(each, it) and _sets_default(each, context.column(it.table, it.column)) for each in context.of(kind)
        ):
            return
    column = context.column(it.table, it.column)
    before = _NONE if it.before is None else sql_node(it.before)
    up = [_alter(context, it, server_default=_default(context, it.table, column))]
    if column.sequence is not None:
        up.append(op("restart_identity", it.table.name, it.column, schema=context.schema(it.table)))
    # One that is gone before the labels do comes back after them.
    back_to = _NONE if _goes_before(context, it) else before
    down = (_alter(context, it, server_default=back_to),)
    yield Step(Stage.MAIN, Phase.DEFAULTS, tuple(up), down, told=(it.before or "",))


def identified(context: Context, it: d.IdentityChanged) -> Iterator[Step]:
    """Make a column an identity column, or another, or none."""
    before = _NONE if it.before is None else identity_node(it.before)
    after = _NONE if it.after is None else identity_node(it.after)
    # The sequence of one that goes may have the name that another takes.
    phase = Phase.RELEASE_DEFAULTS if it.after is None else Phase.IDENTITIES
    up, down = [_alter(context, it, server_default=after)], [_alter(context, it, server_default=before)]
    if it.before is None:
        down += _plain_again(context, it)
    elif it.after is not None:
        up = _moved_on(context, it, up, it.before.options, it.after.options)
        down = _moved_on(context, it, down, it.after.options, it.before.options)
    yield Step(Stage.MAIN, phase, tuple(up), tuple(down))


def nullable(context: Context, it: d.NullabilityChanged) -> Iterator[Step]:
    """Allow NULL, or refuse it, which is proved beside running writes."""
    place = (it.table, it.column)
    allow = op("drop_not_null", it.table.name, it.column, schema=context.schema(it.table))
    refuse = op("set_not_null", it.table.name, it.column, schema=context.schema(it.table))
    concurrent = Stage.MAIN if context.is_partitioned(it.table) else Stage.CONCURRENT
    if it.after.nullable and place in context.old_key_columns:
        yield Step(concurrent, Phase.VALIDATION, (allow,), (refuse,))
    elif it.after.nullable:
        yield Step(Stage.MAIN, Phase.NULLABLE, (allow,), (refuse,))
    elif place in context.new_key_columns:
        yield Step(concurrent, Phase.NULLABLE, (refuse,), (allow,))
    elif place not in context.identities:
        stage = Stage.MAIN if it.after.computed is not None else Stage.VALIDATE
        remarks = _filling(context, it) if stage is Stage.VALIDATE else ()
        yield Step(stage, Phase.NULLABLE, (refuse,), (allow,), remarks=remarks)


def _filling(context: Context, it: d.NullabilityChanged) -> tuple[str, ...]:
    """Return the comment where somebody may have to write what rows shall have that have nothing."""
    value = "…" if it.after.default is None else "DEFAULT"
    name = context.quote(it.column)
    update = f"UPDATE {context.sql_name(it.table)} SET {name} = {value} WHERE {name} IS NULL"
    return (
        f"Where rows of {it.table} have no {it.column}, this fails until you",
        f'fill them before: await self.op.execute("{update}")',
    )


def _leads_back(it: d.ColumnTypeChanged | d.CollationChanged) -> bool:
    one_way = it.before.type.endswith("[]") or it.before.type.rpartition(".")[2] == "hstore"
    return not (one_way and it.after.type in {"json", "jsonb"})


def _moved_on(
    context: Context, it: d.IdentityChanged, calls: list[Group], before: SequenceOptions, after: SequenceOptions
) -> list[Group]:
    """Let the numbers go on where the new limits allow it, which PostgreSQL wants to see first."""
    table, name = context.sql_name(it.table), context.quote(it.column)
    sequence = f"pg_get_serial_sequence({quote_literal(table)}, {quote_literal(it.column)})"
    if after.increment > 0 and after.minimum > before.minimum:
        following = f"greatest({after.start}, (SELECT max({name}) + 1 FROM {table}))"
    elif after.increment < 0 and after.maximum < before.maximum:
        following = f"least({after.start}, (SELECT min({name}) - 1 FROM {table}))"
    else:
        return calls
    goes_on = op("execute", f"SELECT setval({sequence}, {following}, false)")
    if (before.increment > 0) is (after.increment > 0):
        return [goes_on, *calls]
    # One that turns round goes on from a number outside of its old limits.
    within = f"least({before.maximum}, greatest({before.minimum}, {following}))"
    return [op("execute", f"SELECT setval({sequence}, {within}, false)"), *calls, goes_on]


def _plain_again(context: Context, it: d.IdentityChanged) -> Iterator[Group]:
    """Give a column that becomes an identity column back what it had."""
    schema = context.schema(it.table)
    for change in context.of(d.NullabilityChanged):
        if _is_of(change, it):
            yield op("drop_not_null", it.table.name, it.column, schema=schema)
    for gone in context.of(d.SequenceRemoved):
        if gone.sequence.owner == (it.table, it.column):
            yield from owned_again(context, gone.sequence)
    retyped_too = any(_is_of(each, it) for each in context.of(d.ColumnTypeChanged))
    for change in context.of(d.DefaultChanged):
        if _is_of(change, it) and change.before is not None and not retyped_too:
            yield _alter(context, it, server_default=sql_node(change.before))


def _goes_before(context: Context, it: d.DefaultChanged) -> bool:
    """Whether the default is dropped early, before labels go that it may name."""
    kind = context.column(it.table, it.column).type_name
    return it.before is not None and any(
        each.name == kind and is_made_anew(each.before, labels_after(each, allow_destructive=context.allow_destructive))
        for each in context.of(d.EnumLabelsChanged)
    )


def told_type(column: Column) -> Node:
    """Return the source of the type that a live column has."""
    collation = f" COLLATE {column.collation}" if column.collation else ""
    plain = {
        "integer": "sa.Integer",
        "bigint": "sa.BigInteger",
        "smallint": "sa.SmallInteger",
        "text": "sa.Text",
        "boolean": "sa.Boolean",
        "date": "sa.Date",
        "uuid": "sa.Uuid",
        "double precision": "sa.Double",
    }
    if not collation and column.type in plain:
        return call(plain[column.type], imports=SQLALCHEMY)
    return raw_type(column.type + collation)


def _default(context: Context, table: Name, column: Column) -> Any:
    default = context.words.default(table, column)
    return _NONE if default is None else default


def _told_column(column: Column) -> Group:
    assert column.computed is not None  # noqa: S101 - asked only for generated columns
    expression = condition_node(column.computed.expression)
    computed = call("sa.Computed", expression, persisted=column.computed.stored, imports=SQLALCHEMY)
    more: dict[str, Any] = {} if column.nullable else {"nullable": False}
    more |= {"comment": column.comment} if column.comment else {}
    return call("sa.Column", column.name, raw_type(column.type), computed, **more, imports=SQLALCHEMY)


def _sets_default(change: d.Difference, column: Column) -> bool:
    if isinstance(change, d.IdentityChanged):
        return change.after is not None
    if isinstance(change, d.ComputedChanged):
        return change.after is not None
    return column.sequence is None and column.identity is None


def _is_of(change: Any, it: Any) -> bool:
    return bool((change.table, change.column) == (it.table, it.column))


def _alter(context: Context, it: d.OfColumn, **keywords: Any) -> Group:
    return op("alter_column", it.table.name, it.column, **keywords, schema=context.schema(it.table))
