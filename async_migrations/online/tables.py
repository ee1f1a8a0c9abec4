"""Tables: created, dropped, renamed."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Table
from sqlalchemy.schema import SchemaItem

from async_migrations.errors import NameConflictError
from async_migrations.online import looks
from async_migrations.online.chosen_names import ChosenNamesBench
from async_migrations.online.relations import RelationBench
from async_migrations.online.table_definition import table_of, table_statements, twin_statement
from async_migrations.online.twins import is_same_table
from async_migrations.sql import qualified


class TableOperations(RelationBench, ChosenNamesBench):
    """Tables as a whole."""

    async def create_table(
        self,
        name: str,
        *elements: SchemaItem,
        schema: str | None = None,
        comment: str | None = None,
        if_not_exists: bool = False,
        **options: Any,
    ) -> Table:
        """Create a table, with its constraints, indexes and comments.

        Enums and domains of the columns that are missing are created before it, unless they say `create_type=False`.

        Args:
            name: the table's name, exactly as the catalog is to hold it.
            elements: `Column`, `CheckConstraint`, `ForeignKeyConstraint`, `Index` and so on, as `Table` takes them. A
                foreign key may name tables that nobody has defined here: `ForeignKey("other.users.id")`.
            schema: the table's schema; None takes the first of `search_path`.
            comment: the table's comment.
            if_not_exists: whether a table of this name is left as it is, whatever it is.
            options: what else `Table` takes: `prefixes=["UNLOGGED"]`, `postgresql_partition_by`,
                `postgresql_inherits`, `postgresql_tablespace`, with SQLAlchemy 2.1 `postgresql_with`.

        Returns:
            The table, for `bulk_insert` and `self.connection.execute(table.update())`.

        Raises:
            AuthorError: a column has no type.
            NameConflictError: outside a transaction: something else has this name; nothing was changed.
        """
        table = table_of(name, elements, schema, comment, options)
        where = qualified(schema, name)
        taken = await looks.relation_kind(self._wire, schema, name) if if_not_exists else None
        if taken is not None:
            self._say(logging.INFO, f"✓ Table {name} is there already, and was not looked at")
            return table
        await self._create_types(table)
        statements = table_statements(table, self._dialect)
        if await self._do(
            f"Created table {name}", *statements, done=lambda: self._is_there(table, where), count="tables_created"
        ):
            self._counted["indexes_created"] += len(table.indexes)
        return table

    async def drop_table(
        self, name: str, *, schema: str | None = None, if_exists: bool = False, cascade: bool = False
    ) -> None:
        """Drop a table with all its rows. Types that only it used stay; see `drop_enum`.

        Args:
            name: the table's name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing table is no error.
            cascade: whether what depends on it (foreign keys, views) goes too.
        """
        await self._drop("TABLE", schema, name, if_exists=if_exists, cascade=cascade)

    async def rename_table(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a table; its indexes, constraints and sequences keep their names.

        NOT NULL constraints, which PostgreSQL 18 names after table and column, follow if it chose their names.

        Args:
            old: its name now, exactly.
            new: its name then, without a schema; see `set_schema` for a move.
            schema: its schema; None looks along `search_path`.
        """
        await self._rename("TABLE", schema, old, new)
        await self._follow(schema, (old, None), (new, None))

    async def _is_there(self, table: Table, where: str) -> bool:
        kind = await looks.relation_kind(self._wire, table.schema, table.name)
        if kind is None:
            return False
        made = twin_statement(table, self._dialect) if kind in "rp" else None
        if made is not None and await is_same_table(self._wire, where, table.name, made):
            return True
        raise NameConflictError(
            f"The name {where} is taken by something else than the table to create, which was left as it is. If it is "
            f"not needed, drop it first: await self.op.drop_table({table.name!r}). Otherwise give the new table "
            "another name."
        )
