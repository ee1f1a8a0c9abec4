"""A table with everything that belongs to it, as plain values: how PostgreSQL prints it, names with their schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from async_migrations.schema.names import Name, is_named, parse_name, shown

__all__ = [
    "Column",
    "Computed",
    "Constraint",
    "ConstraintKind",
    "Identity",
    "Index",
    "IndexKey",
    "Name",
    "SequenceOptions",
    "Table",
    "TableKind",
    "parse_name",
    "shown",
]


class TableKind(StrEnum):
    """What kind of table it is."""

    TABLE = "table"
    PARTITIONED = "partitioned table"
    PARTITION = "partition"
    FOREIGN = "foreign table"


class ConstraintKind(StrEnum):
    """What kind of constraint it is."""

    PRIMARY_KEY = "primary key"
    UNIQUE = "unique constraint"
    CHECK = "check"
    FOREIGN_KEY = "foreign key"
    EXCLUDE = "exclusion constraint"


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """How a sequence counts: of its own, of a serial column or of an identity."""

    type: str = "bigint"
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 9223372036854775807
    cache: int = 1
    cycle: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """`GENERATED … AS IDENTITY`.

    Attributes:
        always: `ALWAYS`; otherwise `BY DEFAULT`.
        options: how its sequence counts.
        sequence: its sequence, which PostgreSQL named.
    """

    always: bool
    options: SequenceOptions
    sequence: Name


@dataclass(frozen=True, slots=True)
class Computed:
    """`GENERATED ALWAYS AS (expression)`.

    Attributes:
        expression: as `pg_get_expr` prints it.
        stored: `STORED`; otherwise `VIRTUAL`.
    """

    expression: str
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: its name.
        type: as `format_type` prints it, with the schema before a type that is not PostgreSQL's own.
        position: its place in the table, from 1; two columns are equal at different places.
        nullable: no NOT NULL.
        default: as `pg_get_expr` prints it; None for a computed or identity column too.
        identity: what makes it an identity column.
        computed: what it is computed from.
        collation: where it is not that of the type: `"schema"."name"`, as SQL.
        comment: its comment.
        type_name: the enum, domain or other type that is not PostgreSQL's own; of an array, that of its elements.
        sequence: of a serial column, the sequence that belongs to it and fills it.
        local: declared here; False when it only comes from a parent.
        base: of a domain, or of an array of one, the type that is under it in the end.
        announced: the metadata says that the server fills it and not how, `FetchedValue()`; always False in a live
            snapshot.
    """

    name: str
    type: str
    position: int = field(default=0, compare=False)
    nullable: bool = True
    default: str | None = None
    identity: Identity | None = None
    computed: Computed | None = None
    collation: str | None = None
    comment: str | None = None
    type_name: Name | None = None
    sequence: Name | None = None
    local: bool = True
    base: str | None = field(default=None, compare=False)
    announced: bool = field(default=False, compare=False)

    @property
    def stored(self) -> str:
        """What the values are, whatever domain they are of."""
        return self.base or self.type


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of a table.

    Attributes:
        name: its name.
        kind: what it is.
        definition: as `pg_get_constraintdef` prints it, without NOT VALID.
        columns: of the table, in the constraint's order; empty for a check that reads none.
        target: the table that a foreign key refers to.
        target_columns: its columns.
        deferrable: DEFERRABLE.
        deferred: INITIALLY DEFERRED.
        validated: False when it is NOT VALID.
        comment: its comment.
        implicit: PostgreSQL chose the name, because the metadata gives none; always False in a live snapshot.
    """

    name: str
    kind: ConstraintKind
    definition: str
    columns: tuple[str, ...] = ()
    target: Name | None = None
    target_columns: tuple[str, ...] = ()
    deferrable: bool = False
    deferred: bool = False
    validated: bool = True
    comment: str | None = None
    implicit: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class IndexKey:
    """One key of an index.

    Attributes:
        text: a column's name as SQL, or an expression, as `pg_get_indexdef` prints it.
        column: the column's name, when it is one.
        opclass: the operator class as SQL, where it is not the type's default.
        collation: the collation as SQL; None for that of the database.
        descending: DESC.
        nulls_first: NULLS FIRST.
    """

    text: str
    column: str | None = None
    opclass: str | None = None
    collation: str | None = None
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no constraint owns; it lives in its table's schema.

    Attributes:
        name: its name.
        body: from the access method to the end (`btree (lower(a) DESC) INCLUDE (b) WHERE (c > 0)`), as
            `pg_get_indexdef` prints it: everything but UNIQUE, the name and the table.
        unique: UNIQUE.
        valid: False for what a dead concurrent build left.
        method: the access method.
        keys: what it is sorted by.
        include: columns that it only carries.
        nulls_not_distinct: NULLS NOT DISTINCT.
        where: the predicate of a partial index.
        options: storage parameters, `name=value`.
        tablespace: None for the database's own.
        comment: its comment; the metadata cannot give one, so it is never compared.
        implicit: SQLAlchemy or PostgreSQL made the name up; always False in a live snapshot.
    """

    name: str
    body: str
    unique: bool = False
    valid: bool = True
    method: str = "btree"
    keys: tuple[IndexKey, ...] = ()
    include: tuple[str, ...] = ()
    nulls_not_distinct: bool = False
    where: str | None = None
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    comment: str | None = field(default=None, compare=False)
    implicit: bool = field(default=False, compare=False)

    def leans_on(self, column: str) -> bool:
        """Whether it reads a column; in an expression, anything that may be its name counts."""
        if column in self.include or any(key.column == column for key in self.keys):
            return True
        texts = [key.text for key in self.keys if key.column is None]
        return any(is_named(column, text) for text in (*texts, self.where or ""))

    def definition(self, table: Name) -> str:
        """Return the statement that makes it on `table`."""
        return f"CREATE {'UNIQUE ' if self.unique else ''}INDEX {shown(self.name)} ON {table} USING {self.body}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with everything that belongs to it.

    Attributes:
        name: its name.
        kind: plain, partitioned, partition or foreign.
        columns: in the table's order.
        constraints: by name; those that only come from a parent are left out.
        indexes: by name; those of constraints, and those that come from a parent's, are left out.
        options: storage parameters, `name=value`, sorted.
        tablespace: None for the database's own.
        method: the access method (`heap`).
        unlogged: UNLOGGED.
        parents: what it inherits from; of a partition, the partitioned table.
        partition_key: `RANGE (a)`.
        partition_bound: `FOR VALUES FROM (1) TO (2)`.
        comment: its comment.
        extension: the extension that it belongs to.
    """

    name: Name
    kind: TableKind = TableKind.TABLE
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    method: str | None = "heap"
    unlogged: bool = False
    parents: tuple[Name, ...] = ()
    partition_key: str | None = None
    partition_bound: str | None = None
    comment: str | None = None
    extension: str | None = None
