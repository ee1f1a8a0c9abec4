"""Enums: created, dropped, renamed, their values added, renamed, removed, put in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from async_migrations.online.bench import Bench


class EnumOperations(Bench):
    """Enums and their values."""

    async def create_enum(
        self, name: str, values: Sequence[str], *, schema: str | None = None, comment: str | None = None
    ) -> None:
        """Create an enum.

        Args:
            name: the type's name, exactly.
            values: its labels, in order.
            schema: its schema; None takes the first of `search_path`.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: another type has this name; nothing was changed.
        """
        raise NotImplementedError

    async def drop_enum(self, name: str, *, schema: str | None = None, if_exists: bool = False) -> None:
        """Drop an enum that no column uses.

        Args:
            name: the type's name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing type is no error.
        """
        raise NotImplementedError

    async def rename_enum(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename an enum; its columns follow. For a domain see `rename_domain`.

        Args:
            old: the type's name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def add_enum_value(
        self,
        enum: str,
        value: str,
        *,
        before: str | None = None,
        after: str | None = None,
        schema: str | None = None,
    ) -> None:
        """Add a value to an enum; one that it has counts as done.

        PostgreSQL lets nobody use it in the transaction that adds it: its first use belongs into a later migration.

        Args:
            enum: the type's name, exactly.
            value: the new label.
            before: the label that it comes before; with neither it is the last.
            after: the label that it comes after.
            schema: the type's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def rename_enum_value(self, enum: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a value of an enum; rows that have it have the new one.

        Args:
            enum: the type's name, exactly.
            old: the label now.
            new: the label then.
            schema: the type's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def remove_enum_value(
        self, enum: str, value: str, *, replace_with: str | None = None, schema: str | None = None
    ) -> None:
        """Remove a value from an enum, as `set_enum_values` does.

        Args:
            enum: the type's name, exactly.
            value: the label to remove.
            replace_with: the label that rows with the removed one get; None is an error if there are such rows.
            schema: the type's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def set_enum_values(
        self,
        enum: str,
        values: Sequence[str],
        *,
        replace: Mapping[str, str] | None = None,
        schema: str | None = None,
    ) -> None:
        """Give an enum these values, in this order: remove some, add some, put them in order.

        PostgreSQL can do it only with a new type: every column of the old one, and of arrays of it, is converted and
        its table rewritten while nobody reads or writes; defaults, and the indexes, checks and generated columns that
        lean on the columns, are dropped before and made again after. All of it is one transaction.

        Args:
            enum: the type's name, exactly.
            values: its labels then, in order.
            replace: for labels that go: the label that their rows get.
            schema: the type's schema; None looks along `search_path`.

        Raises:
            AuthorError: a label of `replace` is unknown.
            sqlalchemy.exc.DBAPIError: rows have a label that goes and is not in `replace`, or a view leans on a
                column; nothing was changed.
        """
        raise NotImplementedError
