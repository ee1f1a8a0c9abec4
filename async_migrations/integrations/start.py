"""The start of a service: its database is migrated or waited for, and what stops it is one sentence."""

from __future__ import annotations

import logging
from contextlib import suppress

import anyio

from async_migrations.errors import (
    LockWaitError,
    MigrationFailedError,
    MigrationsError,
    NotCurrentError,
    NotStartedError,
    RunStoppedError,
    of_cancelled,
)
from async_migrations.integrations.signals import is_stopping, stopping
from async_migrations.lock import without_statement
from async_migrations.reporting import LOGGER
from async_migrations.runner import MigrationRunner
from async_migrations.standing import Standing, Watch

LOG = logging.getLogger(LOGGER)

SHUTDOWN = "the server's shutdown"


class Ending:
    """The end of one start before it is done: softly when first asked for, at once when asked again.

    Args:
        runner: what runs.

    Attributes:
        scope: the start's own.
        asked_by: who asked first; None while nobody has.
    """

    def __init__(self, runner: MigrationRunner) -> None:
        self.runner = runner
        self.scope = anyio.CancelScope()
        self.asked_by: str | None = None

    def ask(self, by: str) -> None:
        """Let the migration at work end within its grace; what is not at work ends at once.

        Args:
            by: who asks; the server's shutdown only follows the signal that caused it.
        """
        follows = self.asked_by is not None and by == SHUTDOWN
        self.asked_by = self.asked_by or by
        if not follows and not self.runner.stop():
            self.scope.cancel()


async def bring_up(current_only: float | None, watch: Watch, ending: Ending) -> None:
    """Migrate, or wait for whoever does; SIGTERM and Ctrl-C end it cleanly.

    Args:
        current_only: seconds to wait, without ever migrating, until nothing is pending; None to migrate.
        watch: an observer of the runner, to say what was stopped.
        ending: how it may be asked to end.

    Raises:
        NotStartedError: it was asked to.
        MigrationsError: see `errors`.
    """
    with ending.scope, stopping(lambda: ending.ask(received[-1].name)) as received, suppress(RunStoppedError):
        if is_stopping():
            # The signal came while the application was imported, and only the server heard it.
            ending.ask(SHUTDOWN)
        elif current_only is None:
            await ending.runner.run_migrations()
        else:
            await ending.runner.wait_until_current(current_only)
    if ending.asked_by is not None:
        raise NotStartedError(stopped(ending.asked_by, watch.now))


async def failure_of_start(runner: MigrationRunner, current_only: float | None) -> NotStartedError | None:
    """Do as `bring_up`, inside a server that is not yet up.

    Returns:
        Why the service must not start, or None. It is for the caller to raise: each frame on the way is lines in the
        server's log.
    """
    watch = Watch()
    try:
        await bring_up(current_only, watch, Ending(runner.watched_by(watch)))
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
    cancelled = of_cancelled(None if standing.holder else standing.migration, unsure=standing.unsure)
    done = f"{', '.join(standing.applied)} (stays so)" if standing.applied else "nothing"
    return f"Stopped by {by}.{cancelled} Applied before it: {done}. The next start goes on from there."


def sentence(error: Exception) -> str:
    """Say why a run failed, to whoever asks a probe; statements of migrations may hold secrets, so they stay out."""
    if isinstance(error, MigrationFailedError):
        return str(error).partition("\n")[0]
    if isinstance(error, LockWaitError | NotCurrentError) and error.holder:
        return str(error).replace(error.holder, without_statement(error.holder))
    return str(error) if isinstance(error, MigrationsError) else f"{type(error).__name__}; the log says more."
