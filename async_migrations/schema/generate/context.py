"""What the planning of each step has to know of all the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from async_migrations.schema import difference as d
from async_migrations.schema.generate.afterwards import afterwards
from async_migrations.schema.generate.words import Words
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Name, Table, TableKind

KEYS = frozenset({ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE})

_LONGEST = 63


@dataclass(frozen=True)
class Context:
    """All differences that are followed, and both sides.

    Attributes:
        operations: the differences, without those that are left out.
        live: the schema as it is, under its old names.
        wanted: the schema that the metadata gives.
        words: the metadata's own.
    """

    operations: tuple[d.Difference, ...]
    live: Snapshot
    wanted: Snapshot
    words: Words
    left_out: tuple[d.Difference, ...] = ()
    allow_destructive: bool = True

    def schema(self, name: Name) -> str | None:
        """Return what `schema=` has to say; None for the default one."""
        return None if name.schema == self.wanted.default_schema else name.schema

    def sql_name(self, name: Name) -> str:
        """Return a name for SQL, its schema only where it is not the default one."""
        preparer = self.words.dialect.identifier_preparer
        quoted = preparer.quote(name.name)
        return quoted if self.schema(name) is None else f"{preparer.quote(name.schema)}.{quoted}"

    def quote(self, name: str) -> str:
        """Return a column's name for SQL."""
        return str(self.words.dialect.identifier_preparer.quote(name))

    def free(self, schema: str, name: str) -> str:
        """Return a name that nothing has there, before or after: this one, or one that begins so."""
        number, found = 1, name
        while Name(schema, found) in self._relations:
            number += 1
            found = f"{name}{number}"
        return found

    @cached_property
    def _relations(self) -> frozenset[Name]:
        """All tables, indexes, sequences and views."""
        found: set[Name] = set()
        for side in (self.live, self.wanted):
            found.update(each.name for each in side.tables)
            found.update(each.name for each in side.sequences)
            found.update(each.name for each in side.others)
            for table in side.tables:
                parts = (*(each.name for each in table.indexes), *(each.name for each in table.constraints))
                found.update(Name(table.name.schema, each) for each in parts)
        return frozenset(found)

    @cached_property
    def standing(self) -> Snapshot:
        """The live schema, called as after the renames."""
        return afterwards(self.live, self.operations)

    @cached_property
    def tables(self) -> Mapping[Name, Table]:
        """The wanted tables."""
        return {each.name: each for each in self.wanted.tables}

    @cached_property
    def new_tables(self) -> frozenset[Name]:
        """Tables that these files make."""
        return frozenset(each.table.name for each in self.of(d.TableAdded))

    @cached_property
    def repartitioned(self) -> frozenset[Name]:
        """Tables that are made anew with their rows, and with the partitions that come."""
        return frozenset(each.table for each in self.of(d.PartitioningChanged))

    @cached_property
    def new_columns(self) -> frozenset[tuple[Name, str]]:
        """Columns that these files add to tables that exist."""
        return frozenset((each.table, each.column.name) for each in self.of(d.ColumnAdded))

    @cached_property
    def converted(self) -> frozenset[tuple[Name, str]]:
        """Columns that get other values, so that what leans on them is in the way."""
        kinds = (d.ColumnTypeChanged, d.CollationChanged, d.ComputedChanged)
        return frozenset((each.table, each.column) for kind in kinds for each in self.of(kind))

    @cached_property
    def remade(self) -> frozenset[tuple[Name, str]]:
        """Columns that are dropped and added again, with all that they are then."""
        retyped = {(each.table, each.column) for each in self.of(d.ColumnTypeChanged)}
        return frozenset(
            place
            for each in self.of(d.ComputedChanged)
            for place in [(each.table, each.column)]
            # An expression of another type stands in no column of the old one, nor the other way round.
            if is_remade(each) or (each.before and each.after and place in retyped)
        )

    @cached_property
    def dropped(self) -> frozenset[tuple[Name, str]]:
        """Columns that go."""
        return frozenset((each.table, each.column.name) for each in self.of(d.ColumnRemoved))

    @cached_property
    def new_key_columns(self) -> frozenset[tuple[Name, str]]:
        """Columns of primary keys that come, which make them NOT NULL."""
        added = ((each.table, each.constraint) for each in self.of(d.ConstraintAdded))
        changed = ((each.table, each.after) for each in self.of(d.ConstraintChanged))
        return _columns_of_keys((*added, *changed))

    @cached_property
    def old_key_columns(self) -> frozenset[tuple[Name, str]]:
        """Columns of primary keys that become others."""
        return _columns_of_keys((each.table, each.before) for each in self.of(d.ConstraintChanged))

    @cached_property
    def late_keys(self) -> frozenset[tuple[Name, frozenset[str]]]:
        """Keys that are there only after the concurrent file."""
        return frozenset(self._late_keys())

    @cached_property
    def makes_room(self) -> bool:
        """Whether tables that go have names, or parts with names, that something new takes."""
        new = {name for each in self.of(d.TableAdded) for name in _names(each.table)}
        new |= {Name(each.table.schema, each.index.name) for each in self.of(d.IndexAdded)}
        new |= {Name(each.table.schema, each.constraint.name) for each in self.of(d.ConstraintAdded)}
        new |= {each.name for kind in (d.SequenceAdded, d.EnumAdded) for each in self.of(kind)}
        return any({*_names(each.table)} & new for each in self.of(d.TableRemoved))

    @cached_property
    def identities(self) -> frozenset[tuple[Name, str]]:
        """Columns that become identity columns."""
        return frozenset((each.table, each.column) for each in self.of(d.IdentityChanged) if each.before is None)

    def column(self, table: Name, name: str) -> Column:
        """Return a wanted column."""
        return next(each for each in self.tables[table].columns if each.name == name)

    def is_partitioned(self, table: Name) -> bool:
        """Whether indexes and foreign keys of a table cannot be made beside running writes."""
        found = self.tables.get(table)
        return found is not None and found.kind is TableKind.PARTITIONED

    def is_late(self, key: Constraint) -> bool:
        """Whether a foreign key refers to a key that comes late."""
        return key.target is not None and (key.target, frozenset(key.target_columns)) in self.late_keys

    def of(self, kind: type[Any]) -> Iterator[Any]:
        """Return the differences of one kind."""
        return (each for each in self.operations if isinstance(each, kind))

    def references(self) -> Iterator[tuple[Name, Constraint]]:
        """Return the foreign keys that are on both sides, and stay as they are."""
        moved = {
            (each.table, (each.constraint if isinstance(each, d.ConstraintAdded) else each.after).name)
            for kind in (d.ConstraintAdded, d.ConstraintChanged, d.DeferrabilityChanged)
            for each in self.of(kind)
        }
        for table in self.wanted.tables:
            if table.name not in self.new_tables:
                for key in table.constraints:
                    if key.kind is ConstraintKind.FOREIGN_KEY and (table.name, key.name) not in moved:
                        yield table.name, key

    def strange_references(self) -> Iterator[tuple[Name, Constraint]]:
        """Return the foreign keys of tables that are there, stay, and are not of the metadata."""
        gone = {each.table.name for each in self.of(d.TableRemoved)}
        for table in self.standing.tables:
            if table.name not in gone and table.name not in self.tables:
                yield from ((table.name, key) for key in table.constraints if key.kind is ConstraintKind.FOREIGN_KEY)

    def _late_keys(self) -> Iterator[tuple[Name, frozenset[str]]]:
        for each in (*self.of(d.ConstraintAdded), *self.of(d.ConstraintChanged)):
            key = each.constraint if isinstance(each, d.ConstraintAdded) else each.after
            if key.kind in KEYS and not self.is_partitioned(each.table):
                yield each.table, frozenset(key.columns)
        for added in (*self.of(d.IndexAdded), *self.of(d.IndexChanged)):
            index = added.index if isinstance(added, d.IndexAdded) else added.after
            if index.unique and not self.is_partitioned(added.table):
                yield added.table, frozenset(each.column or "" for each in index.keys)


def shortened(name: str, room: int = 5) -> str:
    """Return a name that leaves room for an ending: PostgreSQL keeps 63 bytes."""
    return name.encode()[: _LONGEST - room].decode(errors="ignore")


def is_remade(it: d.ComputedChanged) -> bool:
    """Whether PostgreSQL can compute a column otherwise only as another column."""
    if it.before is None or it.after is None:
        return it.after is not None or not (it.before and it.before.stored)
    return it.before.stored != it.after.stored


def _columns_of_keys(keys: Iterable[tuple[Name, Constraint]]) -> frozenset[tuple[Name, str]]:
    primary = ((table, key) for table, key in keys if key.kind is ConstraintKind.PRIMARY_KEY)
    return frozenset((table, column) for table, key in primary for column in key.columns)


def _names(table: Table) -> Iterator[Name]:
    """Yield the names of a table, its parts and the sequences of its columns."""
    yield table.name
    yield from (Name(table.name.schema, each.name) for each in table.indexes)
    yield from (Name(table.name.schema, each.name) for each in table.constraints)
    for column in table.columns:
        sequence = column.sequence or (column.identity.sequence if column.identity else None)
        if sequence is not None:
            yield sequence
