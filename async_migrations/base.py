"""BaseMigration: what a migration author sees."""

from __future__ import annotations

import inspect
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from async_migrations.errors import AuthorError, ConfigurationError
from async_migrations.events import Say
from async_migrations.face import MigrationEngine
from async_migrations.migration import Statistics
from async_migrations.session import Session

if TYPE_CHECKING:
    # Loaded when a migration runs: most starts run none.
    from async_migrations.online import Operations
    from async_migrations.online.calls import Calls

T = TypeVar("T")
Returned = Statistics | Mapping[str, Any] | None
Step = Callable[[str, Callable[[], Awaitable[object]]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Context:
    """What the engine hands to a migration when its turn has come."""

    session: Session
    engine: MigrationEngine
    base: Any
    say: Say
    step: Step
    op: Operations
    calls: Calls
    tell: Callable[[float, float | None], None]


class BaseMigration:
    """One migration: subclass it as `Migration` in `NNN_name.py` and write `async def upgrade(self)`.

    Attributes:
        transactional: False for what PostgreSQL refuses inside a transaction. Such a migration records that it
            began and each finished `step`, so that a retry goes on where it stopped.
    """

    transactional: ClassVar[bool] = True
    _context: Context | None = None

    @property
    def name(self) -> str:
        """The file's stem. Overriding it with anything else is an error."""
        return Path(sys.modules[type(self).__module__].__file__ or "").stem

    @property
    def description(self) -> str:
        """The first line of the class's docstring, or of the module's."""
        own = type(self).__doc__ if type(self) is not BaseMigration else None
        doc = inspect.cleandoc(own or sys.modules[type(self).__module__].__doc__ or "").strip()
        return doc.splitlines()[0] if doc else ""

    async def upgrade(self) -> Returned:
        """Apply the migration.

        Returns:
            Statistics, a dict of them (tables_created, columns_added, indexes_created, any others), or nothing.
        """
        raise NotImplementedError

    async def downgrade(self) -> Returned:
        """Take the migration back. Optional: without it the migration cannot be reverted."""
        raise NotImplementedError

    @property
    def connection(self) -> AsyncConnection:
        """The connection, inside the migration's transaction."""
        return self._bound.session.connection

    @property
    def engine(self) -> MigrationEngine:
        """A face of that same connection: `connect()` and `begin()` hand it out inside a savepoint."""
        return self._bound.engine

    @property
    def base(self) -> Any:
        """The declarative base, or the MetaData, that the runner was given; None without."""
        return self._bound.base

    @property
    def metadata(self) -> MetaData:
        """The MetaData of `base`.

        Raises:
            ConfigurationError: the runner was given none.
        """
        return metadata_of(self._bound.base)

    @property
    def op(self) -> Operations:
        """Operations that do not stop a running service."""
        return self._bound.op

    def execute(
        self,
        statement: str | Executable,
        params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Coroutine[Any, Any, CursorResult[Any]]:
        """Run SQL in the migration's transaction.

        Args:
            statement: SQL text, or a SQLAlchemy construct. Text without `params` is sent as it is, colons and
                percent signs included, and may hold several statements; with `params` it is one statement with
                `:name` in it.
            params: the values, or several sets of them.

        Returns:
            The result, of the last statement where there are several.
        """
        return self._bound.op.execute(statement, params)

    def run_sync(self, work: Callable[[Connection], T]) -> Coroutine[Any, Any, T]:
        """Call `work` with the synchronous face of the connection: `metadata.create_all`, `inspect`."""
        return self._bound.calls.note("run_sync", self.connection.run_sync(work))

    def step(self, name: str, work: Callable[[], Awaitable[object]]) -> Coroutine[Any, Any, None]:
        """Await `work()` once, also over retries of a non-transactional migration.

        Args:
            name: what the step is called; another step with the name is an error.
            work: an async function without arguments.
        """
        return self._bound.calls.note("step", self._bound.step(name, work))

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell how far a long migration is: a bar for whoever watches.

        Args:
            done: how much is done, in any unit.
            total: of how much; None if that is not known.

        Raises:
            AuthorError: one of them is no number, or below zero.
        """
        values: tuple[object, ...] = (done, 0 if total is None else total)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise AuthorError(f"progress({done!r}, {total!r}): both must be numbers from 0 up. Pass what is done.")
        self._bound.tell(done, total)

    def log_debug(self, message: str) -> None:
        """Log `message` at DEBUG, with the migration's name before it."""
        self._bound.say(logging.DEBUG, message)

    def log_info(self, message: str) -> None:
        """Log `message` at INFO, with the migration's name before it."""
        self._bound.say(logging.INFO, message)

    def log_warning(self, message: str) -> None:
        """Log `message` at WARNING, with the migration's name before it."""
        self._bound.say(logging.WARNING, message)

    def log_error(self, message: str) -> None:
        """Log `message` at ERROR, with the migration's name before it."""
        self._bound.say(logging.ERROR, message)

    def bind(self, context: Context) -> None:
        """Take what the engine hands over; called by the engine."""
        self._context = context

    @property
    def _bound(self) -> Context:
        if self._context is None:
            raise AuthorError(
                f"{type(self).__name__} is not running: connection, engine and logging exist only while the "
                "runner awaits upgrade() or downgrade()."
            )
        return self._context


def metadata_of(base: Any) -> MetaData:
    """Return the MetaData of a declarative base, or `base` itself if it is one.

    Raises:
        ConfigurationError: it is neither.
    """
    found = base if isinstance(base, MetaData) else getattr(base, "metadata", None)
    if isinstance(found, MetaData):
        return found
    raise ConfigurationError(
        f"The models are not known: base is {type(base).__name__}. Pass the declarative base or its MetaData: "
        "MigrationRunner(engine, Base)."
    )
