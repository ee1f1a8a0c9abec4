"""How tables are kept: storage parameters, partitions, inheritance, schema, tablespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from async_migrations.online.bench import Bench

Movable = Literal["table", "view", "materialized view", "foreign table", "sequence", "type", "domain", "extension"]


class StorageOperations(Bench):
    """How and where tables are kept."""

    async def set_table_options(self, table: str, options: Mapping[str, Any], *, schema: str | None = None) -> None:
        """Set storage parameters of a table.

        Args:
            table: the table's name, exactly.
            options: by parameter: `{"fillfactor": 70, "toast.autovacuum_enabled": False}`.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def reset_table_options(self, table: str, names: Sequence[str], *, schema: str | None = None) -> None:
        """Take storage parameters of a table back to their defaults.

        Args:
            table: the table's name, exactly.
            names: of the parameters.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def set_logged(self, table: str, logged: bool, *, schema: str | None = None) -> None:  # noqa: FBT001 - SET LOGGED and SET UNLOGGED are the verb
        """Make a table logged, or unlogged: one that is not is quick to write and empty after a crash. Rewrites it.

        Args:
            table: the table's name, exactly.
            logged: which of the two.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def set_tablespace(self, table: str, tablespace: str, *, schema: str | None = None) -> None:
        """Move a table's file to another tablespace. Nobody reads or writes meanwhile.

        Args:
            table: the table's name, exactly.
            tablespace: where to.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def set_schema(self, kind: Movable, name: str, new_schema: str, *, schema: str | None = None) -> None:
        """Move something into another schema; what belongs to a table goes with it.

        Args:
            kind: what it is; an enum is a "type".
            name: its name, exactly.
            new_schema: where to; it must exist.
            schema: where it is; None looks along `search_path`.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def detach_partition(
        self, parent: str, partition: str, *, schema: str | None = None, partition_schema: str | None = None
    ) -> None:
        """Make a partition a table of its own, rows and all; concurrently where the migration is not transactional.

        Args:
            parent: the partitioned table, exactly.
            partition: the partition, exactly.
            schema: the parent's schema; None looks along `search_path`.
            partition_schema: the partition's; None looks along `search_path`.
        """
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError
