"""Differences -> steps, in the order and the files that they need; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate import (
    adding,
    columns,
    computed,
    constraints,
    domains,
    indexes,
    partitioning,
    renames,
    tables,
    things,
)
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.selection import is_made_anew, labels_after
from async_migrations.schema.generate.source import flat, quoted
from async_migrations.schema.generate.step import Stage, Step

_ESCAPED = re.compile(r"\\[nrt]")
_QUOTES = re.compile("['\"]+")

Plan = Callable[[Context, Any], Iterator[Step]]

PLANS: Mapping[type[d.Difference], Plan] = {
    d.SchemaRenamed: renames.renamed,
    d.TypeRenamed: renames.renamed,
    d.TableRenamed: renames.renamed,
    d.ColumnRenamed: renames.renamed,
    d.EnumLabelRenamed: renames.renamed,
    d.SequenceRenamed: renames.renamed,
    d.ConstraintRenamed: renames.renamed,
    d.IndexRenamed: renames.renamed,
    d.CommentChanged: renames.comment,
    d.SchemaAdded: things.schema_added,
    d.EnumAdded: things.enum_added,
    d.DomainChanged: domains.changed,
    d.SequenceAdded: things.sequence_added,
    d.SequenceChanged: things.sequence_changed,
    d.ParentsChanged: tables.parents_changed,
    d.PartitioningChanged: partitioning.changed,
    d.PartitionBoundChanged: tables.bound_changed,
    d.AccessMethodChanged: tables.method_changed,
    d.TablespaceChanged: tables.tablespace_changed,
    d.TableOptionsChanged: tables.options_changed,
    d.ColumnAdded: adding.added,
    d.ColumnRemoved: columns.removed,
    d.ColumnTypeChanged: columns.retyped,
    d.CollationChanged: columns.retyped,
    d.ComputedChanged: computed.changed,
    d.IdentityChanged: columns.identified,
    d.DefaultChanged: columns.defaulted,
    d.NullabilityChanged: columns.nullable,
    d.ConstraintAdded: constraints.added,
    d.ConstraintRemoved: constraints.removed,
    d.ConstraintChanged: constraints.changed,
    d.ConstraintUnvalidated: constraints.unvalidated,
    d.DeferrabilityChanged: constraints.deferred,
    d.IndexAdded: indexes.added,
    d.IndexRemoved: indexes.removed,
    d.IndexChanged: indexes.changed,
}
"""How each difference is followed that needs nothing but itself and the context."""

_LAST: Mapping[type[d.Difference], Callable[[Context, Any, Stage], Iterator[Step]]] = {
    d.EnumRemoved: things.enum_removed,
    d.SequenceRemoved: things.sequence_removed,
}


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The steps of one file, in order."""

    stage: Stage
    steps: tuple[Step, ...]


def plan(context: Context) -> tuple[FilePlan, ...]:
    """Return the files that are needed, each with its steps in order.

    Args:
        context: what is followed.
    """
    steps = [*_simple(context), *domains.added(context), *tables.added(context), *tables.removed(context)]
    steps += [*tables.persistence(context), *constraints.in_the_way(context)]
    last = Stage.DROP if any(step.stage is Stage.DROP for step in steps) else Stage.MAIN
    for it in context.operations:
        if isinstance(it, d.EnumLabelsChanged):
            steps += _labels(context, it, steps)
        elif (follow := _LAST.get(type(it))) is not None:
            steps += follow(context, it, last)
    steps += domains.removed(context, last)
    ordered = sorted(_known(context, steps), key=lambda step: (step.stage, step.phase))
    stages = sorted({step.stage for step in ordered})
    return tuple(FilePlan(stage, tuple(step for step in ordered if step.stage is stage)) for stage in stages)


def _simple(context: Context) -> Iterator[Step]:
    for it in context.operations:
        follow = PLANS.get(type(it))
        if follow is not None and not any(along(context, it) for along in _ALONG):
            yield from follow(context, it)


def _comes_with_its_column(context: Context, it: d.Difference) -> bool:
    """Whether a column is made anew anyway, with what this difference wants."""
    if isinstance(it, d.ComputedChanged) or not isinstance(it, d.OfColumn | d.CommentChanged):
        return False
    return (it.table, it.column) in context.remade


def _comes_from_a_parent(context: Context, it: d.Difference) -> bool:
    """Whether a parent's column changes in the same way, and takes that of its children along."""
    if not isinstance(it, d.ColumnTypeChanged | d.CollationChanged | d.NullabilityChanged):
        return False
    parents = context.tables[it.table].parents
    return any(
        type(other) is type(it) and other.table in parents and other.column == it.column
        for other in context.of(type(it))
    )


def _comes_with_its_table(context: Context, it: d.Difference) -> bool:
    """Whether a table is made anew anyway, with what this difference wants."""
    if not isinstance(it, d.OfTable) or it.verb is d.Verb.RENAME or isinstance(it, d.PartitioningChanged):
        return False
    return any(it.table == each.table for each in context.of(d.PartitioningChanged))


_ALONG = (_comes_with_its_column, _comes_with_its_table, _comes_from_a_parent)


def _labels(context: Context, it: d.EnumLabelsChanged, steps: list[Step]) -> Iterator[Step]:
    after = labels_after(it, allow_destructive=context.allow_destructive)
    words = [_bare(quoted(label)) for label in after if label not in it.before]
    used = any(_says(_bare(flat(call)), word) for step in steps for call in step.up for word in words)
    if used and not is_made_anew(it.before, after):
        # The labels' own file comes before the one that renames.
        it = renames.under_old_names(context, it)
        after = labels_after(it, allow_destructive=context.allow_destructive)
    yield from things.labels_changed(context, it, Stage.LABELS if used else Stage.MAIN, after)


def _bare(source: str) -> str:
    """Return source without the quotes and backslashes with which Python, SQL and arrays each write a label."""
    return _QUOTES.sub(" ", _ESCAPED.sub(" ", source).replace("\\", "")).strip()


def _says(source: str, word: str) -> bool:
    """Whether a label stands in source, as a literal or inside one.

    A word that is something else counts too: one file too many does no harm, a label that is used too early fails.
    """
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", source) is not None


def _known(context: Context, steps: list[Step]) -> Iterator[Step]:
    """Forget how to go back where that would need the server's words under names that are no longer there."""
    old = {each.before.name if hasattr(each.before, "name") else each.before for each in _renamed(context)}
    for step in steps:
        stale = step.down and any(name in text for name in old for text in step.told)
        yield replace(step, down=None, reason="what was there is known under its old names only") if stale else step


def _renamed(context: Context) -> Iterator[Any]:
    for kind in (
        d.ColumnRenamed,
        d.TableRenamed,
        d.TypeRenamed,
        d.EnumLabelRenamed,
        d.SchemaRenamed,
        d.SequenceRenamed,
    ):
        yield from context.of(kind)
