"""Rows of the catalog -> enums, domains and sequences; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from async_migrations.schema.answers import Answers, Row, text, texts
from async_migrations.schema.snapshot import Domain, DomainCheck, EnumType, Other, Sequence
from async_migrations.schema.table import Name, SequenceOptions


def types_of(answers: Answers) -> tuple[tuple[EnumType, ...], tuple[Domain, ...], list[Other]]:
    """Return enums, domains and range types."""
    checks: dict[str, list[DomainCheck]] = defaultdict(list)
    for row in answers.constraints:
        definition = text(row[4]).removesuffix(" NOT VALID")
        checks[text(row[1])].append(DomainCheck(text(row[2]), definition, row[10] == "t"))
    enums: list[EnumType] = []
    domains: list[Domain] = []
    others: list[Other] = []
    for oid, schema, own, kind, labels, base, nullable, default, collation, extension, held in answers.types:
        name, holders = Name(text(schema), text(own)), tuple(texts(held))
        if kind == "e":
            enums.append(EnumType(name, tuple(texts(labels)), extension, holders))
        elif kind == "d":
            parts = (text(base), nullable == "t", default, collation, tuple(checks[text(oid)]), extension, holders)
            domains.append(Domain(name, *parts))
        else:
            others.append(Other("range type", name, extension))
    return tuple(enums), tuple(domains), others


def sequence_options(row: Row) -> SequenceOptions:
    """Return how the sequence of a row counts."""
    start, increment, minimum, maximum, cache = (int(text(each)) for each in row[3:8])
    return SequenceOptions(text(row[2]), start, increment, minimum, maximum, cache, row[8] == "t")


def sequences_of(
    answers: Answers, names: Mapping[str, Name], columns: Mapping[str, Mapping[int, str]]
) -> tuple[Sequence, ...]:
    """Return the sequences that are not an identity's.

    Args:
        answers: what the queries returned.
        names: of tables, by number.
        columns: of each table, by number.
    """
    return tuple(_sequence(row, names, columns) for row in answers.sequences if row[12] != "t")


def _sequence(row: Row, names: Mapping[str, Name], columns: Mapping[str, Mapping[int, str]]) -> Sequence:
    table = names.get(text(row[10]))
    owner = (table, columns[text(row[10])][int(text(row[11]))]) if table else None
    name = Name(text(row[0]), text(row[1]))
    return Sequence(name, sequence_options(row), owner, row[9] == "t", row[13], tuple(texts(row[14])))
