"""Litestar: `Litestar(plugins=[MigrationPlugin(runner)])`."""

from __future__ import annotations

from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from async_migrations.integrations.lifespan import migration_lifespan
from async_migrations.runner import MigrationRunner


class MigrationPlugin(InitPlugin):
    """Brings the database up to date before anything else of the application starts.

    Args:
        runner: whose database.
        current_only: seconds to wait until others have migrated, for a replica that must not; None to migrate.
    """

    def __init__(self, runner: MigrationRunner, *, current_only: float | None = None) -> None:
        self._runner = runner
        self._current_only = current_only

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Put the migrations before the application's own lifespans; Litestar calls it."""
        app_config.lifespan.insert(0, migration_lifespan(self._runner, current_only=self._current_only))
        return app_config
