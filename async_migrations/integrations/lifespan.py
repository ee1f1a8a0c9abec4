"""A lifespan that migrates and then enters the application's own; for any framework that takes a lifespan."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, overload

from async_migrations.integrations.start import failure_of_start
from async_migrations.runner import MigrationRunner

App = TypeVar("App")
Lifespan = Callable[[App], AbstractAsyncContextManager[Any]]


@overload
def migration_lifespan(
    runner: MigrationRunner, *, inner: None = None, current_only: float | None = None
) -> Lifespan[Any]: ...


@overload
def migration_lifespan(
    runner: MigrationRunner, *, inner: Lifespan[App], current_only: float | None = None
) -> Lifespan[App]: ...


def migration_lifespan(
    runner: MigrationRunner, *, inner: Lifespan[App] | None = None, current_only: float | None = None
) -> Lifespan[App]:
    """Return a lifespan that brings the database up to date before the application starts.

    The server accepts no connection until it is done: see `asgi.MigrationGate` where probes would lose patience.

    Args:
        runner: whose database; its engine stays the application's to dispose of.
        inner: the application's own lifespan, entered after that; the state that it yields is passed on.
        current_only: seconds to wait until others have migrated, for a replica that must not; None to migrate.

    Raises:
        NotStartedError: when entered; the start stops with the engine's sentence.
    """

    def lifespan(app: App) -> _Starting:
        return _Starting(runner, current_only, partial(inner, app) if inner else nullcontext)

    return lifespan


class _Starting:
    """A class and no generator: a framework shows the frames between itself and an error, and this is only one."""

    def __init__(
        self,
        runner: MigrationRunner,
        current_only: float | None,
        inner: Callable[[], AbstractAsyncContextManager[Any]],
    ) -> None:
        self._runner = runner
        self._current_only = current_only
        self._inner = inner
        self._entered: AbstractAsyncContextManager[Any] | None = None

    async def __aenter__(self) -> Any:
        failure = await failure_of_start(self._runner, self._current_only)
        if failure is not None:
            raise failure
        self._entered = self._inner()
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._entered.__aexit__(kind, error, trace) if self._entered else None
