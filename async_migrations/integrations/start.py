"""The start of a service: its database is migrated or waited for, and what stops it is one sentence."""

from __future__ import annotations

import logging

import anyio

from async_migrations.errors import MigrationFailedError, MigrationsError, NotStartedError, RunStoppedError
from async_migrations.integrations.signals import stopping
from async_migrations.migration import Report
from async_migrations.reporting import LOGGER
from async_migrations.runner import MigrationRunner
from async_migrations.standing import Standing, Watch

LOG = logging.getLogger(LOGGER)


async def bring_up(runner: MigrationRunner, current_only: float | None) -> Report:
    """Migrate, or wait for whoever does.

    Args:
        runner: whose database.
        current_only: seconds to wait, without ever migrating, until nothing is pending; None to migrate.

    Raises:
        MigrationsError: see `errors`.
    """
    if current_only is None:
        return await runner.run_migrations()
    return await runner.wait_until_current(current_only)


async def failure_of_start(runner: MigrationRunner, current_only: float | None) -> NotStartedError | None:
    """Do as `bring_up`, inside a server that is not yet up: SIGTERM and Ctrl-C end it cleanly, after its grace.

    Returns:
        Why the service must not start, or None. It is for the caller to raise: each frame on the way is lines in the
        server's log.
    """
    watch = Watch()

    def stop() -> None:
        if not runner.stop():
            scope.cancel()

    with anyio.CancelScope() as scope, stopping(stop) as received:
        try:
            await bring_up(runner.watched_by(watch), current_only)
        except RunStoppedError as error:
            LOG.debug("The service does not start", exc_info=error)
        except MigrationsError as error:
            LOG.debug("The service does not start", exc_info=error)
            return NotStartedError(str(error))
        else:
            return None
    return NotStartedError(stopped(received[0].name if received else "the service itself", watch.now))


def stopped(by: str, standing: Standing) -> str:
    """Say what a run that was cancelled leaves; pure.

    Args:
        by: what stopped it.
        standing: how it stood.
    """
    at_work = f" {standing.migration} was cancelled." if standing.migration and not standing.holder else ""
    done = f"{', '.join(standing.applied)} (stays so)" if standing.applied else "nothing"
    return f"Stopped by {by}.{at_work} Applied before it: {done}. The next start goes on from there."


def sentence(error: Exception) -> str:
    """Say why a run failed, to whoever asks a probe; statements of migrations may hold secrets, so they stay out."""
    if isinstance(error, MigrationFailedError):
        return str(error).partition("\n")[0]
    return str(error) if isinstance(error, MigrationsError) else f"{type(error).__name__}; the log says more."
