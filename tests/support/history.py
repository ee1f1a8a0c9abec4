"""Migrations declared inside a test: a folder of files, a runner for it, and questions to the database."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import Event, MigrationRunner

HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
"""Of pg_locks: it shows those of all databases, and copies of one give their tables the same numbers."""


class History:
    """A folder of migrations that a test writes as it goes, and the events of its runs."""

    def __init__(self, directory: Path, engine: AsyncEngine) -> None:
        self.directory = directory
        self.engine = engine
        self.events: list[Event] = []
        directory.mkdir(exist_ok=True)

    def without_pool(self) -> None:
        """Open a connection each time: for a client that runs, and ends, an event loop of its own."""
        self.engine = create_async_engine(self.engine.url, poolclass=NullPool)

    def sql(self, name: str, script: str) -> Path:
        """Write `name`.sql."""
        path = self.directory / f"{name}.sql"
        path.write_text(textwrap.dedent(script))
        return path

    def python(
        self, name: str, upgrade: str, *, downgrade: str | None = None, top: str = "", attributes: str = ""
    ) -> Path:
        """Write `name`.py with the bodies of `upgrade()` and `downgrade()`."""
        lines = ["from sqlalchemy import text", "from async_migrations import *", textwrap.dedent(top)]
        lines += ["class Migration(BaseMigration):", f'    """The migration {name}."""']
        lines += [textwrap.indent(textwrap.dedent(attributes), "    ")]
        for verb, body in (("upgrade", upgrade), ("downgrade", downgrade)):
            if body is not None:
                lines += [f"    async def {verb}(self):", textwrap.indent(textwrap.dedent(body).strip(), "        ")]
        path = self.directory / f"{name}.py"
        path.write_text("\n".join(lines) + "\n")
        return path

    def runner(self, base: Any = None, **options: Any) -> MigrationRunner:
        """Return a runner whose events end up in `events`."""
        return MigrationRunner(
            self.engine, base, self.directory, **{"observers": (self.events.append,), "connect_deadline": 5, **options}
        )

    def told(self, kind: type[Event]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def rows(self, query: str) -> Sequence[Any]:
        """Run a query, each row as a tuple."""
        async with self.engine.connect() as connection:
            return [tuple(row) for row in (await connection.execute(text(query))).all()]

    async def value(self, query: str) -> Any:
        """Run a query of one value."""
        return (await self.rows(query))[0][0]

    async def do(self, script: str) -> None:
        """Run statements outside any migration."""
        async with self.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            await driver.execute(script)

    async def exists(self, relation: str) -> bool:
        """Tell whether a table or index of this name exists."""
        return bool(await self.value(f"SELECT to_regclass('{relation}') IS NOT NULL"))

    async def ledger(self) -> list[str]:
        """Return the names in the ledger."""
        return [row[0] for row in await self.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]

    async def locks(self) -> int:
        """Return how many advisory locks are held or wanted in this database."""
        found = await self.value(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HERE}")
        return int(found)

    async def is_unlocked(self) -> bool:
        """Tell whether no advisory lock is held in this database."""
        return await self.locks() == 0
