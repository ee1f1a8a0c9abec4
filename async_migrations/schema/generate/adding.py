"""Steps for columns that come to tables that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import column_node, given_options
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.rows import value_for_rows
from async_migrations.schema.generate.source import Group, call, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import SQLALCHEMY
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.names import is_named
from async_migrations.schema.table import Column, Name

FILLED = "Each row gets a value of its own: the table is written anew while nobody reads or writes it."
_VOLATILE = re.compile(
    r"\b(?:gen_random_uuid|uuidv[47]|uuid_generate\w+|random\w*|nextval|clock_timestamp|timeofday)\("
)
SEQUENCE_TYPES = {"smallint": "sa.SmallInteger", "integer": "sa.Integer", "bigint": "sa.BigInteger"}


def added(context: Context, it: d.ColumnAdded) -> Iterator[Step]:
    """Add a column; one that is NOT NULL and has nothing for the rows that exist, in two steps."""
    table, column, schema = it.table, it.column, context.schema(it.table)
    down = (op("drop_column", table.name, column.name, schema=schema),)
    if column.sequence is not None:
        yield Step(Stage.MAIN, Phase.COLUMNS, tuple(_serial(context, table, column)), down, remarks=(FILLED,))
        return
    if not _needs_value(context, it):
        node = column_node(context, table, column)
        phase = Phase.GENERATED if _reads_converted(context, it) else Phase.COLUMNS
        up: tuple[Group, ...] = (op("add_column", table.name, node, schema=schema),)
        yield Step(Stage.MAIN, phase, up, down, remarks=(FILLED,) if _is_filled(column) else ())
        return
    value = value_for_rows(context, table, column)
    if value is not None:
        node = column_node(context, table, column, server_default=value)
        without = op("alter_column", table.name, column.name, server_default=literal(None), schema=schema)
        up = op("add_column", table.name, node, schema=schema), without
        remark = "The default of the models fills the rows that exist, and new rows get theirs from the application."
        yield Step(Stage.MAIN, Phase.COLUMNS, up, down, remarks=(remark,))
        return
    node = column_node(context, table, column, nullable=...)
    yield Step(Stage.MAIN, Phase.COLUMNS, (op("add_column", table.name, node, schema=schema),), down)
    if (table, column.name) not in context.new_key_columns:
        yield Step(
            Stage.VALIDATE,
            Phase.NULLABLE,
            (op("set_not_null", table.name, column.name, schema=schema),),
            (op("drop_not_null", table.name, column.name, schema=schema),),
            remarks=filling(context, table, column.name),
        )


def filling(context: Context, table: Name, column: str) -> tuple[str, ...]:
    """Return the comment where somebody has to write what rows shall have."""
    update = f"UPDATE {context.sql_name(table)} SET {context.quote(column)} = … WHERE {context.quote(column)} IS NULL"
    return (
        f"{table}.{column} is NOT NULL and has no default. If the table has rows, this fails until you",
        f'fill them before: await self.op.execute("{update}")',
    )


def _is_filled(column: Column) -> bool:
    """Whether the rows that exist get values one by one; of functions those are known that usually give them."""
    made = column.identity is not None or (column.computed is not None and column.computed.stored)
    return made or _VOLATILE.search(column.default or "") is not None


def _reads_converted(context: Context, it: d.ColumnAdded) -> bool:
    computed = it.column.computed
    others = [column for table, column in context.converted if table == it.table]
    return computed is not None and any(is_named(each, computed.expression) for each in others)


def _needs_value(context: Context, it: d.ColumnAdded) -> bool:
    column = it.column
    made = column.identity or column.computed or column.default is not None
    domain = next((each for each in context.wanted.domains if each.name == column.type_name), None)
    filled = domain is not None and domain.default is not None
    return not (column.nullable or made or filled)


def _serial(context: Context, table: Name, column: Column) -> Iterator[Group]:
    """Add a serial column as its parts, which an ADD COLUMN of SQLAlchemy's cannot say."""
    sequence = column.sequence
    assert sequence is not None  # noqa: S101 - asked only for serial columns
    schema = context.schema(sequence)
    found = next((each for each in context.wanted.sequences if each.name == sequence), None)
    number = found.options.type if found else "integer"
    options = given_options(found.options) if found else {}
    kind = call(SEQUENCE_TYPES[number], imports=SQLALCHEMY)
    yield op("create_sequence", sequence.name, schema=schema, type_=kind, **options)
    draw = sql_node(f"nextval('{context.sql_name(sequence).replace(chr(39), chr(39) * 2)}'::regclass)")
    node = column_node(context, table, column, server_default=draw, nullable=False)
    yield op("add_column", table.name, node, schema=context.schema(table))
    yield op("alter_sequence", sequence.name, schema=schema, owned_by=(table.name, column.name))
