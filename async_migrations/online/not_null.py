"""NOT NULL, proved beside running writes."""

from __future__ import annotations

import hashlib
import logging

import anyio

from async_migrations.online import looks
from async_migrations.online.relations import RelationBench
from async_migrations.sql import qualified, quote_identifier

SWEEP_DEADLINE = 5.0
"""Seconds for taking away the CHECK of a proof that failed."""


class NotNullBench(RelationBench):
    """Sets NOT NULL without a long lock."""

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
        where, name = qualified(schema, table), quote_identifier(column)
        statement = f"ALTER TABLE {where} ALTER COLUMN {name} SET NOT NULL"
        what = f"Set {table}.{column} NOT NULL"
        if self._transactional:
            await self._do(what, statement)
            return
        facts = await looks.column_facts(self._wire, schema, table, column)
        proof = f"not_null_{hashlib.sha256(f'{where}.{name}'.encode()).hexdigest()[:16]}"
        there = await looks.constraint(self._wire, schema, table, proof) is not None
        drop = f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quote_identifier(proof)}"
        if facts is not None and facts.not_null:
            await self._do(what, *([drop] if there else []))
            return
        if not there:
            clause = f"ADD CONSTRAINT {quote_identifier(proof)} CHECK ({name} IS NOT NULL) NOT VALID"
            await self._run(f"ALTER TABLE {where} {clause}")
        await self._validate_or_sweep(f"ALTER TABLE {where} VALIDATE CONSTRAINT {quote_identifier(proof)}", drop)
        await self._do(what, statement, drop)

    async def _validate_or_sweep(self, statement: str, drop: str) -> None:
        """Validate; after a failure take the CHECK away, which would refuse the service's own rows."""
        try:
            await self._run(statement)
        except BaseException:
            with anyio.move_on_after(SWEEP_DEADLINE, shield=True):
                try:
                    if not await self._wire.is_closed():
                        await self._wire.run(drop)
                except Exception as error:
                    self._say(logging.WARNING, f"A CHECK may be left ({error}); the next try removes it: {drop}")
            raise
