"""The migrated database that all others are copies of: made once for all workers, whoever dies on the way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_migrations.sql import quote_identifier, quote_literal
from async_migrations.testing.admin import BUILD, DEADLINE, USE, create_statement, drop_statement, locked
from async_migrations.testing.databases import OURS_TO_DROP, Databases
from async_migrations.testing.recipe import Recipe

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncEngine

KEPT = "Kept by async_migrations for "
"""How the comment on a template begins that outlives the test run; the project follows."""
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"


@dataclass(frozen=True, slots=True)
class Template:
    """A migrated database, keyed by the digest of what made it.

    Args:
        databases: the copies of this process.
        recipe: what makes it.
        kept_for: the project for which it outlives the test run; None to drop it with its last user.
    """

    databases: Databases
    recipe: Recipe
    kept_for: str | None = None

    async def name(self) -> str:
        """Return the database's name, another one for another role: what is in it belongs to who made it."""
        role = (await self.databases.maker.nature()).role
        digest = hashlib.sha256(f"{role} {self.recipe.digest()}".encode()).hexdigest()
        return f"template_{await self.databases.prefix()}{digest[:20]}"

    async def prepare(self) -> str:
        """Make it, or wait for the worker that does; it stays as long as anybody uses it.

        Returns:
            Its name.

        Raises:
            MigrationsError: a migration failed, or the folder is not in order.
        """
        name = await self.name()
        await self.databases.maker.hold(USE, name)
        async with (
            self.databases.maker.session() as connection,
            locked(connection, BUILD, name, wait=True),
        ):
            complete = await connection.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name)
            if not complete:
                await self._build(connection, name)
            if self.kept_for:
                comment = quote_literal(KEPT + self.kept_for)
                await connection.execute(f"COMMENT ON DATABASE {quote_identifier(name)} IS {comment}")
        return name

    async def leave(self) -> None:
        """Use it no more; the last user drops it, where it would stay behind."""
        name = await self.name()
        if self.databases.lasting and not self.kept_for:
            await self.databases.maker.let_go(USE, name)
            async with self.databases.maker.session() as connection:
                if await connection.fetchval(COMMENT, name) is None:
                    await _drop_unused(connection, name, wait=True)

    async def clean_up(self) -> None:
        """Drop templates that nobody uses: those of killed test runs, and what this project kept of old migrations."""
        current = await self.name()
        pattern = re.compile(rf"template_{await self.databases.prefix()}[0-9a-f]{{20}}")
        async with self.databases.maker.session() as connection:
            for name, comment in await connection.fetch(OURS_TO_DROP):
                if pattern.fullmatch(name) and name != current and comment in {None, f"{KEPT}{self.kept_for}"}:
                    await _drop_unused(connection, name, wait=False)

    async def _build(self, connection: asyncpg.Connection[Any], name: str) -> None:
        """Make the template; marked as one when it is complete, so that a crash leaves what is seen to be nothing."""
        await connection.execute(drop_statement(name), timeout=DEADLINE)
        await connection.execute(create_statement(name, {}), timeout=DEADLINE)
        try:
            async with engine_on(self.databases.server.url(name)) as engine:
                await self.recipe.runner(engine).run_migrations()
        except BaseException:
            await connection.execute(drop_statement(name), timeout=DEADLINE)
            raise
        quoted = quote_identifier(name)
        await connection.execute(f"ALTER DATABASE {quoted} ALLOW_CONNECTIONS false")
        await connection.execute(f"ALTER DATABASE {quoted} IS_TEMPLATE true")


@contextmanager
def template_of(databases: Databases, recipe: Recipe, kept_for: str | None = None) -> Iterator[str]:
    """Have the template of a recipe; yield its name.

    Args:
        databases: the copies of this process.
        recipe: what makes it.
        kept_for: the project for which it outlives the test run; None to drop it with its last user.

    Raises:
        MigrationsError: a migration failed, or the folder is not in order.
    """
    template = Template(databases, recipe, kept_for)
    name = databases.portal.call(template.prepare)
    if databases.lasting:
        databases.in_background(template.clean_up)
    try:
        yield name
    finally:
        databases.portal.call(template.leave)


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine that keeps no connection, so that it belongs to no event loop.

    Args:
        url: of which database.
    """
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _drop_unused(connection: asyncpg.Connection[Any], name: str, *, wait: bool) -> None:
    async with (
        locked(connection, BUILD, name, wait=wait) as nobody_builds,
        locked(connection, USE, name, wait=False) as nobody_uses,
    ):
        if nobody_builds and nobody_uses:
            exists = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name)
            if exists:
                await connection.execute(f"ALTER DATABASE {quote_identifier(name)} IS_TEMPLATE false")
            await connection.execute(drop_statement(name), timeout=DEADLINE)
