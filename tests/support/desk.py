"""A migration's `self.op` at a table with rows, in a transaction or without one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from async_migrations.online import Operations
from tests.support.pictures import picture

Work = Callable[[Operations], Awaitable[object]]


@dataclass
class Desk:
    """A connection of a migration, the driver under it, and what was said."""

    connection: AsyncConnection
    driver: Any
    said: list[str] = field(default_factory=list)
    lock_timeout: float | None = 5.0

    def say(self, _: int, message: str) -> None:
        self.said.append(message)

    @asynccontextmanager
    async def op(self, *, transactional: bool) -> AsyncIterator[Operations]:
        """Yield what a migration of this kind has as `self.op`."""
        operations = Operations(
            self.connection, transactional=transactional, say=self.say, lock_timeout=self.lock_timeout
        )
        if not transactional:
            yield operations
            return
        await self.driver.execute("BEGIN")
        try:
            yield operations
        except BaseException:
            await self.driver.execute("ROLLBACK")
            raise
        await self.driver.execute("COMMIT")

    async def do(self, work: Work, *, transactional: bool) -> object:
        """Await some work in a migration of its own."""
        async with self.op(transactional=transactional) as op:
            return await work(op)

    async def picture(self) -> dict[str, list[str]]:
        """Return all that the database holds."""
        return await picture(self.driver)

    async def value(self, query: str) -> Any:
        """Return the one value of a query."""
        return await self.driver.fetchval(query)


@asynccontextmanager
async def open_desk(engine: AsyncEngine) -> AsyncIterator[Desk]:
    """Open a connection as the engine does."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        driver = (await connection.get_raw_connection()).driver_connection
        yield Desk(connection, driver)
