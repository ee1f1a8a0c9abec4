"""Steps for what gets another name, and for comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import Name

_SWAPPED = "_swapped"
_LONGEST = 63 - len(_SWAPPED)
"""Bytes of a name that leave room for the ending of one that waits."""


Move = Callable[[Any, Any], Iterator[Group]]
"""Writes what gives a thing another name: (before, after)."""

_OF_INDEXES = (d.ConstraintRenamed, d.IndexRenamed)
"""Keys have indexes, whose names are a schema's own."""


def renamed(context: Context, it: Any) -> Iterator[Step]:
    """Rename or move a thing; in a swap it waits under a third name until its new one is free."""
    owner, before, after = _names(it)
    others = [
        each
        for each in context.operations
        if isinstance(each, _OF_INDEXES if isinstance(it, _OF_INDEXES) else type(it))
    ]
    place = others.index(it)
    waits = any(_names(each)[:2] == (owner, after) for each in others[place + 1 :])
    move = _move(context, it)
    up = list(move(before, _aside(before) if waits else after))
    down = list(move(_aside(before) if waits else after, before))
    for each in others[:place]:
        whose, old, new = _names(each)
        if (whose, new) == (owner, before):
            back = _move(context, each)
            up += back(_aside(old), new)
            down = [*back(new, _aside(old)), *down]
    yield Step(Stage.MAIN, _phase(context, it), tuple(up), tuple(down))


def _move(context: Context, it: Any) -> Move:
    owner = getattr(it, "table", None) or getattr(it, "name", None)
    kind = getattr(it, "kind", "enum")
    moves: dict[type[Any], Move] = {
        d.SchemaRenamed: _renamed_schema,
        d.TableRenamed: partial(_moves, context, "table", "table"),
        d.TypeRenamed: partial(_moves, context, kind, "domain" if kind == "domain" else "type"),
        d.SequenceRenamed: partial(_moves, context, "sequence", "sequence"),
        d.ColumnRenamed: partial(_inside, context, "column", owner),
        d.EnumLabelRenamed: partial(_inside, context, "enum_value", owner),
        d.ConstraintRenamed: partial(_inside, context, "constraint", owner),
        d.IndexRenamed: partial(_renamed_index, context, owner),
    }
    return moves[type(it)]


def _renamed_schema(before: str, after: str) -> Iterator[Group]:
    yield op("rename_schema", before, after)


def _renamed_index(context: Context, table: Any, before: str, after: str) -> Iterator[Group]:
    yield op("rename_index", before, after, schema=context.schema(table))


def _phase(context: Context, it: Any) -> Phase:
    if not isinstance(it, d.ConstraintRenamed):
        return Phase.RENAME
    gone = {each.constraint.name for each in context.of(d.ConstraintRemoved) if each.table == it.table}
    return Phase.RELEASE_DEFAULTS if it.after in gone else Phase.RENAME


def under_old_names(context: Context, it: d.EnumLabelsChanged) -> d.EnumLabelsChanged:
    """Return the change of an enum's labels as it is before all renames."""
    old = {each.after: each.before for each in context.of(d.EnumLabelRenamed) if each.name == it.name}
    name = next((each.before for each in context.of(d.TypeRenamed) if each.name == it.name), it.name)
    schema = next((each.before for each in context.of(d.SchemaRenamed) if each.after == name.schema), name.schema)
    before, after = (tuple(old.get(label, label) for label in labels) for labels in (it.before, it.after))
    return d.EnumLabelsChanged(Name(schema, name.name), before, after)


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


def _names(it: Any) -> tuple[Name | str | None, Any, Any]:
    """Return whose name it is, and the name before and after."""
    if isinstance(it, _OF_INDEXES):
        return it.table.schema, it.before, it.after
    if isinstance(it, d.TypeRenamed | d.SequenceRenamed):
        return None, it.before, it.name
    if isinstance(it, d.EnumLabelRenamed):
        return it.name, it.before, it.after
    return getattr(it, "table", None), it.before, it.after


def _aside(name: Any) -> Any:
    if isinstance(name, Name):
        return Name(name.schema, _aside(name.name))
    return name.encode()[:_LONGEST].decode(errors="ignore") + _SWAPPED


def _inside(context: Context, noun: str, owner: Any, before: str, after: str) -> Iterator[Group]:
    yield op(f"rename_{noun}", owner.name, before, after, schema=context.schema(owner))


def _moves(context: Context, noun: str, kind: str, before: Name, after: Name) -> Iterator[Group]:
    if before.schema != after.schema and before.name.endswith(_SWAPPED):
        # Its new name is taken in the schema that it leaves.
        yield op("set_schema", kind, before.name, after.schema, schema=context.schema(before))
        before = Name(after.schema, before.name)
    if before.name != after.name:
        yield op(f"rename_{noun}", before.name, after.name, schema=context.schema(before))
    if before.schema != after.schema:
        yield op("set_schema", kind, after.name, after.schema, schema=context.schema(before))
