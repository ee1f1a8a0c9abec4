"""Operations: the `self.op` of a migration."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult

from async_migrations.online import build
from async_migrations.online.columns import ColumnOperations
from async_migrations.online.comments import CommentOperations
from async_migrations.online.constraints import ConstraintOperations
from async_migrations.online.data import DataOperations
from async_migrations.online.domains import DomainOperations
from async_migrations.online.enums import EnumOperations
from async_migrations.online.indexes import IndexOperations
from async_migrations.online.keys import KeyOperations
from async_migrations.online.schemas import SchemaOperations
from async_migrations.online.sequences import SequenceOperations
from async_migrations.online.storage import StorageOperations
from async_migrations.online.tables import TableOperations
from async_migrations.online.written import WrittenDrop, WrittenIndex, read_concurrent


class Operations(
    TableOperations,
    StorageOperations,
    ColumnOperations,
    ConstraintOperations,
    KeyOperations,
    IndexOperations,
    EnumOperations,
    DomainOperations,
    SequenceOperations,
    SchemaOperations,
    CommentOperations,
    DataOperations,
):
    """What `self.op` offers a migration; made by the engine.

    In a transactional migration each operation is part of its transaction. In one with `transactional = False` it
    keeps the table open as far as PostgreSQL can, and may be called again after a failure: what is done already counts
    as done, and something else of the same name is an error.

    Args:
        connection: the migration's connection, in AUTOCOMMIT.
        transactional: whether the engine holds a transaction open on it.
        say: logs (level, message) with the migration's name.
        lock_timeout: seconds that a statement outside a transaction waits for a table's lock before it steps back
            and tries again; None for ever.
    """

    async def run(self, statement: str) -> None:
        """Run one statement of a SQL file that is not transactional.

        A concurrent build or drop of one index is treated as `create_index` and `drop_index` treat theirs, so
        that a second try finds its way. Everything else is run as it stands.

        Args:
            statement: one SQL statement.

        Raises:
            IndexConflictError: an index to build has the name of something else.
        """
        concurrent = read_concurrent(statement)
        if isinstance(concurrent, WrittenIndex):
            await build.build_written(self._wire, concurrent, self._say)
        elif isinstance(concurrent, WrittenDrop):
            await self.drop_index(concurrent.name, schema=concurrent.schema)
        else:
            await self._wire.run(statement)

    async def _run_one(self, statement: str) -> CursorResult[Any]:
        # With IF NOT EXISTS an index that a dead build left INVALID would count as there.
        if self._transactional or read_concurrent(statement) is None:
            return await super()._run_one(statement)
        await self.run(statement)
        return await super()._run_one("SELECT WHERE false")
