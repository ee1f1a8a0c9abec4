"""The migration's connection, spoken to in the simple query protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection

from async_migrations.cursor import forget_plans
from async_migrations.retry import sqlstate
from async_migrations.rows import read_rows, unhurried

ROLLBACK_DEADLINE = 5.0
"""Seconds that the end of such a transaction may take before the connection is cut."""

DENIED = "42501"
"""insufficient_privilege."""

SELECT_GRANT = """SELECT format('Whether what is there is what is wanted, PostgreSQL finds out with a temporary '
 'relation. Let it: GRANT TEMPORARY ON DATABASE %I TO %I;', current_database(), current_user) AS hint
 WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')"""


@dataclass(frozen=True, slots=True)
class Wire:
    """Sends statements without preparing them.

    A prepared statement outlives its backend behind a transaction pooler, and the portal of the extended protocol
    keeps a snapshot for which a concurrent index build would wait.

    Args:
        connection: the migration's.
        before: is awaited before each message.
    """

    connection: AsyncConnection
    before: Callable[[str], Awaitable[None]] | None = None

    async def run(self, statement: str) -> None:
        """Run one statement, or several as one message; an error carries the text as SQLAlchemy's do."""
        if self.before:
            await self.before(statement)
        try:
            driver = await self._driver()
            await driver.execute(statement, timeout=unhurried(driver))
        except Exception as error:
            error.statement = statement  # type: ignore[attr-defined]  # the driver's errors do not know it
            raise
        finally:
            forget_plans(self.connection.dialect)

    async def read(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query, with the values that JSON has."""
        return await read_rows(await self._driver(), query)

    async def in_transaction(self) -> bool:
        """Tell whether the server is inside a transaction."""
        return bool((await self._driver()).is_in_transaction())

    async def is_closed(self) -> bool:
        """Tell whether the connection is gone."""
        return self.connection.invalidated or bool((await self._driver()).is_closed())

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[None]:
        """Run what is inside, among temporary relations, in a transaction that is always rolled back.

        An error that comes of a role that may have none says what to grant.
        """
        try:
            async with self._rolled_back():
                yield
        except Exception as error:
            if sqlstate(error) == DENIED:
                with suppress(Exception):
                    error.hint = (await self.read(SELECT_GRANT))[0]["hint"]  # type: ignore[attr-defined]  # the driver's
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run what is inside in one transaction: all of it, or nothing."""
        async with self._rolled_back():
            yield
            await self.run("COMMIT")

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[None]:
        """Run what is inside in a transaction that is rolled back, unless it has ended."""
        driver = await self._driver()
        await driver.execute("BEGIN")
        try:
            yield
        finally:
            if driver.is_in_transaction():
                with anyio.move_on_after(ROLLBACK_DEADLINE, shield=True), suppress(Exception):
                    await driver.execute("ROLLBACK")
            if driver.is_in_transaction():
                driver.terminate()

    async def _driver(self) -> Any:
        return (await self.connection.get_raw_connection()).driver_connection
