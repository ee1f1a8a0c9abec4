"""Columns: added, dropped, renamed, altered."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Column, Computed, Constraint, ForeignKeyConstraint, Identity, PrimaryKeyConstraint
from sqlalchemy.types import to_instance

from async_migrations import ddl
from async_migrations.errors import NameConflictError
from async_migrations.online import looks
from async_migrations.online.adding import AddingBench
from async_migrations.online.alteration import Alteration, alterable
from async_migrations.online.bench import KEEP, Keep
from async_migrations.online.chosen_names import ChosenNamesBench
from async_migrations.online.constraint_definition import of_construct
from async_migrations.online.definition import IndexDefinition
from async_migrations.online.dependents import dependents_on
from async_migrations.online.generated import find_generated, find_readers
from async_migrations.online.indexes import IndexOperations
from async_migrations.online.leaning import leaning_on
from async_migrations.online.looks import ColumnFacts
from async_migrations.online.places import Place
from async_migrations.online.table_definition import (
    column_constraints,
    column_names,
    column_statements,
    column_table,
    sorted_indexes,
)
from async_migrations.online.texts import AnyType, Expression, expression_text, type_text
from async_migrations.online.twins import is_same_column, is_same_type, twin_of
from async_migrations.sql import qualified, quote_identifier

Default: TypeAlias = str | Expression | Computed | Identity | None
"""A text is a literal, as in `Column`; `text("now()")` and constructs are SQL; None is no default."""


class ColumnOperations(AddingBench, IndexOperations, ChosenNamesBench):
    """The columns of a table."""

    async def add_column(
        self, table: str, column: Column[Any], *, schema: str | None = None, if_not_exists: bool = False
    ) -> None:
        """Add a column, with its foreign keys, constraints, index and comment.

        Enums and domains that it needs and that are missing are created before it, unless they say
        `create_type=False`. A constant default fills the rows that exist without touching them. In a migration that
        is not transactional a foreign key is added NOT VALID and validated beside running writes, and `index=True`
        and `unique=True` are built concurrently.

        Args:
            table: the table's name, exactly.
            column: as in the models: `Column("n", Integer, nullable=False, server_default="0")`.
            schema: the table's schema; None looks along `search_path`.
            if_not_exists: whether a column of this name is left as it is, whatever it is.

        Raises:
            AuthorError: the column has no type.
            NameConflictError: outside a transaction: another column has this name; nothing was changed.
        """
        holder, own = column_table(table, column, schema)
        if if_not_exists and await looks.column_facts(self._wire, schema, table, own.name) is not None:
            self._say(logging.INFO, f"✓ Column {table}.{own.name} is there already, and was not looked at")
            return
        await self._create_types(holder)
        await self._do(
            f"Added column {table}.{own.name}",
            *column_statements(own, self._dialect),
            done=lambda: self._is_column(own),
            count="columns_added",
        )
        for constraint in column_constraints(holder, self._dialect):
            await self._add_brought(constraint, table, schema)
        for index in sorted_indexes(holder):
            name = ddl.plain_name(self._dialect, index) or ""
            await self.create_index(name, table, [own.name], unique=bool(index.unique), schema=schema)

    async def drop_column(
        self, table: str, column: str, *, schema: str | None = None, if_exists: bool = False, cascade: bool = False
    ) -> None:
        """Drop a column with its values, and the indexes and constraints that it is part of.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            schema: the table's schema; None looks along `search_path`.
            if_exists: whether a missing column is no error.
            cascade: whether what depends on it elsewhere (foreign keys, views) goes too.
        """

        async def is_gone() -> bool:
            return await looks.column_facts(self._wire, schema, table, column) is None

        lenient = "IF EXISTS " if if_exists else ""
        clause = f"DROP COLUMN {lenient}{quote_identifier(column)}{' CASCADE' if cascade else ''}"
        statement = f"ALTER TABLE {qualified(schema, table)} {clause}"
        await self._do(f"Dropped column {table}.{column}", statement, done=self._if_again(is_gone))

    async def rename_column(self, table: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a column; what refers to it follows, the name of its NOT NULL in PostgreSQL 18 as well.

        Args:
            table: the table's name, exactly.
            old: the column's name now, exactly.
            new: its name then.
            schema: the table's schema; None looks along `search_path`.
        """

        async def is_renamed() -> bool:
            there = [await looks.column_facts(self._wire, schema, table, name) is not None for name in (old, new)]
            return there == [False, True]

        clause = f"RENAME COLUMN {quote_identifier(old)} TO {quote_identifier(new)}"
        statement = f"ALTER TABLE {qualified(schema, table)} {clause}"
        await self._do(f"Renamed column {table}.{old} to {new}", statement, done=self._if_again(is_renamed))
        await self._follow(schema, (table, old), (table, new))

    async def alter_column(  # noqa: PLR0913 - each is an aspect of a column
        self,
        table: str,
        column: str,
        *,
        type_: AnyType | None = None,
        nullable: bool | None = None,
        server_default: Default | Keep = KEEP,
        comment: str | Keep | None = KEEP,
        new_column_name: str | None = None,
        postgresql_using: str | Expression | None = None,
        schema: str | None = None,
    ) -> None:
        """Alter what is given of a column, and leave the rest.

        A change of the type takes the default away before and sets it after, and with a `serial` column's type its
        sequence changes. Generated columns that read it are made again, at the table's end; views, rules, triggers and
        policies that lean on it are made again as they were. A type without COLLATE takes its own collation: for a
        column with another one pass `String(collation="...")`. Rows that have to be rewritten or looked at keep
        everybody waiting meanwhile; longer texts and unlimited ones need neither.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            type_: its type then.
            nullable: False as `set_not_null` does it, True as `drop_not_null`.
            server_default: a default (a text is a literal, `text()` is SQL); `Identity(...)` makes it an identity
                column, or sets the options of one that it is; `Computed(...)` gives a generated column another
                expression; None takes default, identity or expression away.
            comment: its comment; None takes it away.
            new_column_name: its name then.
            postgresql_using: SQL that makes the new value of the old one, where there is no cast on assignment:
                `"price::integer"`. Outside a transaction it is used once: a column of that type counts as converted.
            schema: the table's schema; None looks along `search_path`.

        Raises:
            AuthorError: it cannot be altered so, such as a plain column into a generated one.
        """
        facts = await looks.column_facts(self._wire, schema, table, column)
        if facts is None and new_column_name is not None and not self._transactional:
            await self.rename_column(table, column, new_column_name, schema=schema)
            return
        facts = alterable(facts, server_default, table, column)
        if type_ is not None:
            await self._create_types_of(to_instance(type_))
        proved = nullable is False and not self._transactional
        alteration = Alteration(
            table=qualified(schema, table),
            column=column,
            type=None if type_ is None else type_text(type_, self._dialect),
            using=None if postgresql_using is None else expression_text(postgresql_using, self._dialect),
            default=server_default,
            nullable=None if proved else nullable,
            comment=comment,
        )
        await self._do(f"Altered column {table}.{column}", *await self._alter(alteration, facts))
        if proved:
            await self.set_not_null(table, column, schema=schema)
        if new_column_name is not None:
            await self.rename_column(table, column, new_column_name, schema=schema)

    async def drop_not_null(self, table: str, column: str, *, schema: str | None = None) -> None:
        """Allow NULL in a column.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            schema: the table's schema; None looks along `search_path`.
        """
        statement = f"ALTER TABLE {qualified(schema, table)} ALTER COLUMN {quote_identifier(column)} DROP NOT NULL"
        await self._do(f"Let {table}.{column} be NULL", statement)

    async def _alter(self, alteration: Alteration, facts: ColumnFacts) -> list[str]:
        """Return the statements of an alteration; a conversion that an earlier try has made is not made twice."""
        itself = Place(facts.relation, facts.number)
        if alteration.needs_rebuild(facts):
            there = await find_generated(self._wire, itself)
            rebuilt = [there.gone, *alteration.rebuilt(there, self._dialect).again()]
            return await self._around([itself], [itself], rebuilt)
        wanted = None if self._transactional else alteration.type
        if wanted is not None and await is_same_type(self._wire, alteration.table, alteration.column, wanted):
            alteration = replace(alteration, type=None, using=None)
        statements = alteration.statements(facts, self._dialect)
        if alteration.type is None:
            return statements
        readers = await find_readers(self._wire, [itself])
        places = [Place(each.relation, each.number) for each in readers]
        gone = [each.gone for each in readers]
        again = [statement for each in readers for statement in each.again()]
        return await self._around(places, [itself, *places], [*gone, *statements, *again])

    async def _around(self, dropped: list[Place], changed: list[Place], statements: list[str]) -> list[str]:
        """Put around statements what takes away and makes again whatever leans on columns."""
        dependents, leaning = await dependents_on(self._wire, dropped), await leaning_on(self._wire, changed)
        return [*leaning.before, *dependents.before, *statements, *dependents.after, *leaning.after]

    async def _is_column(self, column: Column[Any]) -> bool:
        """Tell whether an earlier try has added the column.

        Raises:
            NameConflictError: it is another.
        """
        table = column.table
        where = qualified(table.schema, table.name)
        if await looks.column_facts(self._wire, table.schema, table.name, column.name) is None:
            return False
        (added, *_) = column_statements(column, self._dialect)
        name = self._dialect.identifier_preparer.format_table(table)
        statement = added.replace(name, twin_of(table.name), 1)
        if await is_same_column(self._wire, where, table.name, column.name, statement):
            return True
        raise NameConflictError(
            f"{table.name}.{column.name} is there and is another column than the one to add; it was left as it is. If "
            f"it is not needed, drop it first: await self.op.drop_column({table.name!r}, {column.name!r})."
        )

    async def _add_brought(self, constraint: Constraint, table: str, schema: str | None) -> None:
        """Add a constraint that an added column brings."""
        wanted = of_construct(constraint, table, schema, self._dialect)
        wanted = await self._named(wanted, column_names(constraint), constraint.__visit_name__)
        if isinstance(constraint, ForeignKeyConstraint):
            await self._add_in_two_steps(wanted, not_valid=False)
            return
        kind = "PRIMARY KEY" if isinstance(constraint, PrimaryKeyConstraint) else "UNIQUE"
        name = wanted.name or ""
        index = IndexDefinition(name=name, table=table, columns=column_names(constraint), schema=schema, unique=True)
        await self._add_by_index(wanted, index, kind, deferrable=None, initially=None)
