"""The metadata's own SQL for what its snapshot names: from the constructs, not from the server's print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Dialect, MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.elements import TextClause

from async_migrations import ddl
from async_migrations.online.texts import expression_text
from async_migrations.schema.generate.source import Node, call
from async_migrations.schema.generate.type_source import SQLALCHEMY
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Index, Name, Table

_BOUND = re.compile(r"(?<!:):\w|\\:")
_CONSTRAINTS: Mapping[ConstraintKind, type[sa.Constraint]] = {
    ConstraintKind.CHECK: sa.CheckConstraint,
    ConstraintKind.EXCLUDE: postgresql.ExcludeConstraint,
}


def sql_node(sql: str) -> Node:
    """Return the source of an expression: `sa.text`, where that changes nothing in it."""
    return call("sa.literal_column" if _BOUND.search(sql) else "sa.text", sql, imports=SQLALCHEMY)


def condition_node(sql: str) -> Any:
    """Return the source of a condition that may be given as a text."""
    return sql_node(sql) if _BOUND.search(sql) else sql


def dialect_of(version: int) -> Dialect:
    """Return a dialect that writes for a server without being connected to it."""
    made: Any = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    made.server_version_info = (version // 10_000, version % 10_000)
    return made  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Words:
    """Looks things up in a metadata by the names that its snapshot has.

    Attributes:
        metadata: what is wanted.
        wanted: the snapshot that it gives.
        dialect: which writes its SQL.
    """

    metadata: MetaData
    wanted: Snapshot
    dialect: Dialect
    _used: dict[Name, Mapping[str, sa.Constraint]] = field(default_factory=dict)

    @cached_property
    def tables(self) -> Mapping[Name, sa.Table]:
        """The metadata's tables."""
        default = self.wanted.default_schema or ""
        return {Name(each.schema or default, each.name): each for each in self.metadata.tables.values()}

    @cached_property
    def snapshots(self) -> Mapping[Name, Table]:
        """The same, as PostgreSQL has read them."""
        return {each.name: each for each in self.wanted.tables}

    def column(self, table: Name, name: str) -> sa.Column[Any] | None:
        """Return a column of the metadata."""
        declared = self.tables.get(table)
        return None if declared is None else next((each for each in declared.columns if each.name == name), None)

    def default(self, table: Name, column: Column) -> Any:
        """Return the source of a column's default; None without one."""
        if column.default is None:
            return None
        declared = self.column(table, column.name)
        clause = declared.server_default if declared is not None else None
        if not isinstance(clause, sa.DefaultClause):
            return sql_node(column.default)
        argument = clause.arg
        return argument if isinstance(argument, str) else sql_node(self.sql(argument))

    def computed(self, table: Name, column: Column) -> str:
        """Return the expression of a generated column."""
        declared = self.column(table, column.name)
        clause = declared.computed if declared is not None else None
        if clause is None:
            assert column.computed is not None  # noqa: S101 - asked only for generated columns
            return column.computed.expression
        return self._written(clause.sqltext)

    def condition(self, table: Name, constraint: Constraint) -> str:
        """Return the condition of a CHECK."""
        declared = self.constraint(table, constraint)
        return checked(constraint) if declared is None else ddl.conditions(self.dialect, declared)

    def constraint(self, table: Name, constraint: Constraint) -> Any:
        """Return a CHECK or EXCLUDE of the metadata; None where it cannot be told which one it is."""
        if table not in self._used:
            self._used[table] = dict(self._paired(table))
        return self._used[table].get(constraint.name)

    def index(self, table: Name, index: Index) -> sa.Index | None:
        """Return an index of the metadata."""
        declared = self.tables.get(table)
        found = declared.indexes if declared is not None else ()
        return next((each for each in found if ddl.plain_name(self.dialect, each) == index.name), None)

    def sql(self, clause: Any) -> str:
        """Write an expression."""
        return clause.text.replace("\\:", ":") if _is_plain(clause) else expression_text(clause, self.dialect)

    def _written(self, clause: ClauseElement) -> str:
        compiler: Any = self.dialect.ddl_compiler(self.dialect, None)  # type: ignore[arg-type]  # see ddl.applies
        return str(compiler.sql_compiler.process(clause, include_table=False, literal_binds=True))

    def _paired(self, table: Name) -> Iterator[tuple[str, sa.Constraint]]:
        """Pair constraints by name; those without one by their columns, if that leaves no choice."""
        declared, read = self.tables.get(table), self.snapshots.get(table)
        if declared is None or read is None:
            return
        # A CHECK inside a column is the column's own.
        everything = [*declared.constraints, *(each for column in declared.columns for each in column.constraints)]
        for kind, construct in _CONSTRAINTS.items():
            made = [each for each in everything if isinstance(each, construct) and ddl.applies(self.dialect, each)]
            named = {name: each for each in made if (name := ddl.plain_name(self.dialect, each))}
            yield from named.items()
            free = [each for each in made if each not in named.values()]
            waiting = [each for each in read.constraints if each.kind is kind and each.name not in named]
            if len(free) == len(waiting) == 1:
                yield waiting[0].name, free[0]


def checked(constraint: Constraint) -> str:
    """Return the condition of a CHECK as the server prints it."""
    inside = (
        constraint.definition.removeprefix("CHECK ").removesuffix(" NOT ENFORCED").removesuffix(" NO INHERIT").strip()
    )
    return inside[1:-1] if inside.startswith("(") and inside.endswith(")") else inside


def _is_plain(clause: Any) -> bool:
    return isinstance(clause, TextClause) and not clause._bindparams  # noqa: SLF001 - there is no public word for it
