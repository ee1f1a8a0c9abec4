"""The start of a service: its database is migrated or waited for, and what stops it is one sentence."""

from __future__ import annotations

import logging

import anyio

from async_migrations.errors import MigrationFailedError, MigrationsError, NotStartedError
from async_migrations.integrations.signals import stopping
from async_migrations.reporting import LOGGER
from async_migrations.runner import MigrationRunner
from async_migrations.standing import Standing, Watch

LOG = logging.getLogger(LOGGER)


async def bring_up(runner: MigrationRunner, current_only: float | None, watch: Watch) -> None:
    """Migrate, or wait for whoever does; SIGTERM and Ctrl-C end it cleanly.

    Args:
        runner: whose database.
        current_only: seconds to wait, without ever migrating, until nothing is pending; None to migrate.
        watch: an observer of the runner, to say what a signal has stopped.

    Raises:
        NotStartedError: a signal came first.
        MigrationsError: see `errors`.
    """
    with anyio.CancelScope() as scope, stopping(scope.cancel) as received:
        if current_only is None:
            await runner.run_migrations()
        else:
            await runner.wait_until_current(current_only)
        return
    raise NotStartedError(stopped(received[0].name, watch.now))


async def failure_of_start(runner: MigrationRunner, current_only: float | None) -> NotStartedError | None:
    """Do as `bring_up`, inside a server that is not yet up.

    Returns:
        Why the service must not start, or None. It is for the caller to raise: each frame on the way is lines in the
        server's log.
    """
    watch = Watch()
    try:
        await bring_up(runner.watched_by(watch), current_only, watch)
    except MigrationsError as error:
        LOG.debug("The service does not start", exc_info=error)
        return NotStartedError(str(error))
    return None


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
