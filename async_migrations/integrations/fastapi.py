"""FastAPI: `FastAPI(lifespan=migration_lifespan(runner))`."""

from __future__ import annotations

from async_migrations.integrations.lifespan import migration_lifespan

__all__ = ["migration_lifespan"]
