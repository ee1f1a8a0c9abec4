"""How tables are kept: storage parameters, partitions, inheritance, schema, tablespace."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from async_migrations.errors import NameConflictError
from async_migrations.online import looks
from async_migrations.online.detaching import DetachingBench
from async_migrations.online.twins import is_same_bound
from async_migrations.sql import qualified, quote_identifier, quote_literal

Movable = Literal["table", "view", "materialized view", "foreign table", "sequence", "type", "domain", "extension"]


class StorageOperations(DetachingBench):
    """How and where tables are kept."""

    async def set_table_options(self, table: str, options: Mapping[str, Any], *, schema: str | None = None) -> None:
        """Set storage parameters of a table.

        Args:
            table: the table's name, exactly.
            options: by parameter: `{"fillfactor": 70, "toast.autovacuum_enabled": False}`.
            schema: its schema; None looks along `search_path`.
        """
        settings = ", ".join(f"{_parameter(key)} = {_value(value)}" for key, value in options.items())
        await self._do(f"Set options of {table}", f"ALTER TABLE {qualified(schema, table)} SET ({settings})")

    async def reset_table_options(self, table: str, names: Sequence[str], *, schema: str | None = None) -> None:
        """Take storage parameters of a table back to their defaults.

        Args:
            table: the table's name, exactly.
            names: of the parameters.
            schema: its schema; None looks along `search_path`.
        """
        listed = ", ".join(_parameter(name) for name in names)
        await self._do(f"Reset options of {table}", f"ALTER TABLE {qualified(schema, table)} RESET ({listed})")

    async def set_logged(self, table: str, logged: bool, *, schema: str | None = None) -> None:  # noqa: FBT001 - SET LOGGED and SET UNLOGGED are the verb
        """Make a table logged, or unlogged: one that is not is quick to write and empty after a crash. Rewrites it.

        Args:
            table: the table's name, exactly.
            logged: which of the two.
            schema: its schema; None looks along `search_path`.
        """
        how = "LOGGED" if logged else "UNLOGGED"
        await self._do(f"Made {table} {how}", f"ALTER TABLE {qualified(schema, table)} SET {how}")

    async def set_tablespace(self, table: str, tablespace: str, *, schema: str | None = None) -> None:
        """Move a table's file to another tablespace. Nobody reads or writes meanwhile.

        Args:
            table: the table's name, exactly.
            tablespace: where to.
            schema: its schema; None looks along `search_path`.
        """
        statement = f"ALTER TABLE {qualified(schema, table)} SET TABLESPACE {quote_identifier(tablespace)}"
        await self._do(f"Moved {table} to tablespace {tablespace}", statement)

    async def set_schema(self, kind: Movable, name: str, new_schema: str, *, schema: str | None = None) -> None:
        """Move something into another schema; what belongs to a table goes with it.

        Args:
            kind: what it is; an enum is a "type".
            name: its name, exactly.
            new_schema: where to; it must exist.
            schema: where it is; None looks along `search_path`.

        Raises:
            NameConflictError: outside a transaction: something else of this name is in `new_schema`; nothing was
                changed.
        """

        async def is_moved() -> bool:
            key = "TYPE" if kind in {"type", "domain"} else "TABLE"
            here, there = [await self._schema_of(key, where, name) for where in (schema, new_schema)]
            if here is None or there is None or here == there:
                return there is not None
            raise NameConflictError(
                f"The name {qualified(new_schema, name)} is taken by something else than {qualified(here, name)}, "
                f"which is to move there, and both were left as they are. Rename or drop the one that is not needed."
            )

        is_extension = kind == "extension"  # which may be moved to where it is
        subject = quote_identifier(name) if is_extension else qualified(schema, name)
        statement = f"ALTER {kind.upper()} {subject} SET SCHEMA {quote_identifier(new_schema)}"
        done = None if is_extension else is_moved
        await self._do(f"Moved {kind} {name} to schema {new_schema}", statement, done=done)

    async def create_partition(
        self,
        name: str,
        parent: str,
        bound: str,
        *,
        schema: str | None = None,
        parent_schema: str | None = None,
        partition_by: str | None = None,
    ) -> None:
        """Create a table as a partition of another.

        Args:
            name: the partition's name, exactly.
            parent: the partitioned table, exactly.
            bound: `"FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"`, `"FOR VALUES IN ('a')"`, `"DEFAULT"`.
            schema: the partition's schema; None takes the first of `search_path`.
            parent_schema: the parent's; None looks along `search_path`.
            partition_by: how it is partitioned itself: `"RANGE (day)"`.

        Raises:
            NameConflictError: outside a transaction: it has another bound; nothing was changed.
        """
        where, parents = qualified(schema, name), qualified(parent_schema, parent)
        further = f" PARTITION BY {partition_by}" if partition_by else ""
        await self._do(
            f"Created partition {name} of {parent}",
            f"CREATE TABLE {where} PARTITION OF {parents} {bound}{further}",
            done=lambda: self._is_partition(where, parents, bound),
            count="tables_created",
        )

    async def attach_partition(
        self,
        parent: str,
        partition: str,
        bound: str,
        *,
        schema: str | None = None,
        partition_schema: str | None = None,
    ) -> None:
        """Make a table that exists a partition of another.

        Its rows are looked at, unless a valid CHECK says that all of them belong there.

        Args:
            parent: the partitioned table, exactly.
            partition: the table, exactly.
            bound: as for `create_partition`.
            schema: the parent's schema; None looks along `search_path`.
            partition_schema: the partition's; None looks along `search_path`.
        """
        where, child = qualified(schema, parent), qualified(partition_schema, partition)
        await self._do(
            f"Attached partition {partition} to {parent}",
            f"ALTER TABLE {where} ATTACH PARTITION {child} {bound}",
            done=lambda: self._is_partition(child, where, bound),
        )

    async def detach_partition(
        self, parent: str, partition: str, *, schema: str | None = None, partition_schema: str | None = None
    ) -> None:
        """Make a partition a table of its own, rows and all; concurrently where the migration is not transactional.

        A concurrent one waits for whoever has the partitioned table open, as long as the migration may take. Who has
        the partition itself open is waited for as for any lock.

        Args:
            parent: the partitioned table, exactly.
            partition: the partition, exactly.
            schema: the parent's schema; None looks along `search_path`.
            partition_schema: the partition's; None looks along `search_path`.
        """
        where, child = qualified(schema, parent), qualified(partition_schema, partition)
        statement = f"ALTER TABLE {where} DETACH PARTITION {child}"
        if self._transactional or await looks.has_default_partition(self._wire, where):
            done = partial(self._is_no_child, child, where)
            await self._do(f"Detached {partition} from {parent}", statement, done=done)
            return
        await self._detach_concurrently(statement, child, where)
        self._say(logging.INFO, f"✓ Detached {partition} from {parent}")

    async def inherit(
        self, table: str, parent: str, *, schema: str | None = None, parent_schema: str | None = None
    ) -> None:
        """Make a table an heir of another, whose columns it must have.

        Args:
            table: the heir, exactly.
            parent: whose rows the heir's are to be among, exactly.
            schema: the heir's schema; None looks along `search_path`.
            parent_schema: the parent's; None looks along `search_path`.
        """
        child, above = qualified(schema, table), qualified(parent_schema, parent)
        await self._do(
            f"Made {table} an heir of {parent}",
            f"ALTER TABLE {child} INHERIT {above}",
            done=lambda: self._is_child(child, above),
        )

    async def no_inherit(
        self, table: str, parent: str, *, schema: str | None = None, parent_schema: str | None = None
    ) -> None:
        """End what `inherit` began; the columns stay.

        Args:
            table: the heir, exactly.
            parent: the parent, exactly.
            schema: the heir's schema; None looks along `search_path`.
            parent_schema: the parent's; None looks along `search_path`.
        """
        child, above = qualified(schema, table), qualified(parent_schema, parent)
        await self._do(
            f"Made {table} no heir of {parent}",
            f"ALTER TABLE {child} NO INHERIT {above}",
            done=lambda: self._is_no_child(child, above),
        )

    async def _is_child(self, child: str, parent: str) -> bool:
        return (await looks.parentage(self._wire, child, parent))[0]

    async def _is_partition(self, child: str, parent: str, bound: str) -> bool:
        if not await self._is_child(child, parent):
            return False
        if await is_same_bound(self._wire, child, parent, bound):
            return True
        raise NameConflictError(
            f"{child} is a partition of {parent} with another bound than {bound}, and was left as it is. Detach it "
            "first (await self.op.detach_partition), or give the new partition another name."
        )

    async def _is_no_child(self, child: str, parent: str) -> bool:
        return not await self._is_child(child, parent)


def _parameter(name: str) -> str:
    return ".".join(quote_identifier(part) for part in name.split("."))


def _value(value: Any) -> str:
    return quote_literal(str(value).lower() if isinstance(value, bool) else str(value))
