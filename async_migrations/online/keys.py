"""Constraints with an index: unique and primary keys, exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from async_migrations.online.adding import AddingBench
from async_migrations.online.constraint_definition import ConstraintDefinition, exclude, primary_key, unique
from async_migrations.online.definition import IndexDefinition
from async_migrations.online.texts import Expression

Initially = Literal["DEFERRED", "IMMEDIATE"]


class When(TypedDict):
    """When a constraint is checked."""

    deferrable: bool | None
    initially: Initially | None


class KeyOperations(AddingBench):
    """The constraints of a table that have an index.

    A name of None lets PostgreSQL choose one.
    """

    async def create_unique_constraint(  # noqa: PLR0913 - the options are those of UNIQUE
        self,
        name: str | None,
        table: str,
        columns: Sequence[str] = (),
        *,
        schema: str | None = None,
        deferrable: bool | None = None,
        initially: Initially | None = None,
        nulls_not_distinct: bool = False,
        include: Sequence[str] = (),
        using_index: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Add a UNIQUE constraint; outside a transaction its index is built concurrently first.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            columns: its columns; none with `using_index`.
            schema: the table's schema; None looks along `search_path`.
            deferrable: whether the check may wait for the end of a transaction.
            initially: whether it does: `"DEFERRED"`.
            nulls_not_distinct: whether NULLs count as equal (PostgreSQL 15).
            include: columns that are only stored in the index.
            using_index: a unique index that exists, and takes the constraint's name.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: something else has this name; nothing was changed.
        """
        when: When = {"deferrable": deferrable, "initially": initially}
        if using_index is not None:
            await self._add_over_index("UNIQUE", name, table, schema, using_index, comment, **when)
            return
        clause = unique(columns, self._dialect, include=include, nulls_not_distinct=nulls_not_distinct, **when)
        wanted = ConstraintDefinition(name=name, table=table, schema=schema, clause=clause, comment=comment)
        wanted = await self._named(wanted, columns, "unique_constraint")
        index = IndexDefinition(
            name=wanted.name or "",
            table=table,
            columns=columns,
            schema=schema,
            unique=True,
            include=include,
            nulls_not_distinct=nulls_not_distinct,
        )
        await self._add_by_index(wanted, index, "UNIQUE", **when)

    async def create_primary_key(  # noqa: PLR0913 - the options are those of PRIMARY KEY
        self,
        name: str | None,
        table: str,
        columns: Sequence[str] = (),
        *,
        schema: str | None = None,
        deferrable: bool | None = None,
        initially: Initially | None = None,
        include: Sequence[str] = (),
        using_index: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Add a primary key; outside a transaction NOT NULL is proved and its index built beside running writes.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            columns: its columns; none with `using_index`.
            schema: the table's schema; None looks along `search_path`.
            deferrable: whether the check may wait for the end of a transaction.
            initially: whether it does: `"DEFERRED"`.
            include: columns that are only stored in the index.
            using_index: a unique index that exists, and takes the constraint's name.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: something else has this name; nothing was changed.
        """
        when: When = {"deferrable": deferrable, "initially": initially}
        if using_index is not None:
            await self._add_over_index("PRIMARY KEY", name, table, schema, using_index, comment, **when)
            return
        clause = primary_key(columns, self._dialect, include=include, **when)
        wanted = ConstraintDefinition(name=name, table=table, schema=schema, clause=clause, comment=comment)
        wanted = await self._named(wanted, columns, "primary_key_constraint")
        index = IndexDefinition(
            name=wanted.name or "", table=table, columns=columns, schema=schema, unique=True, include=include
        )
        await self._add_by_index(wanted, index, "PRIMARY KEY", **when)

    async def create_exclude_constraint(  # noqa: PLR0913 - the options are those of EXCLUDE
        self,
        name: str | None,
        table: str,
        *elements: tuple[str | Expression, str],
        using: str = "gist",
        where: str | Expression | None = None,
        opclasses: Mapping[str, str] | None = None,
        schema: str | None = None,
        deferrable: bool | None = None,
        initially: Initially | None = None,
        comment: str | None = None,
    ) -> None:
        """Add an EXCLUDE constraint. PostgreSQL builds its index under a lock; there is no way beside writes.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            elements: (column or expression, operator): `("room", "="), (text("tstzrange(a, b)"), "&&")`. A text is
                a column's name, exactly.
            using: the index's access method.
            where: the predicate, as SQL text or an expression.
            opclasses: operator classes by column name.
            schema: the table's schema; None looks along `search_path`.
            deferrable: whether the check may wait for the end of a transaction.
            initially: whether it does: `"DEFERRED"`.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: another constraint has this name; nothing was changed.
        """
        when: When = {"deferrable": deferrable, "initially": initially}
        clause = exclude(elements, self._dialect, where, using=using, ops=dict(opclasses or {}), **when)
        wanted = ConstraintDefinition(name=name, table=table, schema=schema, clause=clause, comment=comment)
        columns = [column if isinstance(column, str) else "expr" for column, _ in elements]
        await self._add_at_once(await self._named(wanted, columns, "exclude_constraint"))
