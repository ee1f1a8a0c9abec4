"""A snapshot as it is called after renames; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from async_migrations.schema import difference as d
from async_migrations.schema.hints import Hint
from async_migrations.schema.snapshot import Sequence as DatabaseSequence
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, Index, Name, Table


@dataclass(frozen=True, slots=True)
class Renaming:
    """Renames that can be followed, each in the order of its kind.

    Attributes:
        hints: their owners by their old names.
        done: hints that the live schema follows already.
    """

    hints: tuple[Hint, ...] = ()
    done: tuple[Hint, ...] = ()
    tables: Mapping[Name, Name] = field(default_factory=dict)
    types: Mapping[Name, Name] = field(default_factory=dict)
    sequences: Mapping[Name, Name] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> tuple[Hint, ...]:
        """Return the hints of one kind."""
        return tuple(hint for hint in self.hints if hint.kind == kind)

    def table(self, name: Name) -> Name:
        """Return how a table is called afterwards."""
        return self._placed(self.tables.get(name, name))

    def type(self, name: Name) -> Name:
        """Return how an enum, domain or other type is called afterwards."""
        return self._placed(self.types.get(name, name))

    def sequence(self, name: Name) -> Name:
        """Return how a sequence is called afterwards."""
        return self._placed(self.sequences.get(name, name))

    def within(self, kind: str, owner: Name, name: str) -> str:
        """Return how a column, constraint, index or label is called afterwards."""
        return next((each.new for each in self.of_kind(kind) if each.owner == owner and each.old == name), name)

    def _placed(self, name: Name) -> Name:
        return Name(self.schemas.get(name.schema, name.schema), name.name)


def renamed(snapshot: Snapshot, renaming: Renaming) -> Snapshot:
    """Return a snapshot with its things under their new names; texts that PostgreSQL printed stay as they are."""
    if not renaming.hints:
        return snapshot
    return replace(
        snapshot,
        default_schema=renaming.schemas.get(snapshot.default_schema or "", snapshot.default_schema),
        schemas=tuple(renaming.schemas.get(each, each) for each in snapshot.schemas),
        tables=tuple(_table(table, renaming) for table in snapshot.tables),
        enums=tuple(
            replace(
                enum,
                name=renaming.type(enum.name),
                labels=tuple(renaming.within("enum_value", enum.name, label) for label in enum.labels),
            )
            for enum in snapshot.enums
        ),
        domains=tuple(replace(domain, name=renaming.type(domain.name)) for domain in snapshot.domains),
        sequences=tuple(_sequence(each, renaming) for each in snapshot.sequences),
    )


def differences(renaming: Renaming, live: Snapshot) -> list[d.Difference]:
    """Return the renames as differences, in an order that can be followed."""
    enums = {enum.name for enum in live.enums}
    return [_difference(hint, renaming, enums) for hint in renaming.hints]


def _difference(hint: Hint, renaming: Renaming, enums: Iterable[Name]) -> d.Difference:
    placed = Name(renaming.schemas.get(hint.owner.schema, hint.owner.schema), hint.owner.name)
    table = renaming.table(hint.owner)
    made: Mapping[str, Callable[[], d.Difference]] = {
        "schema": lambda: d.SchemaRenamed(hint.old, hint.new),
        "type": lambda: d.TypeRenamed(renaming.type(hint.owner), placed, "enum" if hint.owner in enums else "domain"),
        "table": lambda: d.TableRenamed(placed, table),
        "column": lambda: d.ColumnRenamed(table, hint.old, hint.new),
        "enum_value": lambda: d.EnumLabelRenamed(renaming.type(hint.owner), hint.old, hint.new),
        "sequence": lambda: d.SequenceRenamed(renaming.sequence(hint.owner), placed),
        "constraint": lambda: d.ConstraintRenamed(table, hint.old, hint.new),
        "index": lambda: d.IndexRenamed(table, hint.old, hint.new),
    }
    return made[hint.kind]()


def _table(table: Table, renaming: Renaming) -> Table:
    old = table.name
    return replace(
        table,
        name=renaming.table(old),
        columns=tuple(_column(each, old, renaming) for each in table.columns),
        constraints=tuple(_constraint(each, old, renaming) for each in table.constraints),
        indexes=tuple(_index(each, old, renaming) for each in table.indexes),
        parents=tuple(renaming.table(each) for each in table.parents),
    )


def _column(column: Column, table: Name, renaming: Renaming) -> Column:
    identity = column.identity
    if identity is not None:
        moved = Name(renaming.table(table).schema, identity.sequence.name)
        identity = replace(identity, sequence=renaming.sequences.get(identity.sequence, moved))
    return replace(
        column,
        name=renaming.within("column", table, column.name),
        type_name=renaming.type(column.type_name) if column.type_name else None,
        sequence=renaming.sequence(column.sequence) if column.sequence else None,
        identity=identity,
    )


def _constraint(constraint: Constraint, table: Name, renaming: Renaming) -> Constraint:
    target = constraint.target
    there = tuple(renaming.within("column", target, each) for each in constraint.target_columns) if target else ()
    return replace(
        constraint,
        name=renaming.within("constraint", table, constraint.name),
        columns=tuple(renaming.within("column", table, each) for each in constraint.columns),
        target=renaming.table(target) if target else None,
        target_columns=there,
    )


def _index(index: Index, table: Name, renaming: Renaming) -> Index:
    keys = tuple(
        replace(key, column=renaming.within("column", table, key.column)) if key.column else key for key in index.keys
    )
    return replace(
        index,
        name=renaming.within("index", table, index.name),
        keys=keys,
        include=tuple(renaming.within("column", table, each) for each in index.include),
    )


def _sequence(sequence: DatabaseSequence, renaming: Renaming) -> DatabaseSequence:
    owner = sequence.owner
    if owner is not None:
        owner = renaming.table(owner[0]), renaming.within("column", *owner)
    return replace(sequence, name=renaming.sequence(sequence.name), owner=owner)
