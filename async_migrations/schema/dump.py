"""A snapshot as text: stable, so that a pull request shows what a migration changes; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from async_migrations.schema.names import Name, one_line, shown
from async_migrations.schema.snapshot import Domain, EnumType, Sequence, Snapshot
from async_migrations.schema.table import (
    Column,
    Constraint,
    ConstraintKind,
    Identity,
    Index,
    SequenceOptions,
    Table,
    TableKind,
)
from async_migrations.sql import quote_literal

T = TypeVar("T", EnumType, Domain, Sequence, Table)
Wanted = Callable[[str, Name], bool]
"""Told the kind ("table", "enum", "domain", "sequence") and the name, says whether a thing is shown."""

_KINDS = list(ConstraintKind)


def sections(snapshot: Snapshot, wanted: Wanted = lambda _kind, _name: True) -> Iterator[list[str]]:
    """Yield the lines of each thing: enums, domains, sequences, tables, each kind sorted by name.

    Args:
        snapshot: the schema.
        wanted: what is shown. Members of extensions never are.
    """
    for enum in _own("enum", snapshot.enums, wanted):
        yield [f"enum {enum.name}: {', '.join(map(quote_literal, enum.labels))}"]
    for domain in _own("domain", snapshot.domains, wanted):
        yield list(_domain(domain))
    for sequence in _own("sequence", snapshot.sequences, wanted):
        yield [_sequence(sequence)]
    for table in _own("table", snapshot.tables, wanted):
        yield list(table_lines(table))


def text(snapshot: Snapshot, wanted: Wanted = lambda _kind, _name: True) -> str:
    """Return all sections, with an empty line between them."""
    return "\n\n".join("\n".join(lines) for lines in sections(snapshot, wanted)) + "\n"


def facts(snapshot: Snapshot, wanted: Wanted = lambda _kind, _name: True) -> dict[str, list[Any]]:
    """Return the same for programs: enums, domains, sequences and tables with all that is known of them."""
    return {
        "enums": [_plain(each) for each in _own("enum", snapshot.enums, wanted)],
        "domains": [_plain(each) for each in _own("domain", snapshot.domains, wanted)],
        "sequences": [_plain(each) for each in _own("sequence", snapshot.sequences, wanted)],
        "tables": [_plain(each) for each in _own("table", snapshot.tables, wanted)],
    }


def table_lines(table: Table) -> Iterator[str]:
    """Yield a head, and an indented line for each part of a table."""
    unlogged = "unlogged " if table.unlogged else ""
    yield f"{unlogged}{table.kind.value} {table.name}"
    yield from (f"  {line}" for line in _attributes(table))
    width = max((len(shown(each.name)) for each in table.columns), default=0)
    types = max((len(each.type) for each in table.columns), default=0)
    for column in table.columns:
        rest = " ".join(_column(column))
        yield f"  {shown(column.name):<{width}}  {column.type:<{types}}  {rest}".rstrip()
    yield from (f"  {_constraint(each)}" for each in _sorted(table.constraints))
    yield from (f"  {_index(each)}" for each in sorted(table.indexes, key=lambda each: each.name))


def _own(kind: str, things: Iterable[T], wanted: Wanted) -> list[T]:
    found = [each for each in things if each.extension is None and wanted(kind, each.name)]
    return sorted(found, key=lambda each: each.name)


def _plain(value: object) -> Any:
    if isinstance(value, Name):
        return str(value)
    if is_dataclass(value):
        # What is told of one side only, or differs from server to server, is no part of the schema.
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.compare}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _domain(domain: Domain) -> Iterator[str]:
    parts = [f"domain {domain.name}: {domain.type}"]
    parts += [f"collate {domain.collation}"] if domain.collation else []
    parts += [] if domain.nullable else ["not null"]
    parts += [f"default {one_line(domain.default)}"] if domain.default is not None else []
    yield " ".join(parts)
    for check in sorted(domain.checks, key=lambda each: each.name):
        yield f"  {shown(check.name)}: {one_line(check.definition)}{'' if check.validated else ' NOT VALID'}"


def _sequence(sequence: Sequence) -> str:
    owner = f" owned by {sequence.owner[0]}.{shown(sequence.owner[1])}" if sequence.owner else ""
    unlogged = "unlogged " if sequence.unlogged else ""
    return f"{unlogged}sequence {sequence.name}: {_counting(sequence.options)}{owner}"


def _counting(options: SequenceOptions) -> str:
    cycle = " cycle" if options.cycle else ""
    return (
        f"{options.type} from {options.start} by {options.increment} "
        f"in {options.minimum}..{options.maximum} cache {options.cache}{cycle}"
    )


def _attributes(table: Table) -> Iterator[str]:
    if table.parents:
        verb = "partition of" if table.kind is TableKind.PARTITION else "inherits"
        yield f"{verb} {', '.join(map(str, table.parents))}"
    if table.partition_bound:
        yield f"{one_line(table.partition_bound)}"
    if table.partition_key:
        yield f"partition by {table.partition_key}"
    if table.options:
        yield f"with {', '.join(table.options)}"
    if table.tablespace:
        yield f"tablespace {shown(table.tablespace)}"
    if table.method not in {None, "heap"}:
        yield f"using {table.method}"
    if table.comment is not None:
        yield f"comment {quote_literal(table.comment)}"


def _column(column: Column) -> Iterator[str]:
    if column.collation:
        yield f"collate {column.collation}"
    if not column.nullable:
        yield "not null"
    if column.default is not None:
        yield f"default {one_line(column.default)}"
    if column.identity is not None:
        yield _identity(column.identity)
    if column.computed is not None:
        kind = "stored" if column.computed.stored else "virtual"
        yield f"computed {kind} {one_line(column.computed.expression)}"
    if column.comment is not None:
        yield f"comment {quote_literal(column.comment)}"


def _identity(identity: Identity) -> str:
    default = SequenceOptions(type=identity.options.type, maximum=identity.options.maximum)
    how = "" if identity.options == default else f" ({_counting(identity.options)})"
    return f"identity {'always' if identity.always else 'by default'}{how}"


def _sorted(constraints: Iterable[Constraint]) -> list[Constraint]:
    return sorted(constraints, key=lambda each: (_KINDS.index(each.kind), each.name))


def _constraint(constraint: Constraint) -> str:
    valid = "" if constraint.validated else " NOT VALID"
    said = "" if constraint.comment is None else f" comment {quote_literal(constraint.comment)}"
    return f"constraint {shown(constraint.name)}: {one_line(constraint.definition)}{valid}{said}"


def _index(index: Index) -> str:
    unique = "unique " if index.unique else ""
    valid = "" if index.valid else " INVALID"
    return f"{unique}index {shown(index.name)}: {one_line(index.body)}{valid}"
