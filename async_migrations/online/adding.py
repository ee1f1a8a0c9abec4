"""Adding constraints beside running writes, so that a second try finds its way."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from async_migrations.errors import NameConflictError
from async_migrations.online import build, looks
from async_migrations.online.constraint_definition import ConstraintDefinition, using_index
from async_migrations.online.definition import IndexDefinition
from async_migrations.online.not_null import NotNullBench
from async_migrations.online.table_definition import name_for
from async_migrations.online.twins import is_same_constraint

KEYS = {"UNIQUE": "u", "PRIMARY KEY": "p"}
"""How `pg_constraint.contype` writes them."""


class AddingBench(NotNullBench):
    """Adds constraints: at once in a transaction, and outside of one in the steps that let writes go on."""

    async def _named(self, wanted: ConstraintDefinition, columns: Sequence[str], kind: str) -> ConstraintDefinition:
        """Return a constraint with its name; outside a transaction PostgreSQL's own choice, for a second try to find.

        Names that are cut may be the same for other columns: then PostgreSQL adds a number.
        """
        if wanted.name is not None or self._transactional:
            return wanted
        for number in count():
            named = replace(wanted, name=name_for(wanted.table, columns, kind, number))
            with suppress(NameConflictError):
                await self._find_same(named)
                return named
        raise AssertionError  # pragma: no cover - there are always more numbers

    async def _add(self, wanted: ConstraintDefinition, *, not_valid: bool = False, done: Any = None) -> None:
        statements = wanted.statements(not_valid=not_valid)
        await self._do(f"Added constraint {wanted.name or wanted.clause} to {wanted.table}", *statements, done=done)

    async def _add_at_once(self, wanted: ConstraintDefinition) -> None:
        async def is_there() -> bool:
            return await self._find_same(wanted) is not None

        await self._add(wanted, done=is_there)

    async def _add_in_two_steps(self, wanted: ConstraintDefinition, *, not_valid: bool) -> None:
        """Add a CHECK or foreign key NOT VALID, then look at the rows.

        PostgreSQL before 18 has no foreign key NOT VALID on a partitioned table.
        """
        if self._transactional or wanted.name is None:
            await self._add(wanted, not_valid=not_valid)
            return
        if wanted.facts is not None and await self._is_partitioned(wanted.schema, wanted.table):
            await self._add_at_once(wanted)
            return
        found = await self._find_same(wanted)
        if found is None:
            await self._add(wanted, not_valid=True)
        if not not_valid and not (found and found["valid"]):
            await self._do(f"Validated constraint {wanted.name} of {wanted.table}", wanted.validation)

    async def _add_by_index(self, wanted: ConstraintDefinition, index: IndexDefinition, kind: str, **when: Any) -> None:
        """Build the index of a UNIQUE or PRIMARY KEY concurrently, then make a constraint of it."""
        if self._transactional:
            await self._add(wanted)
            return
        if await self._find_same(wanted) is not None:
            self._say(logging.INFO, f"✓ Constraint {wanted.name} of {wanted.table} is there already")
            return
        if await self._is_partitioned(wanted.schema, wanted.table):
            await self._add(wanted)
            return
        columns = [str(column) for column in index.columns] if kind == "PRIMARY KEY" else []
        async with self._proved(wanted.table, columns, wanted.schema) as not_null:
            await build.build(self._wire, index, self._say)
            what = f"Added constraint {wanted.name} to {wanted.table}"
            await self._do(what, *not_null, *wanted.statements(using_index(kind, index.name, **when)))

    async def _add_over_index(
        self,
        kind: str,
        name: str | None,
        table: str,
        schema: str | None,
        index: str,
        comment: str | None,
        **when: Any,
    ) -> None:
        """Make a constraint of an index that exists."""
        clause = using_index(kind, index, **when)
        wanted = ConstraintDefinition(name=name or index, table=table, schema=schema, clause=clause, comment=comment)

        async def is_there() -> bool:
            found = await looks.constraint(self._wire, schema, table, name or index)
            return found is not None and found["kind"] == KEYS[kind]

        await self._add(wanted, done=is_there)

    async def _find_same(self, wanted: ConstraintDefinition) -> Mapping[str, Any] | None:
        """Return the constraint of this name if it is the wanted one, None if there is none.

        Raises:
            NameConflictError: it is another.
        """
        name = wanted.name or ""
        found = await looks.constraint(self._wire, wanted.schema, wanted.table, name, wanted.referent)
        if found is None:
            return None
        if wanted.facts is not None:
            same = wanted.is_foreign_key(found)
        else:
            same = await is_same_constraint(self._wire, wanted.where, wanted.table, name, wanted.clause)
        if same:
            return found
        raise NameConflictError(
            f"The table {wanted.table} has another constraint {name}, which was left as it is.\n"
            f"  there:  {found['definition']}\n  wanted: {wanted.clause}\n"
            f"If it is not needed, drop it first: await self.op.drop_constraint({name!r}, {wanted.table!r})."
        )
