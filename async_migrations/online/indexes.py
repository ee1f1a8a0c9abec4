"""Indexes: built, dropped and renamed beside running writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from async_migrations.errors import IndexConflictError
from async_migrations.online import build
from async_migrations.online.catalog import find_by_name, find_on_table
from async_migrations.online.definition import IndexDefinition
from async_migrations.online.relations import RelationBench
from async_migrations.online.texts import Expression
from async_migrations.sql import qualified

PARTITIONED = "I"
"""Of `pg_class.relkind`: the index of a partitioned table, which cannot be built or dropped concurrently."""


class IndexOperations(RelationBench):
    """Indexes."""

    async def create_index(  # noqa: PLR0913  the options are those of CREATE INDEX
        self,
        name: str,
        table: str,
        columns: Sequence[str | Expression],
        *,
        unique: bool = False,
        where: str | Expression | None = None,
        schema: str | None = None,
        using: str | None = None,
        include: Sequence[str] = (),
        with_: Mapping[str, Any] | None = None,
        opclasses: Mapping[str, str] | None = None,
        nulls_not_distinct: bool = False,
        tablespace: str | None = None,
    ) -> int:
        """Create an index; concurrently where the migration is not transactional and the table not partitioned.

        A concurrent build first looks for an index of this name. A valid one of the same definition counts as done.
        One that a dead build left INVALID is dropped and built anew, and so is one of a partitioned table that is
        INVALID since it was created ON ONLY that. While another session builds an index on the table it waits, as long
        as the migration may take. A build that fails leaves nothing behind.

        Args:
            name: the index's name, exactly as the catalog is to hold it.
            table: the table's name, exactly, without its schema.
            columns: column names, exactly, or expressions: `text("lower(email)")`, `text("added DESC")`,
                `func.lower(User.email)`. As in SQL, an operator needs parentheses: `text("(a || b)")`.
            unique: whether two rows may not have the same values.
            where: the predicate of a partial index, as SQL text or an expression.
            schema: the table's schema; None looks along `search_path`.
            using: the access method, such as `"gin"`; None is a B-tree.
            include: names of columns that are only stored in the index.
            with_: storage parameters, such as `{"fillfactor": 70}`.
            opclasses: operator classes by column name, or by the expression's text.
            nulls_not_distinct: whether NULLs count as equal in a unique index (PostgreSQL 15).
            tablespace: where the index is stored; None is the default place.

        Returns:
            How many indexes were created: 1, or 0 if it was there.

        Raises:
            AuthorError: the arguments cannot be right.
            IndexConflictError: something else has this name; nothing was changed.
            TransactionControlError: the author has a transaction open where the build must be outside of one.
        """
        wanted = IndexDefinition(
            name=name,
            table=table,
            columns=columns,
            schema=schema,
            unique=unique,
            where=where,
            using=using,
            include=include,
            with_=with_ or {},
            opclasses=opclasses or {},
            nulls_not_distinct=nulls_not_distinct,
            tablespace=tablespace,
        )
        statement = wanted.statement(self._wire.connection.dialect)
        self._say(logging.INFO, f"Creating index {name} on {table}")
        if self._transactional:
            await self._wire.run(statement)
        elif not await self._build(wanted, statement):
            self._say(logging.INFO, f"✓ Index {name} is there already, valid and with this definition")
            return 0
        self._say(logging.INFO, f"✓ Created index: {name}")
        self._counted["indexes_created"] += 1
        return 1

    async def drop_index(
        self, name: str, table: str | None = None, *, schema: str | None = None, if_exists: bool = False
    ) -> int:
        """Drop an index; concurrently where the migration is not transactional.

        Args:
            name: the index's name, exactly.
            table: the table that it must belong to; None does not look.
            schema: the schema of both; None looks along `search_path`.
            if_exists: whether a missing index is no error. In a migration that is not transactional it never is one:
                an earlier try may have dropped it.

        Returns:
            How many indexes were dropped: 1, or 0 if it was gone.

        Raises:
            IndexConflictError: what has this name is no index, or an index of another table.
            TransactionControlError: the author has a transaction open where the drop must be outside of one.
        """
        self._say(logging.INFO, f"Dropping index {name}")
        found = await find_by_name(self._wire, name, schema)
        if found is None and (if_exists or not self._transactional):
            self._say(logging.INFO, f"✓ Index {name} is gone already")
            return 0
        if found is not None and (not found.is_index or table not in {None, found.table}):
            there = found.definition or f"a relation of kind {found.kind!r} (see pg_class.relkind)"
            raise IndexConflictError(
                f"{name} is not the index to drop, and was left as it is. There is: {there}. Correct the name or the "
                "table in the migration."
            )
        if self._transactional:
            await self._wire.run(f"DROP INDEX {qualified(schema, name)}")
        elif found is not None and found.kind == PARTITIONED:
            await self._run(f"DROP INDEX {qualified(found.schema, name)}")
        else:
            await build.drop(self._wire, name, schema, self._say)
        self._say(logging.INFO, f"✓ Dropped index: {name}")
        return 1

    async def rename_index(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename an index; writes go on meanwhile.

        Args:
            old: its name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        await self._rename("INDEX", schema, old, new)

    async def _build(self, wanted: IndexDefinition, statement: str) -> bool:
        """Build an index beside running writes; PostgreSQL cannot on a partitioned table, where it is built at once."""
        if not await self._is_partitioned(wanted.schema, wanted.table):
            return await build.build(self._wire, wanted, self._say)
        found = await find_on_table(self._wire, wanted)
        if found is not None and found.kind is not None:
            await build.refuse_another(self._wire, wanted, found)
            if found.valid:
                return False
            self._say(logging.WARNING, f"Index {wanted.name} is INVALID: a partition lacks its own; building it anew")
            # By itself, since it keeps readers away too, and the build only writers.
            await self._run(f"DROP INDEX {qualified(found.schema, wanted.name)}")
        await self._run(statement)
        return True
