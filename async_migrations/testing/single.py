"""One migration under test: the database as it was just before it, rows put in, the migration applied, a look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_migrations.testing.recipe import Recipe
from async_migrations.testing.template import engine_on

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_migrations.migration import Report


@dataclass(frozen=True, slots=True)
class SingleMigration:
    """One migration, and a database that is where it begins.

    Attributes:
        name: the migration's name.
        before: the one that comes before it; 0 for the first.
        engine: on the database; keeps no connection.
        recipe: the history that the migration belongs to.
    """

    name: str
    before: int | str
    engine: AsyncEngine
    recipe: Recipe

    async def execute(self, statement: str, **values: Any) -> None:
        """Run a statement and commit it.

        Args:
            statement: SQL, with `:name` for each value.
            values: by name.
        """
        await self._run(statement, values)

    async def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query.

        Args:
            query: SQL, with `:name` for each value.
            values: by name.
        """
        return [tuple(row) for row in await self._run(query, values)]

    async def apply(self) -> Report:
        """Apply the migration, and none after it."""
        return await self.recipe.runner(self.engine).run_migrations(self.name)

    async def revert(self) -> Report:
        """Revert the migration."""
        return await self.recipe.runner(self.engine).downgrade(self.before)

    async def _run(self, statement: str, values: dict[str, Any]) -> Sequence[Any]:
        from sqlalchemy import text

        async with self.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return result.all() if result.returns_rows else ()


BeforeMigration = Callable[[int | str], AbstractAsyncContextManager[SingleMigration]]
"""What the fixture `before_migration` is: called with a number or a name, it is `just_before` on a database of ours."""


@asynccontextmanager
async def just_before(recipe: Recipe, url: str, migration: int | str) -> AsyncIterator[SingleMigration]:
    """Bring an empty database to where a migration begins.

    Args:
        recipe: the history.
        url: of the empty database.
        migration: its number or name.

    Raises:
        ConfigurationError: there is no such migration.
        MigrationsError: one before it failed.
    """
    from async_migrations.plan import resolve_target

    file = resolve_target(recipe.folder().files, migration)
    names = recipe.names()
    earlier = names[: names.index(file.name)]
    async with engine_on(url) as engine:
        if earlier:
            await recipe.runner(engine).run_migrations(earlier[-1])
        yield SingleMigration(file.name, earlier[-1] if earlier else 0, engine, recipe)
