"""Steps for what gets another name, and for comments."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Name


def schema(context: Context, it: d.SchemaRenamed) -> Iterator[Step]:  # noqa: ARG001 - as its neighbours
    """Rename a schema."""
    yield _step(op("rename_schema", it.before, it.after), op("rename_schema", it.after, it.before))


def table(context: Context, it: d.TableRenamed) -> Iterator[Step]:
    """Rename or move a table."""
    yield _moved(context, "table", "table", it.before, it.after)


def type_(context: Context, it: d.TypeRenamed) -> Iterator[Step]:
    """Rename or move an enum or domain."""
    yield _moved(context, it.kind, "domain" if it.kind == "domain" else "type", it.before, it.name)


def sequence(context: Context, it: d.SequenceRenamed) -> Iterator[Step]:
    """Rename or move a sequence."""
    yield _moved(context, "sequence", "sequence", it.before, it.name)


def column(context: Context, it: d.ColumnRenamed) -> Iterator[Step]:
    """Rename a column."""
    own = context.schema(it.table)
    up = op("rename_column", it.table.name, it.before, it.after, schema=own)
    yield _step(up, op("rename_column", it.table.name, it.after, it.before, schema=own))


def label(context: Context, it: d.EnumLabelRenamed) -> Iterator[Step]:
    """Rename a label of an enum."""
    own = context.schema(it.name)
    up = op("rename_enum_value", it.name.name, it.before, it.after, schema=own)
    yield _step(up, op("rename_enum_value", it.name.name, it.after, it.before, schema=own))


def constraint(context: Context, it: d.ConstraintRenamed) -> Iterator[Step]:
    """Rename a constraint."""
    own = context.schema(it.table)
    up = op("rename_constraint", it.table.name, it.before, it.after, schema=own)
    down = op("rename_constraint", it.table.name, it.after, it.before, schema=own)
    gone = {each.constraint.name for each in context.of(d.ConstraintRemoved) if each.table == it.table}
    phase = Phase.RELEASE_DEFAULTS if it.after in gone else Phase.RENAME
    yield Step(Stage.MAIN, phase, (up,), (down,))


def index(context: Context, it: d.IndexRenamed) -> Iterator[Step]:
    """Rename an index."""
    own = context.schema(it.table)
    up = op("rename_index", it.before, it.after, schema=own)
    yield _step(up, op("rename_index", it.after, it.before, schema=own))


def comment(context: Context, it: d.CommentChanged) -> Iterator[Step]:
    """Set or drop a comment."""
    own = context.schema(it.table)

    def said(text: str | None) -> Group:
        if it.constraint is not None:
            return op("set_comment", "constraint", it.constraint, literal(text), table=it.table.name, schema=own)
        if it.column is not None:
            return op("alter_column", it.table.name, it.column, comment=literal(text), schema=own)
        if text is None:
            return op("drop_table_comment", it.table.name, schema=own)
        return op("create_table_comment", it.table.name, text, schema=own)

    yield Step(Stage.MAIN, Phase.COMMENTS, (said(it.after),), (said(it.before),))


def _moved(context: Context, noun: str, kind: str, before: Name, after: Name) -> Step:
    up, down = list(_moves(context, noun, kind, before, after)), list(_moves(context, noun, kind, after, before))
    return Step(Stage.MAIN, Phase.RENAME, tuple(up), tuple(down))


def _moves(context: Context, noun: str, kind: str, before: Name, after: Name) -> Iterator[Group]:
    if before.name != after.name:
        yield op(f"rename_{noun}", before.name, after.name, schema=context.schema(before))
    if before.schema != after.schema:
        yield op("set_schema", kind, after.name, after.schema, schema=context.schema(before))


def _step(up: Group, down: Group) -> Step:
    return Step(Stage.MAIN, Phase.RENAME, (up,), (down,))
