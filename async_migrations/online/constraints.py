"""Constraints: created, dropped, renamed, validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from async_migrations.online import looks
from async_migrations.online.adding import AddingBench
from async_migrations.online.constraint_definition import (
    ConstraintDefinition,
    check,
    deferral,
    foreign_key,
)
from async_migrations.online.texts import Expression
from async_migrations.sql import qualified, quote_identifier

Initially = Literal["DEFERRED", "IMMEDIATE"]


class ConstraintOperations(AddingBench):
    """The constraints of a table.

    A name of None lets PostgreSQL choose one; for a CHECK a second try cannot look for it.
    """

    async def create_check_constraint(
        self,
        name: str | None,
        table: str,
        condition: str | Expression,
        *,
        schema: str | None = None,
        no_inherit: bool = False,
        not_valid: bool = False,
        comment: str | None = None,
    ) -> None:
        """Add a CHECK; outside a transaction the rows are looked at beside running writes.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            condition: SQL text, sent as it is, or an expression.
            schema: the table's schema; None looks along `search_path`.
            no_inherit: whether heirs need not obey.
            not_valid: whether the rows that exist are not looked at; `validate_constraint` does it later.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: another constraint has this name; nothing was changed.
        """
        clause = check(condition, self._dialect, no_inherit=no_inherit)
        wanted = ConstraintDefinition(name=name, table=table, schema=schema, clause=clause, comment=comment)
        await self._add_in_two_steps(wanted, not_valid=not_valid)

    async def create_foreign_key(  # noqa: PLR0913 - the options are those of FOREIGN KEY
        self,
        name: str | None,
        source_table: str,
        referent_table: str,
        local_cols: Sequence[str],
        remote_cols: Sequence[str],
        *,
        schema: str | None = None,
        referent_schema: str | None = None,
        ondelete: str | None = None,
        onupdate: str | None = None,
        deferrable: bool | None = None,
        initially: Initially | None = None,
        match: Literal["FULL", "SIMPLE"] | None = None,
        not_valid: bool = False,
        comment: str | None = None,
    ) -> None:
        """Add a foreign key; outside a transaction NOT VALID first, then validated beside running writes.

        Args:
            name: the constraint's name, exactly.
            source_table: the table that refers, exactly.
            referent_table: the table that is referred to, exactly.
            local_cols: columns of the first.
            remote_cols: columns of the second.
            schema: the referring table's schema; None looks along `search_path`.
            referent_schema: the other's; None looks along `search_path`.
            ondelete: what happens when the row referred to goes: `"CASCADE"`, `"SET NULL"`, `"SET NULL (a)"`.
            onupdate: what happens when its key changes.
            deferrable: whether the check may wait for the end of a transaction.
            initially: whether it does: `"DEFERRED"`.
            match: what a key with some NULLs means.
            not_valid: whether the rows that exist are not looked at; `validate_constraint` does it later.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: another constraint has this name; nothing was changed.
        """
        referent = qualified(referent_schema, referent_table)
        clause, facts = foreign_key(
            local_cols,
            remote_cols,
            referent,
            ondelete=ondelete,
            onupdate=onupdate,
            deferrable=deferrable,
            initially=initially,
            match=match,
        )
        wanted = ConstraintDefinition(
            name=name,
            table=source_table,
            schema=schema,
            clause=clause,
            comment=comment,
            facts=facts,
            referent=referent,
        )
        await self._add_in_two_steps(
            await self._named(wanted, local_cols, "foreign_key_constraint"), not_valid=not_valid
        )

    async def validate_constraint(self, name: str, table: str, *, schema: str | None = None) -> None:
        """Look at the rows that a NOT VALID constraint has not looked at; writes go on meanwhile.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            schema: the table's schema; None looks along `search_path`.
        """
        statement = f"ALTER TABLE {qualified(schema, table)} VALIDATE CONSTRAINT {quote_identifier(name)}"
        await self._do(f"Validated constraint {name} of {table}", statement)

    async def alter_constraint(
        self,
        name: str,
        table: str,
        *,
        deferrable: bool,
        initially: Initially | None = None,
        schema: str | None = None,
    ) -> None:
        """Alter when a foreign key is checked; for other kinds drop the constraint and create it.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            deferrable: whether the check may wait for the end of a transaction.
            initially: whether it does: `"DEFERRED"`.
            schema: the table's schema; None looks along `search_path`.
        """
        clause = f"ALTER CONSTRAINT {quote_identifier(name)}{deferral(deferrable, initially)}"
        await self._do(f"Altered constraint {name} of {table}", f"ALTER TABLE {qualified(schema, table)} {clause}")

    async def rename_constraint(self, table: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a constraint, and its index with it.

        Args:
            table: the table's name, exactly.
            old: the constraint's name now, exactly.
            new: its name then.
            schema: the table's schema; None looks along `search_path`.
        """

        async def is_renamed() -> bool:
            there = [await looks.constraint(self._wire, schema, table, name) is not None for name in (old, new)]
            return there == [False, True]

        clause = f"RENAME CONSTRAINT {quote_identifier(old)} TO {quote_identifier(new)}"
        statement = f"ALTER TABLE {qualified(schema, table)} {clause}"
        await self._do(f"Renamed constraint {old} of {table} to {new}", statement, done=self._if_again(is_renamed))

    async def drop_constraint(
        self, name: str, table: str, *, schema: str | None = None, if_exists: bool = False, cascade: bool = False
    ) -> None:
        """Drop a constraint of any kind, and its index with it.

        Args:
            name: the constraint's name, exactly.
            table: the table's name, exactly.
            schema: the table's schema; None looks along `search_path`.
            if_exists: whether a missing constraint is no error.
            cascade: whether foreign keys that lean on it go too.
        """

        async def is_gone() -> bool:
            return await looks.constraint(self._wire, schema, table, name) is None

        lenient = "IF EXISTS " if if_exists else ""
        clause = f"DROP CONSTRAINT {lenient}{quote_identifier(name)}{' CASCADE' if cascade else ''}"
        statement = f"ALTER TABLE {qualified(schema, table)} {clause}"
        await self._do(f"Dropped constraint {name} of {table}", statement, done=self._if_again(is_gone))
