"""Rows of the catalog -> a snapshot; pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

from async_migrations.schema.answers import Row
from async_migrations.schema.snapshot import Domain, DomainCheck, EnumType, Extension, Other, Sequence, Snapshot
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

_TABLE_KINDS = {"r": TableKind.TABLE, "p": TableKind.PARTITIONED, "f": TableKind.FOREIGN}
_CONSTRAINT_KINDS = {
    "p": ConstraintKind.PRIMARY_KEY,
    "u": ConstraintKind.UNIQUE,
    "c": ConstraintKind.CHECK,
    "f": ConstraintKind.FOREIGN_KEY,
    "x": ConstraintKind.EXCLUDE,
}
_NEXTVAL = ("nextval('", "'::regclass)")


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows of each query, in the order of its columns."""

    schemas: Rows[Row]
    relations: Rows[Row]
    columns: Rows[Row]
    constraints: Rows[Row]
    indexes: Rows[Row]
    types: Rows[Row]
    sequences: Rows[Row]


@dataclass(slots=True)
class _Work:
    """What the parts look up while they are put together; keyed by what the catalog numbers."""

    names: dict[str, Name] = field(default_factory=dict)
    columns: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    opclasses: dict[str, str] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    owned: dict[tuple[str, int], tuple[Name, SequenceOptions]] = field(default_factory=dict)


def assemble(answers: Answers, *, version: int, default_schema: str | None) -> Snapshot:
    """Put a snapshot together.

    Args:
        answers: what the queries returned.
        version: the server's.
        default_schema: where unqualified names are created.
    """
    work = _work(answers)
    relations = _tables(answers, work)
    enums, domains, ranges = _types(answers)
    extras = [row for row in answers.schemas if row[0] not in {"operator class", "order"}]
    others = [_other(row) for row in extras if row[0] not in {"schema", "extension"}] + ranges
    return Snapshot(
        version,
        default_schema,
        tuple(_text(row[1]) for row in extras if row[0] == "schema"),
        relations,
        enums,
        domains,
        _sequences(answers, work),
        tuple(Extension(_text(row[2]), _text(row[1]), _text(row[3])) for row in extras if row[0] == "extension"),
        tuple(sorted(others, key=lambda each: (each.name, each.kind))),
    )


def _text(value: str | None) -> str:
    return value or ""


def _list(value: str | None) -> list[str]:
    return json.loads(value) or [] if value else []


def _numbers(value: str | None) -> list[int]:
    return json.loads(value) or [] if value else []


def _work(answers: Answers) -> _Work:
    work = _Work()
    for row in answers.relations:
        work.names[_text(row[0])] = Name(_text(row[1]), _text(row[2]))
    for row in answers.columns:
        work.columns[_text(row[0])][int(_text(row[2]))] = _text(row[1])
    for kind, schema, name, oid, _ in answers.schemas:
        if kind == "operator class":
            work.opclasses[_text(oid)] = _text(name)
        elif kind == "order":
            work.collations[_text(oid)] = f"{schema}.{name}"
    for row in answers.sequences:
        if row[10] is not None:
            sequence = Name(_text(row[0]), _text(row[1]))
            work.owned[row[10], int(_text(row[11]))] = (sequence, _options(row))
    return work


def _tables(answers: Answers, work: _Work) -> tuple[Table, ...]:
    columns: dict[str, list[Column]] = defaultdict(list)
    constraints: dict[str, list[Constraint]] = defaultdict(list)
    indexes: dict[str, list[Index]] = defaultdict(list)
    for row in answers.columns:
        columns[_text(row[0])].append(_column(row, work))
    for row in answers.constraints:
        constraints[_text(row[0])].append(_constraint(row, work))
    for row in answers.indexes:
        indexes[_text(row[0])].append(_index(row, work))
    return tuple(
        _table(row, work, tuple(columns[oid]), tuple(constraints[oid]), tuple(indexes[oid]))
        for row in answers.relations
        for oid in [_text(row[0])]
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
        work.names[_text(oid)],
        TableKind.PARTITION if partition == "t" and kind != "f" else _TABLE_KINDS[_text(kind)],
        columns,
        constraints,
        indexes,
        tuple(sorted(_list(options))),
        tablespace,
        method,
        unlogged == "t",
        tuple(work.names[str(each)] for each in _numbers(parents) if str(each) in work.names),
        key,
        bound,
        comment,
        extension,
    )


def _column(row: Row, work: _Work) -> Column:
    oid, name, position, type_, nullable, default, identity, generated, collation, schema, type_name, local, comment = (
        row
    )
    number = int(_text(position))
    sequence = work.owned.get((_text(oid), number))
    return Column(
        _text(name),
        _text(type_),
        number,
        nullable == "t",
        default if generated is None else None,
        Identity(identity == "a", sequence[1], sequence[0]) if identity and sequence else None,
        Computed(_text(default), generated == "s") if generated else None,
        collation,
        comment,
        Name(schema, _text(type_name)) if schema is not None else None,
        sequence[0] if sequence and identity is None and _takes_from(default, sequence[0]) else None,
        local == "t",
    )


def _takes_from(default: str | None, sequence: Name) -> bool:
    before, after = _NEXTVAL
    if default is None or not (default.startswith(before) and default.endswith(after)):
        return False
    quoted = default[len(before) : -len(after)].replace("''", "'")
    return parse_name(quoted) == (sequence.schema, sequence.name)


def _constraint(row: Row, work: _Work) -> Constraint:
    oid, _, name, kind, definition, columns, target, target_columns, deferrable, deferred, validated, comment = row
    own, there = work.columns[_text(oid)], work.columns[_text(target)]
    return Constraint(
        _text(name),
        _CONSTRAINT_KINDS[_text(kind)],
        _text(definition).removesuffix(" NOT VALID"),
        tuple(own[each] for each in _numbers(columns) if each in own),
        work.names.get(_text(target)),
        tuple(there[each] for each in _numbers(target_columns) if each in there),
        deferrable == "t",
        deferred == "t",
        validated == "t",
        comment,
    )


def _index(row: Row, work: _Work) -> Index:
    _, name, unique, valid, method, definition, skip, *_, where, options, tablespace, distinct, comment = row
    text = _text(definition)
    # Names may hold anything, so the search begins behind them.
    body = text[text.index(" USING ", int(_text(skip))) + 7 :]
    keys, include = _keys(row, work)
    return Index(
        _text(name),
        body,
        unique == "t",
        valid == "t",
        _text(method),
        keys,
        include,
        distinct == "t",
        where,
        tuple(_list(options)),
        tablespace,
        comment,
    )


def _keys(row: Row, work: _Work) -> tuple[tuple[IndexKey, ...], tuple[str, ...]]:
    texts = _list(row[7])
    names = [work.columns[_text(row[0])].get(int(number)) for number in _text(row[8]).split()]
    width = int(_text(row[10]))
    sorting, opclasses, collations = (_text(row[place]).split() for place in (9, 11, 12))
    keys = tuple(
        IndexKey(
            texts[place] if texts else _text(names[place]),
            names[place],
            work.opclasses.get(opclasses[place]),
            work.collations.get(collations[place]),
            bool(int(sorting[place]) & 1),
            bool(int(sorting[place]) & 2),
        )
        for place in range(width)
    )
    return keys, tuple(_text(name) for name in names[width:])


def _types(answers: Answers) -> tuple[tuple[EnumType, ...], tuple[Domain, ...], list[Other]]:
    checks: dict[str, list[DomainCheck]] = defaultdict(list)
    for row in answers.constraints:
        definition = _text(row[4]).removesuffix(" NOT VALID")
        checks[_text(row[1])].append(DomainCheck(_text(row[2]), definition, row[10] == "t"))
    enums: list[EnumType] = []
    domains: list[Domain] = []
    others: list[Other] = []
    for oid, schema, own, kind, labels, base, nullable, default, collation, extension, held in answers.types:
        name, holders = Name(_text(schema), _text(own)), tuple(_list(held))
        if kind == "e":
            enums.append(EnumType(name, tuple(_list(labels)), extension, holders))
        elif kind == "d":
            parts = (_text(base), nullable == "t", default, collation, tuple(checks[_text(oid)]), extension, holders)
            domains.append(Domain(name, *parts))
        else:
            others.append(Other("range type", name, extension))
    return tuple(enums), tuple(domains), others


def _options(row: Row) -> SequenceOptions:
    start, increment, minimum, maximum, cache = (int(_text(each)) for each in row[3:8])
    return SequenceOptions(_text(row[2]), start, increment, minimum, maximum, cache, row[8] == "t")


def _sequences(answers: Answers, work: _Work) -> tuple[Sequence, ...]:
    return tuple(_sequence(row, work) for row in answers.sequences if row[12] != "t")


def _sequence(row: Row, work: _Work) -> Sequence:
    table = work.names.get(_text(row[10]))
    owner = (table, work.columns[_text(row[10])][int(_text(row[11]))]) if table else None
    name = Name(_text(row[0]), _text(row[1]))
    return Sequence(name, _options(row), owner, row[9] == "t", row[13], tuple(_list(row[14])))


def _other(row: Row) -> Other:
    return Other(_text(row[0]), Name(_text(row[1]), _text(row[2])), row[4])
