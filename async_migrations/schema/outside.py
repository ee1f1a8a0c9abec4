"""Differences of what stands outside tables: enums, domains and sequences; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from async_migrations.schema import difference as d
from async_migrations.schema.forms import Forms
from async_migrations.schema.sides import Sides
from async_migrations.schema.snapshot import Domain, EnumType, Sequence
from async_migrations.schema.table import Name


def compare_enums(sides: Sides) -> Iterator[d.Difference]:
    """Yield what differs in enums."""
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


def _is_free(thing: EnumType | Domain, sides: Sides) -> bool:
    """Whether nothing leans on a type but what goes, or is compared and wants another type."""
    if thing.extension is not None:
        return False
    going = {f"type {each.name}" for each in sides.live.domains} - {
        f"type {each.name}" for each in sides.wanted.domains
    }
    held = set(thing.held) - going
    return not held and all(column.type_name != thing.name for table in sides.kept for column in table.columns)


def compare_domains(sides: Sides) -> Iterator[d.Difference]:
    """Yield what differs in domains."""
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


def compare_sequences(sides: Sides) -> Iterator[d.Difference]:
    """Yield what differs in sequences."""
    holds = sides.scope.holds
    here = {each.name: each for each in sides.live.sequences}
    there = {each.name: each for each in sides.wanted.sequences if holds("sequence", each.name)}
    serials = dict(_serials(sides))
    for name, sequence in there.items():
        # What has the name may be another column's, which gives it up.
        live = None if name in serials.values() else here.get(name)
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


def _serials(sides: Sides) -> Iterator[tuple[Name, Name]]:
    """Yield wanted and live names of the sequences of columns that are serial on both sides under different names."""
    kept = {each.name for each in sides.live.sequences}
    for wanted in sides.there.values():
        live = sides.here.get(wanted.name)
        mine = {column.name: column.sequence for column in live.columns if column.sequence} if live else {}
        for column in wanted.columns:
            sequence = mine.get(column.name)
            if column.sequence and sequence and column.sequence != sequence and column.sequence not in kept:
                yield column.sequence, sequence


def _identities(sides: Sides) -> Iterator[d.Difference]:
    for wanted in sides.there.values():
        live = sides.here.get(wanted.name)
        if live is None or live.columns == wanted.columns:
            continue
        mine = {column.name: column.identity for column in live.columns if column.identity}
        for column in wanted.columns:
            identity = mine.get(column.name)
            if column.identity and identity and column.identity.sequence != identity.sequence:
                yield d.SequenceRenamed(column.identity.sequence, identity.sequence)


def _comes_along(sequence: Sequence, sides: Sides) -> bool:
    """Whether a serial column brings its sequence with it: one that is missing, or of a table that is left alone."""
    if sequence.owner is None:
        return False
    table, name = sequence.owner
    live, wanted = sides.here.get(table), sides.there.get(table)
    if wanted is None or sides.left_alone(wanted):
        return True
    serial = any(each.sequence == sequence.name for each in wanted.columns)
    return serial and (live is None or all(column.name != name for column in live.columns))


def _is_removable(sequence: Sequence, sides: Sides) -> bool:
    if sequence.extension is not None or sequence.held:
        return False
    if sequence.owner is not None:
        table, name = sequence.owner
        wanted = sides.there.get(table)
        # With its table or column it goes by itself.
        return wanted is not None and any(column.name == name and not column.announced for column in wanted.columns)
    taken = f"'{sequence.name}'"
    columns = [column for table in sides.kept for column in table.columns]
    return all(taken not in (column.default or "") for column in (*columns, *sides.announced))
