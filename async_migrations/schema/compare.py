"""Two snapshots -> differences, in an order that can be followed; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from async_migrations.schema import difference as d
from async_migrations.schema.collector import held_back
from async_migrations.schema.forms import Forms
from async_migrations.schema.inside import compare_table
from async_migrations.schema.outside import compare_domains, compare_enums, compare_sequences
from async_migrations.schema.renaming import Renaming, differences, renamed
from async_migrations.schema.scope import Scope
from async_migrations.schema.sides import Sides
from async_migrations.schema.snapshot import Domain, EnumType, Sequence, Snapshot

ORDER: tuple[type[d.Difference], ...] = (
    d.SchemaRenamed,
    d.SchemaAdded,
    d.TypeRenamed,
    d.TableRenamed,
    d.ColumnRenamed,
    d.EnumLabelRenamed,
    d.SequenceRenamed,
    d.ConstraintRenamed,
    d.IndexRenamed,
    d.EnumAdded,
    d.EnumLabelsChanged,
    d.DomainAdded,
    d.DomainChanged,
    d.SequenceAdded,
    d.SequenceChanged,
    d.TableAdded,
    d.ConstraintRemoved,
    d.IndexRemoved,
    d.ParentsChanged,
    d.PartitioningChanged,
    d.PartitionBoundChanged,
    d.PersistenceChanged,
    d.AccessMethodChanged,
    d.TablespaceChanged,
    d.TableOptionsChanged,
    d.ColumnAdded,
    d.ComputedChanged,
    d.ColumnTypeChanged,
    d.CollationChanged,
    d.IdentityChanged,
    d.DefaultChanged,
    d.NullabilityChanged,
    d.ConstraintChanged,
    d.IndexChanged,
    d.ConstraintAdded,
    d.DeferrabilityChanged,
    d.ConstraintUnvalidated,
    d.IndexAdded,
    d.CommentChanged,
    d.ColumnRemoved,
    d.TableRemoved,
    d.SequenceRemoved,
    d.DomainRemoved,
    d.EnumRemoved,
)
"""In which order differences are listed: what others lean on first, removals last."""

_RANK = {kind: rank for rank, kind in enumerate(ORDER)}


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison saw: the differences in their order, and sentences on what it left alone."""

    differences: tuple[d.Difference, ...]
    notes: tuple[str, ...]


def compare(
    live: Snapshot,
    wanted: Snapshot,
    scope: Scope,
    renaming: Renaming | None = None,
    forms: Forms | None = None,
) -> Compared:
    """Compare a schema as it is with the one that the metadata gives.

    Args:
        live: the schema as it is.
        wanted: the schema that the metadata gives.
        scope: what is compared.
        renaming: what has another name on both sides.
        forms: texts that mean the same as those of `wanted`.
    """
    renaming, forms = renaming or Renaming(), forms or Forms()
    after = renamed(live, renaming)
    found = differences(renaming, live)
    notes: list[str] = []
    with held_back():
        sides = Sides(after, wanted, scope, forms)
        found += _schemas(sides)
        found += _tables(sides, notes)
        found += compare_enums(sides)
        found += compare_domains(sides)
        found += compare_sequences(sides)
    # A stable sort: renames keep the order in which one frees the name of another.
    ordered = sorted(found, key=lambda each: (_RANK[type(each)], "" if each.verb is d.Verb.RENAME else str(each.group)))
    return Compared(tuple(ordered), tuple(notes))


def _schemas(sides: Sides) -> Iterator[d.Difference]:
    wanted = sides.wanted
    things: list[EnumType | Domain | Sequence] = [*wanted.enums, *wanted.domains, *wanted.sequences]
    needed = {name.schema for name in (*sides.there, *(each.name for each in things))}
    for schema in sorted((needed & sides.scope.schemas) - set(sides.live.schemas)):
        yield d.SchemaAdded(schema)


def _tables(sides: Sides, notes: list[str]) -> Iterator[d.Difference]:
    for name, wanted in sides.there.items():
        live = sides.here.get(name)
        if note := sides.left_alone(wanted):
            notes.append(note)
        elif live is None:
            yield d.TableAdded(wanted)
        elif live != wanted:
            yield from compare_table(live, wanted, sides.forms)
    for table in sides.removed:
        yield d.TableRemoved(table)
