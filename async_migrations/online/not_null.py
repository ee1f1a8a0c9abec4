"""NOT NULL, proved beside running writes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from async_migrations.online import looks
from async_migrations.online.relations import RelationBench
from async_migrations.sql import qualified, quote_identifier

SWEEP_DEADLINE, HURRIED_SWEEP_DEADLINE = 5.0, 0.5
"""Seconds for taking away the CHECK of a proof that failed, and after a cancellation, when the pod has little time."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The CHECK that proves that no row has NULL, and the statements around it.

    Args:
        table: the table's name, quoted.
        column: the column's name, quoted.
    """

    table: str
    column: str

    @property
    def name(self) -> str:
        """A name that a second try finds, and nobody else takes."""
        return f"not_null_{hashlib.sha256(f'{self.table}.{self.column}'.encode()).hexdigest()[:16]}"

    @property
    def add(self) -> str:
        """The statement that has new rows obey."""
        return f"ALTER TABLE {self.table} ADD CONSTRAINT {self.name} CHECK ({self.column} IS NOT NULL) NOT VALID"

    @property
    def validate(self) -> str:
        """The statement that looks at the rows."""
        return f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {self.name}"

    @property
    def drop(self) -> str:
        """The statement that takes it away."""
        return f"ALTER TABLE {self.table} DROP CONSTRAINT IF EXISTS {self.name}"


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
        what = f"Set {table}.{column} NOT NULL"
        if self._transactional:
            await self._do(what, _set(qualified(schema, table), quote_identifier(column)))
            return
        async with self._proved(table, [column], schema) as statements:
            await self._do(what, *statements)

    @asynccontextmanager
    async def _proved(self, table: str, columns: Sequence[str], schema: str | None) -> AsyncIterator[list[str]]:
        """Prove that no row has NULL in these columns, and yield the statements that set them NOT NULL.

        After a failure, also of what is inside, the CHECKs go, which would refuse the service's own rows.
        """
        proofs: list[Proof] = []
        statements: list[str] = []
        try:
            for column in columns:
                statements += await self._prove(table, column, schema, proofs)
            yield statements
        except BaseException as error:
            hurried = isinstance(error, anyio.get_cancelled_exc_class())
            for proof in proofs:
                await self._sweep(proof, deadline=HURRIED_SWEEP_DEADLINE if hurried else SWEEP_DEADLINE)
            raise

    async def _prove(self, table: str, column: str, schema: str | None, proofs: list[Proof]) -> list[str]:
        """Prove one column, and return the statements that are left to do; its CHECK is added to `proofs`."""
        proof = Proof(qualified(schema, table), quote_identifier(column))
        facts = await looks.column_facts(self._wire, schema, table, column)
        there = await looks.constraint(self._wire, schema, table, proof.name) is not None
        if facts is not None and facts.not_null:
            if facts.unproved is not None:  # added NOT VALID: `attnotnull` says only that new rows obey
                await self._run(f"ALTER TABLE {proof.table} VALIDATE CONSTRAINT {facts.unproved}")
            return [proof.drop] if there else []
        if not there:
            await self._run(proof.add)
        proofs.append(proof)
        await self._run(proof.validate)
        return [_set(proof.table, proof.column), proof.drop]

    async def _sweep(self, proof: Proof, *, deadline: float) -> None:
        """Drop the CHECK; never raises, for an error is on its way already."""
        left = f"A CHECK may be left that refuses NULL; the next try removes it, or you do: {proof.drop}"
        with anyio.move_on_after(deadline, shield=True) as scope:
            try:
                if not await self._wire.is_closed():
                    await self._wire.run(self._together(proof.drop))
            except Exception as error:
                self._say(logging.WARNING, f"{left} ({error})")
        if scope.cancelled_caught:
            self._say(logging.WARNING, left)


def _set(table: str, column: str) -> str:
    return f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"
