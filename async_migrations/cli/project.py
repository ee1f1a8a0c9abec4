"""A project as a command finds it: its settings, its models, its database."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from async_migrations.cli import process
from async_migrations.cli.models import load_base
from async_migrations.cli.settings import Settings
from async_migrations.cli.terminal import LOGGER, Progress
from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_migrations.cli.address import Address
    from async_migrations.events import Observer
    from async_migrations.runner import MigrationRunner

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds to wait for a database if nothing else was said, as the runner has them."""


@dataclass(frozen=True, slots=True)
class Project:
    """What a command works with.

    Attributes:
        settings: what it was told.
        progress: what it has done.
        embedded: where a server of the project's own keeps its data; None without.
        called_from: the directory in which the command was typed.
        asks: whether there is somebody who can be asked.
    """

    settings: Settings
    progress: Progress
    embedded: Path | None
    called_from: Path
    asks: bool = False

    @property
    def has_database(self) -> bool:
        """Whether it was said where the database is."""
        return self.embedded is not None or self.settings.database_url is not None

    def require_database(self) -> None:
        """See that it was said where the database is.

        Raises:
            ConfigurationError: it was not.
        """
        if not self.has_database:
            raise ConfigurationError(
                f"It is not known where the database is. Set {self.settings.url_variable} or give --database-url, such "
                "as postgresql://user@localhost/name; or try --embedded, which runs a PostgreSQL of its own."
            )

    def path(self, path: Path) -> str:
        """Write a path of the project as the user who typed the command can open it."""
        return os.path.relpath(path, self.called_from)

    def run(
        self,
        use: Callable[[MigrationRunner], Awaitable[T]],
        *,
        models: bool = False,
    ) -> T:
        """Use a runner on the project's database.

        Args:
            use: what to do with it.
            models: whether the models are needed.

        Raises:
            ConfigurationError: there is no database, or no models where they are said to be.
            MigrationsError: see `errors`.
        """
        base = load_base(self.settings.base) if models and self.settings.base else None
        runners: list[MigrationRunner] = []

        async def work(address: Address) -> T:
            from async_migrations.runner import MigrationRunner

            engine = make_engine(address)
            runners.append(MigrationRunner(engine, base, **self.settings.options, observers=self._observers))
            try:
                return await use(runners[0])
            finally:
                await engine.dispose()

        with self._address() as address:
            return self._process(address, work, lambda: any(runner.stop() for runner in runners))

    def use(self, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
        """Await `work` with an engine on the project's database.

        Raises:
            ConfigurationError: there is no database.
            MigrationsError: see `errors`.
        """

        async def with_an_engine(address: Address) -> T:
            engine = make_engine(address)
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        with self._address() as address:
            return self._process(address, with_an_engine)

    def models(self) -> Any:
        """Return the models' base.

        Raises:
            ConfigurationError: it was not said where they are, or they are not there.
        """
        if not self.settings.base:
            raise ConfigurationError(
                "It is not known where the models are. Give --base module:attribute, or say it in pyproject.toml "
                'under [tool.async_migrations]: base = "models:Base".'
            )
        return load_base(self.settings.base)

    @property
    def patience(self) -> float:
        """Seconds to wait for a database; the runner's connect_deadline."""
        return float(self.settings.options.get("connect_deadline", PATIENCE))

    @property
    def ledger_table(self) -> str:
        """The ledger's table, which is nobody's model."""
        table, schema = (self.settings.options.get(name) for name in ("table", "schema"))
        # Its name as a comparison reads it: in quotes, so that a dot in it is no dot between two names.
        return ".".join('"' + each.replace('"', '""') + '"' for each in (schema, table or "schema_migrations") if each)

    def wait(self, deadline: float) -> float:
        """Wait until nothing is pending, over the bare driver: an init container starts a thousand times a day.

        Args:
            deadline: seconds, the time until there is a database included.

        Returns:
            The seconds that it took.

        Raises:
            ConfigurationError: there is no database.
            MigrationsError: see `errors`.
        """

        async def work(address: Address) -> float:
            from async_migrations import waiting
            from async_migrations.options import make_options

            options = make_options(address.connector, self.settings.options, self._observers)
            return (await waiting.until_current(options, deadline)).waited

        with self._address() as address:
            if not self.embedded and process.glance(lambda: self._looks_current(address, deadline)):
                return 0.0
            return self._process(address, work)

    async def _looks_current(self, address: Address, deadline: float) -> bool:
        from async_migrations.glance import shows_current
        from async_migrations.ledger import Ledger

        ledger = Ledger(self.settings.options.get("table", "schema_migrations"), self.settings.options.get("schema"))
        return await shows_current(address.connector, self.settings.directory, ledger, deadline=deadline)

    @property
    def _observers(self) -> tuple[Observer, ...]:
        from async_migrations.reporting import StartupLog

        return StartupLog(), self.progress

    def _process(
        self, address: Address, work: Callable[[Address], Awaitable[T]], stop: Callable[[], bool] = lambda: False
    ) -> T:
        async def with_a_database() -> T:
            if self.embedded:
                from async_migrations.cli.embedded import create_database

                await create_database(address.url.set(drivername="postgresql").render_as_string(hide_password=False))
            return await work(address)

        return process.run(with_a_database, self.progress.watch, stop)

    @contextmanager
    def _address(self) -> Iterator[Address]:
        from async_migrations.cli.address import read_address

        with self._database_url() as url:
            address = read_address(url)
            for name in address.ignored:
                logging.getLogger(LOGGER).warning("The database URL's parameter %s is unknown here and left out", name)
            with _passwords(address):
                yield address

    @contextmanager
    def _database_url(self) -> Iterator[str]:
        if self.embedded:
            from async_migrations.cli.embedded import database_name, embedded_server

            with embedded_server(self.embedded, database_name(self.settings.name)) as url:
                yield url
            return
        self.require_database()
        yield self.settings.database_url or ""


def make_engine(address: Address) -> AsyncEngine:
    """Make an engine that opens one connection at a time, directly or through a pooler.

    Args:
        address: where to.
    """
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from async_migrations.cli.address import UNPREPARED

    unprepared = {
        **UNPREPARED,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"async_migrations_{uuid4().hex}",
    }
    return create_async_engine(address.url, poolclass=NullPool, connect_args={**address.connect_args, **unprepared})


@contextmanager
def _passwords(address: Address) -> Iterator[None]:
    """Say what is wrong with the file of passwords, in the driver's place."""
    from async_migrations.cli.passfile import objection

    needed = address.password is None and "PGPASSWORD" not in os.environ
    if needed and (text := objection(address.passfile)):
        logging.getLogger(LOGGER).warning("%s", text)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "password file")
        yield


@contextmanager
def importing_from(directory: Path) -> Iterator[None]:
    """Let the project's modules be imported, those of the command's own directory first."""
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
