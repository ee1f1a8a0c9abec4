"""Two snapshots -> differences, in an order that can be followed; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from async_migrations.schema import difference as d
from async_migrations.schema.collector import held_back
from async_migrations.schema.forms import Forms
from async_migrations.schema.inside import compare_table
from async_migrations.schema.renaming import Renaming, differences, renamed
from async_migrations.schema.scope import Scope, removable
from async_migrations.schema.snapshot import Domain, EnumType, Sequence, Snapshot
from async_migrations.schema.table import Name, Table, TableKind

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
        sides = _Sides(after, wanted, scope, forms)
        found += _schemas(sides)
        found += _tables(sides, notes)
        found += _enums(sides)
        found += _domains(sides)
        found += _sequences(sides)
    # A stable sort: renames keep the order in which one frees the name of another.
    ordered = sorted(found, key=lambda each: (_RANK[type(each)], "" if each.verb is d.Verb.RENAME else str(each.group)))
    return Compared(tuple(ordered), tuple(notes))


class _Sides:
    """Both sides, and what is known of them by name."""

    def __init__(self, live: Snapshot, wanted: Snapshot, scope: Scope, forms: Forms) -> None:
        self.live, self.wanted, self.scope, self.forms = live, wanted, scope, forms
        self.here: Mapping[Name, Table] = {each.name: each for each in live.tables}
        self.there: Mapping[Name, Table] = {
            each.name: each for each in wanted.tables if scope.holds("table", each.name)
        }
        self.removed = removable(live, self.there, scope)
        gone = {table.name for table in self.removed}
        self.kept = tuple(each for each in live.tables if each.name not in gone and each.name not in self.there)


def _schemas(sides: _Sides) -> Iterator[d.Difference]:
    wanted = sides.wanted
    things: list[EnumType | Domain | Sequence] = [*wanted.enums, *wanted.domains, *wanted.sequences]
    needed = {name.schema for name in (*sides.there, *(each.name for each in things))}
    for schema in sorted((needed & sides.scope.schemas) - set(sides.live.schemas)):
        yield d.SchemaAdded(schema)


def _tables(sides: _Sides, notes: list[str]) -> Iterator[d.Difference]:
    others = {each.name: each for each in sides.live.others}
    for name, wanted in sides.there.items():
        live = sides.here.get(name)
        if live is None and name in others:
            notes.append(f"{name} is a {others[name].kind} in the database and a table in the metadata: left alone.")
        elif live is None:
            yield d.TableAdded(wanted)
        elif live.kind is not wanted.kind and live.kind in {TableKind.FOREIGN, TableKind.PARTITION}:
            notes.append(
                f"{name} is a {live.kind.value} in the database and a {wanted.kind.value} in the metadata: left alone."
            )
        elif live.extension is not None:
            notes.append(f"{name} belongs to the extension {live.extension}: left alone.")
        elif live != wanted:
            yield from compare_table(live, wanted, sides.forms)
    for table in sides.removed:
        yield d.TableRemoved(table)


def _enums(sides: _Sides) -> Iterator[d.Difference]:
    here = {each.name: each for each in sides.live.enums}
    there = {each.name: each for each in sides.wanted.enums if sides.scope.holds("enum", each.name)}
    for name, enum in there.items():
        if name not in here:
            yield d.EnumAdded(name, enum)
        elif here[name].labels != enum.labels and here[name].extension is None:
            yield d.EnumLabelsChanged(name, here[name].labels, enum.labels)
    for enum in sides.live.enums:
        if enum.name not in there and sides.scope.holds("enum", enum.name) and _is_free(enum, sides):
            yield d.EnumRemoved(enum.name, enum)


def _is_free(thing: EnumType | Domain, sides: _Sides) -> bool:
    """Whether nothing leans on a type but what goes, or is compared and wants another type."""
    if thing.extension is not None:
        return False
    going = {f"type {each.name}" for each in sides.live.domains} - {
        f"type {each.name}" for each in sides.wanted.domains
    }
    held = set(thing.held) - going
    return not held and all(column.type_name != thing.name for table in sides.kept for column in table.columns)


def _domains(sides: _Sides) -> Iterator[d.Difference]:
    here = {each.name: each for each in sides.live.domains}
    there = {each.name: each for each in sides.wanted.domains if sides.scope.holds("domain", each.name)}
    for name, domain in there.items():
        if name not in here:
            yield d.DomainAdded(name, domain)
        elif here[name].extension is None:
            live = _in_wanted_words(here[name], domain, sides.forms)
            if live != domain:
                yield d.DomainChanged(name, live, domain)
    for domain in sides.live.domains:
        if domain.name not in there and sides.scope.holds("domain", domain.name) and _is_free(domain, sides):
            yield d.DomainRemoved(domain.name, domain)


def _in_wanted_words(live: Domain, wanted: Domain, forms: Forms) -> Domain:
    """Return the live domain with the wanted one's texts where they mean the same."""
    name = wanted.name

    def word(what: str, one: str | None, other: str | None, part: str = "") -> str | None:
        return other if forms.same((what, name, part), one, other) else one

    by_name = {check.name: check for check in wanted.checks}
    checks = []
    for check in live.checks:
        other = by_name.get(check.name) or next((each for each in wanted.checks if each.implicit), check)
        if forms.same(("domain check", name, other.name), check.definition, other.definition) and check.validated:
            check = other if other.implicit or other.name == check.name else check  # noqa: PLW2901 - in its words
        checks.append(check)
    return replace(
        live,
        type=word("domain", live.type, wanted.type) or live.type,
        default=word("domain default", live.default, wanted.default),
        checks=tuple(sorted(checks, key=lambda each: each.name)),
    )


def _sequences(sides: _Sides) -> Iterator[d.Difference]:
    holds = sides.scope.holds
    here = {each.name: each for each in sides.live.sequences}
    there = {each.name: each for each in sides.wanted.sequences if holds("sequence", each.name)}
    serials = dict(_serials(sides))
    for name, sequence in there.items():
        live = here.get(name)
        if live is None and name in serials:
            live = here[serials[name]]
            yield d.SequenceRenamed(name, live.name)
        if live is None:
            if not _comes_along(sequence, sides):
                yield d.SequenceAdded(name, sequence)
        elif (live.options, live.owner) != (sequence.options, sequence.owner) and live.extension is None:
            yield d.SequenceChanged(name, replace(live, name=name), sequence)
    for sequence in sides.live.sequences:
        known = sequence.name in there or sequence.name in serials.values()
        if not known and holds("sequence", sequence.name) and _is_removable(sequence, sides):
            yield d.SequenceRemoved(sequence.name, sequence)
    yield from _identities(sides)


def _serials(sides: _Sides) -> Iterator[tuple[Name, Name]]:
    """Yield wanted and live names of the sequences of columns that are serial on both sides under different names."""
    names = {each.name for each in sides.live.sequences}
    for wanted in sides.there.values():
        live = sides.here.get(wanted.name)
        mine = {column.name: column.sequence for column in live.columns if column.sequence} if live else {}
        for column in wanted.columns:
            sequence = mine.get(column.name)
            if column.sequence and sequence and column.sequence != sequence and column.sequence not in names:
                yield column.sequence, sequence


def _identities(sides: _Sides) -> Iterator[d.Difference]:
    for wanted in sides.there.values():
        live = sides.here.get(wanted.name)
        if live is None or live.columns == wanted.columns:
            continue
        mine = {column.name: column.identity for column in live.columns if column.identity}
        for column in wanted.columns:
            identity = mine.get(column.name)
            if column.identity and identity and column.identity.sequence != identity.sequence:
                yield d.SequenceRenamed(column.identity.sequence, identity.sequence)


def _comes_along(sequence: Sequence, sides: _Sides) -> bool:
    """Whether a serial column that is missing brings its sequence with it."""
    if sequence.owner is None:
        return False
    table, name = sequence.owner
    live, wanted = sides.here.get(table), sides.there.get(table)
    serial = wanted is not None and any(each.sequence == sequence.name for each in wanted.columns)
    return serial and (live is None or all(column.name != name for column in live.columns))


def _is_removable(sequence: Sequence, sides: _Sides) -> bool:
    if sequence.extension is not None or sequence.held:
        return False
    if sequence.owner is not None:
        table, name = sequence.owner
        wanted = sides.there.get(table)
        # With its table or column it goes by itself.
        return wanted is not None and any(column.name == name for column in wanted.columns)
    taken = f"'{sequence.name}'"
    return all(taken not in (column.default or "") for table in sides.kept for column in table.columns)
