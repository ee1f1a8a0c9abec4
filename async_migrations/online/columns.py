"""Columns: added, dropped, renamed, altered."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import Column, Computed, Identity
from sqlalchemy.types import TypeEngine

from async_migrations.online.bench import KEEP, Bench, Expression, Keep

Default: TypeAlias = str | Expression | Computed | Identity | None
"""A text is a literal, as in `Column`; `text("now()")` and constructs are SQL; None is no default."""


class ColumnOperations(Bench):
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
            NameConflictError: outside a transaction: another column has this name; nothing was changed.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def rename_column(self, table: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a column; what refers to it follows.

        Args:
            table: the table's name, exactly.
            old: the column's name now, exactly.
            new: its name then.
            schema: the table's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def alter_column(  # noqa: PLR0913 - each is an aspect of a column
        self,
        table: str,
        column: str,
        *,
        type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None,
        nullable: bool | None = None,
        server_default: Default | Keep = KEEP,
        comment: str | Keep | None = KEEP,
        new_column_name: str | None = None,
        postgresql_using: str | Expression | None = None,
        schema: str | None = None,
    ) -> None:
        """Alter what is given of a column, and leave the rest.

        A change of the type takes the default away before and sets it after, and with a `serial` column's type its
        sequence changes. A type without COLLATE takes its own collation: for a column with another one pass
        `String(collation="...")`. Rows that have to be rewritten or looked at keep everybody waiting meanwhile;
        longer texts and unlimited ones need neither.

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
                `"price::integer"`.
            schema: the table's schema; None looks along `search_path`.

        Raises:
            AuthorError: it cannot be altered so, such as a plain column into a generated one.
        """
        raise NotImplementedError

    async def set_not_null(self, table: str, column: str, *, schema: str | None = None) -> None:
        """Refuse NULL in a column from now on.

        In a migration that is not transactional nobody waits while the rows are looked at: a CHECK is added NOT
        VALID, validated beside running writes, proves SET NOT NULL, and goes. In a transactional one SET NOT NULL
        looks at all rows under its lock, unless a valid `CHECK (column IS NOT NULL)` is there.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            schema: the table's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def drop_not_null(self, table: str, column: str, *, schema: str | None = None) -> None:
        """Allow NULL in a column.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            schema: the table's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def restart_identity(
        self, table: str, column: str, value: int | None = None, *, schema: str | None = None
    ) -> None:
        """Let the numbers of an identity or serial column go on from `value`.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            value: the next number; None is one above the highest in the table.
            schema: the table's schema; None looks along `search_path`.
        """
        raise NotImplementedError
