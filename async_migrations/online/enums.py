"""Enums: created, dropped, renamed, their values added, renamed, removed, put in order."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from async_migrations.errors import AuthorError, NameConflictError
from async_migrations.online import looks
from async_migrations.online.conversion import Conversion
from async_migrations.online.looks import TypeFacts
from async_migrations.online.relations import RelationBench
from async_migrations.sql import qualified, quote_literal


class EnumOperations(RelationBench):
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
        where = qualified(schema, name)
        labels = ", ".join(quote_literal(value) for value in values)
        await self._do(
            f"Created enum {name}",
            f"CREATE TYPE {where} AS ENUM ({labels})",
            *([] if comment is None else [f"COMMENT ON TYPE {where} IS {quote_literal(comment)}"]),
            done=lambda: self._is_enum(schema, name, values),
        )

    async def drop_enum(self, name: str, *, schema: str | None = None, if_exists: bool = False) -> None:
        """Drop an enum that no column uses.

        Args:
            name: the type's name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing type is no error.
        """
        await self._drop("TYPE", schema, name, if_exists=if_exists)

    async def rename_enum(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename an enum; its columns follow. For a domain see `rename_domain`.

        Args:
            old: the type's name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        await self._rename("TYPE", schema, old, new)

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
        place = ""
        if before is not None or after is not None:
            place = f" BEFORE {quote_literal(before)}" if before is not None else f" AFTER {quote_literal(after)}"
        statement = f"ALTER TYPE {qualified(schema, enum)} ADD VALUE IF NOT EXISTS {quote_literal(value)}{place}"
        await self._do(f"Added value {value!r} to {enum}", statement)

    async def rename_enum_value(self, enum: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a value of an enum; rows that have it have the new one.

        Args:
            enum: the type's name, exactly.
            old: the label now.
            new: the label then.
            schema: the type's schema; None looks along `search_path`.
        """

        async def is_renamed() -> bool:
            labels = (await self._enum(schema, enum)).labels
            return old not in labels and new in labels

        clause = f"RENAME VALUE {quote_literal(old)} TO {quote_literal(new)}"
        statement = f"ALTER TYPE {qualified(schema, enum)} {clause}"
        await self._do(f"Renamed value {old!r} of {enum} to {new!r}", statement, done=self._if_again(is_renamed))

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
        found = await self._enum(schema, enum)
        if value not in found.labels and self._transactional:
            raise AuthorError(f"{enum} has no value {value!r}, but: {', '.join(found.labels)}.")
        values = [label for label in found.labels if label != value]
        replace = {} if replace_with is None else {value: replace_with}
        await self._convert(found, values, replace)

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
        its table rewritten while nobody reads or writes; defaults, and the indexes, checks, generated columns, views,
        triggers and policies that lean on the columns, are dropped before and made again after. All of it is one
        transaction.

        Args:
            enum: the type's name, exactly.
            values: its labels then, in order.
            replace: for labels that go: the label that their rows get.
            schema: the type's schema; None looks along `search_path`.

        Raises:
            AuthorError: a label of `replace` is unknown.
            sqlalchemy.exc.DBAPIError: rows have a label that goes and is not in `replace`; nothing was changed.
        """
        await self._convert(await self._enum(schema, enum), values, replace or {})

    async def _convert(self, found: TypeFacts, values: Sequence[str], replace: Mapping[str, str]) -> None:
        if list(values) == list(found.labels):
            self._say(logging.INFO, f"✓ {found.name} has these values already")
            return
        unknown = [gone for gone in replace if gone not in found.labels] if self._transactional else []
        unknown += [kept for kept in replace.values() if kept not in values]
        if unknown:
            raise AuthorError(f"{found.name}: replace names values that are not there: {', '.join(unknown)}.")
        statements = await Conversion(found, values, replace).statements(self._wire)
        await self._do(f"Gave {found.name} the values {', '.join(values)}", *statements)

    async def _enum(self, schema: str | None, name: str) -> TypeFacts:
        found = await looks.type_facts(self._wire, schema, name)
        if found is None or found.kind != "e":
            raise AuthorError(f"There is no enum {qualified(schema, name)}: see its name and its schema.")
        return found

    async def _is_enum(self, schema: str | None, name: str, values: Sequence[str]) -> bool:
        found = await looks.type_facts(self._wire, schema, name)
        if found is None:
            return False
        if found.kind == "e" and list(found.labels) == list(values):
            return True
        there = f"an enum of {', '.join(found.labels)}" if found.kind == "e" else "no enum"
        raise NameConflictError(
            f"The name {qualified(schema, name)} is taken by a type that is {there}, which was left as it is. Drop it "
            "first, or give the new enum another name."
        )
