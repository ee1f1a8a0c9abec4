"""Tables: created, dropped, renamed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.schema import SchemaItem

from async_migrations.online.bench import Bench


class TableOperations(Bench):
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
            options: what else `Table` takes: `prefixes=["UNLOGGED"]`, `postgresql_partition_by`, `postgresql_with`,
                `postgresql_inherits`, `postgresql_tablespace`.

        Returns:
            The table, for `bulk_insert` and `self.connection.execute(table.update())`.

        Raises:
            NameConflictError: outside a transaction: something else has this name; nothing was changed.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def rename_table(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a table; its indexes, constraints and sequences keep their names.

        Args:
            old: its name now, exactly.
            new: its name then, without a schema; see `set_schema` for a move.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError
