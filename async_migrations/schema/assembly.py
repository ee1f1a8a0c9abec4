"""Rows of the catalog -> a snapshot; pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from async_migrations.schema.answers import Answers, Row, numbers, text, texts
from async_migrations.schema.named import sequence_options, sequences_of, types_of
from async_migrations.schema.snapshot import Extension, Other, Snapshot
from async_migrations.schema.table import (
    Column,
    Computed,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    IndexKey,
    Name,
    SequenceOptions,
    Table,
    TableKind,
    parse_name,
)
from async_migrations.sql import quote_identifier

_TABLE_KINDS = {"r": TableKind.TABLE, "p": TableKind.PARTITIONED, "f": TableKind.FOREIGN}
_CONSTRAINT_KINDS = {
    "p": ConstraintKind.PRIMARY_KEY,
    "u": ConstraintKind.UNIQUE,
    "c": ConstraintKind.CHECK,
    "f": ConstraintKind.FOREIGN_KEY,
    "x": ConstraintKind.EXCLUDE,
}
_NEXTVAL = ("nextval('", "'::regclass)")


@dataclass(slots=True)
class _Work:
    """What the parts look up while they are put together; keyed by what the catalog numbers."""

    names: dict[str, Name] = field(default_factory=dict)
    columns: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    opclasses: dict[str, str] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    owned: dict[tuple[str, int], tuple[Name, SequenceOptions]] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)


def assemble(answers: Answers, *, version: int, default_schema: str | None) -> Snapshot:
    """Put a snapshot together.

    Args:
        answers: what the queries returned.
        version: the server's.
        default_schema: where unqualified names are created.
    """
    work = _work(answers)
    enums, domains, ranges = types_of(answers)
    work.bases = {str(each.name): each.type for each in domains}
    domains = tuple(replace(each, base=_base(each.type, work)) for each in domains)
    relations = _tables(answers, work)
    extras = [row for row in answers.schemas if row[0] not in {"operator class", "order"}]
    others = [_other(row) for row in extras if row[0] not in {"schema", "extension"}] + ranges
    return Snapshot(
        version,
        default_schema,
        tuple(text(row[1]) for row in extras if row[0] == "schema"),
        relations,
        enums,
        domains,
        sequences_of(answers, work.names, work.columns),
        tuple(Extension(text(row[2]), text(row[1]), text(row[3])) for row in extras if row[0] == "extension"),
        tuple(sorted(others, key=lambda each: (each.name, each.kind))),
    )


def _work(answers: Answers) -> _Work:
    work = _Work()
    for row in answers.relations:
        work.names[text(row[0])] = Name(text(row[1]), text(row[2]))
    for row in answers.columns:
        work.columns[text(row[0])][int(text(row[2]))] = text(row[1])
    for kind, schema, name, oid, _ in answers.schemas:
        if kind == "operator class":
            work.opclasses[text(oid)] = text(name)
        elif kind == "order":
            work.collations[text(oid)] = f"{schema}.{name}"
    for row in answers.sequences:
        if row[10] is not None:
            sequence = Name(text(row[0]), text(row[1]))
            work.owned[row[10], int(text(row[11]))] = (sequence, sequence_options(row))
    return work


def _tables(answers: Answers, work: _Work) -> tuple[Table, ...]:
    columns: dict[str, list[Column]] = defaultdict(list)
    constraints: dict[str, list[Constraint]] = defaultdict(list)
    indexes: dict[str, list[Index]] = defaultdict(list)
    for row in answers.columns:
        columns[text(row[0])].append(_column(row, work))
    for row in answers.constraints:
        constraints[text(row[0])].append(_constraint(row, work))
    for row in answers.indexes:
        indexes[text(row[0])].append(_index(row, work))
    return tuple(
        _table(row, work, tuple(columns[oid]), tuple(constraints[oid]), tuple(indexes[oid]))
        for row in answers.relations
        for oid in [text(row[0])]
    )


def _table(
    row: Row,
    work: _Work,
    columns: tuple[Column, ...],
    constraints: tuple[Constraint, ...],
    indexes: tuple[Index, ...],
) -> Table:
    oid, _, _, kind, partition, unlogged, options, tablespace, method, parents, key, bound, comment, extension = row
    return Table(
        work.names[text(oid)],
        TableKind.PARTITION if partition == "t" and kind != "f" else _TABLE_KINDS[text(kind)],
        columns,
        constraints,
        indexes,
        tuple(sorted(texts(options))),
        tablespace,
        method,
        unlogged == "t",
        tuple(work.names[str(each)] for each in numbers(parents) if str(each) in work.names),
        key,
        bound,
        comment,
        extension,
    )


def _column(row: Row, work: _Work) -> Column:
    oid, name, position, type_, nullable, default, identity, generated, collation, schema, type_name, local, comment = (
        row
    )
    number = int(text(position))
    sequence = work.owned.get((text(oid), number))
    return Column(
        text(name),
        text(type_),
        number,
        nullable == "t",
        default if generated is None else None,
        Identity(identity == "a", sequence[1], sequence[0]) if identity and sequence else None,
        Computed(text(default), generated == "s") if generated else None,
        collation,
        comment,
        Name(schema, text(type_name)) if schema is not None else None,
        sequence[0] if sequence and identity is None and _takes_from(default, sequence[0]) else None,
        local == "t",
        _base(text(type_), work),
    )


def _base(type_: str, work: _Work) -> str | None:
    """Return what is under a domain; None for a type that is none."""
    element = type_.removesuffix("[]")
    if element not in work.bases:
        return None
    below = work.bases[element] + type_[len(element) :]
    return _base(below, work) or below


def _takes_from(default: str | None, sequence: Name) -> bool:
    before, after = _NEXTVAL
    if default is None or not (default.startswith(before) and default.endswith(after)):
        return False
    quoted = default[len(before) : -len(after)].replace("''", "'")
    return parse_name(quoted) == (sequence.schema, sequence.name)


def _constraint(row: Row, work: _Work) -> Constraint:
    oid, _, name, kind, definition, columns, target, target_columns, deferrable, deferred, validated, comment = row
    own, there = work.columns[text(oid)], work.columns[text(target)]
    return Constraint(
        text(name),
        _CONSTRAINT_KINDS[text(kind)],
        text(definition).removesuffix(" NOT VALID"),
        tuple(own[each] for each in numbers(columns) if each in own),
        work.names.get(text(target)),
        tuple(there[each] for each in numbers(target_columns) if each in there),
        deferrable == "t",
        deferred == "t",
        validated == "t",
        comment,
    )


def _index(row: Row, work: _Work) -> Index:
    _, name, unique, valid, method, definition, skip, *_, where, options, tablespace, distinct, comment = row
    printed = text(definition)
    # Names may hold anything, so the search begins behind them.
    body = printed[printed.index(" USING ", int(text(skip))) + 7 :]
    keys, include = _keys(row, work)
    return Index(
        text(name),
        body,
        unique == "t",
        valid == "t",
        text(method),
        keys,
        include,
        distinct == "t",
        where,
        tuple(texts(options)),
        tablespace,
        comment,
    )


def _keys(row: Row, work: _Work) -> tuple[tuple[IndexKey, ...], tuple[str, ...]]:
    printed = texts(row[7])
    names = [work.columns[text(row[0])].get(int(number)) for number in text(row[8]).split()]
    width = int(text(row[10]))
    sorting, opclasses, collations = (text(row[place]).split() for place in (9, 11, 12))
    keys = tuple(
        IndexKey(
            printed[place] if printed else quote_identifier(text(names[place])),
            names[place],
            work.opclasses.get(opclasses[place]),
            work.collations.get(collations[place]),
            bool(int(sorting[place]) & 1),
            bool(int(sorting[place]) & 2),
        )
        for place in range(width)
    )
    return keys, tuple(text(name) for name in names[width:])


def _other(row: Row) -> Other:
    return Other(text(row[0]), Name(text(row[1]), text(row[2])), row[4])
