"""Databases for tests: made ahead of them and dropped behind their back, by a thread with an event loop of its own."""

from __future__ import annotations

import itertools
import logging
import re
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from async_migrations.reporting import LOGGER
from async_migrations.sql import quote_identifier, quote_literal
from async_migrations.testing.admin import DEADLINE, EMPTY, OWNER, Admin, create_statement, drop_statement, locked
from async_migrations.testing.given import DatabaseServer

LOG = logging.getLogger(LOGGER)

READY_AHEAD = 2
"""Databases that are made before anybody asks for them."""

OURS_TO_DROP = """
SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE pg_has_role(datdba, 'USAGE')
"""
"""Databases with their comments; another role's on the same server are its own to remove."""


class Databases:
    """The databases that one process uses on a server.

    One session makes and drops them, one by one: two would take the processors from the test that runs meanwhile.

    Args:
        server: where.
        portal: the thread in which they are made.
        lasting: whether the server outlives us, so that nothing of ours may stay on it.
        ahead: how many of a kind are ready before they are asked for.
    """

    def __init__(
        self, server: DatabaseServer, portal: BlockingPortal, *, lasting: bool = False, ahead: int = READY_AHEAD
    ) -> None:
        self.server = server
        self.portal = portal
        self.lasting = lasting
        self.maker = Admin(server)
        self._ahead = ahead
        self._owner = uuid4().hex[:12]
        self._numbers = itertools.count(1)
        self._ready: defaultdict[str, deque[Future[str]]] = defaultdict(deque)
        self._ours: set[str] = set()
        self._background: list[Future[None]] = []
        self._closing = False

    def take(self, template: str = EMPTY) -> Future[str]:
        """Return the name of a fresh database, once it is there; more are made meanwhile.

        Args:
            template: the database that it is a copy of.
        """
        ready = self._ready[template]
        while len(ready) <= self._ahead:
            ready.append(self.create(template=template))
        return ready.popleft()

    def create(self, name: str | None = None, **options: str) -> Future[str]:
        """Create a database.

        Args:
            name: its name; one that is free by default.
            options: those of CREATE DATABASE, such as `owner`.

        Returns:
            The name, once it is there.
        """
        return self.portal.start_task_soon(self._create, name, options)

    def drop(self, name: str) -> None:
        """Drop a database some time later, whoever is connected to it."""
        if not self._closing:
            self.portal.start_task_soon(self._drop, name)

    def keep(self, name: str) -> None:
        """Leave a database behind when we go, and when the next test run cleans up."""
        self._ours.discard(name)
        if self.lasting:
            self.in_background(partial(self._mark, name))

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something of which only our end has to wait for the end."""
        self._background.append(self.portal.start_task_soon(work))

    def close(self) -> None:
        """Drop what is left, where the server does not go with us."""
        try:
            for each in self._background:
                if error := each.exception():
                    LOG.warning("Databases of earlier test runs may still be there: %s", error)
        finally:
            self._closing = True
            self.portal.call(self._close)

    async def introduce(self) -> None:
        """Say whose databases these are, before there is one."""
        await self.maker.hold(OWNER, self._owner)

    async def clean_up(self) -> None:
        """Drop what test runs that were killed have left."""
        owners: defaultdict[str, list[str]] = defaultdict(list)
        pattern = re.compile(rf"{await self.prefix()}([0-9a-f]{{12}})_\d+")
        async with self.maker.session() as connection:
            for name, comment in await connection.fetch(OURS_TO_DROP):
                if comment is None and (found := pattern.fullmatch(name)) and found[1] != self._owner:
                    owners[found[1]].append(name)
            for owner, names in owners.items():
                async with locked(connection, OWNER, owner, wait=False) as dead:
                    for name in names if dead else ():
                        await connection.execute(drop_statement(name))

    async def prefix(self) -> str:
        """Return how the names of all databases of tests begin, where our locks are those of their owners."""
        nature = await self.maker.nature()
        return f"test_{nature.oid}_"

    async def _create(self, name: str | None, options: dict[str, str]) -> str:
        if name is None:
            name = f"{await self.prefix()}{self._owner}_{next(self._numbers)}"
        statement = create_statement(name, {**(await self.maker.nature()).strategy, **options})
        async with self.maker.session() as connection:
            if not self._closing:
                self._ours.add(name)
                await connection.execute(statement, timeout=DEADLINE)
        return name

    async def _mark(self, name: str) -> None:
        kept = quote_literal("Kept by async_migrations after a test failed")
        await self.maker.execute(f"COMMENT ON DATABASE {quote_identifier(name)} IS {kept}")

    async def _drop(self, name: str) -> None:
        async with self.maker.session() as connection:
            if not self._closing:
                await connection.execute(drop_statement(name), timeout=DEADLINE)
                self._ours.discard(name)

    async def _close(self) -> None:
        try:
            await self.maker.settle()
            for name in list(self._ours) if self.lasting else ():
                await self.maker.execute(drop_statement(name))
        finally:
            with anyio.CancelScope(shield=True):
                await self.maker.close()


@contextmanager
def databases_of(server: DatabaseServer, *, lasting: bool = False, ahead: int = READY_AHEAD) -> Iterator[Databases]:
    """Run the thread that makes and drops the databases of this process.

    Args:
        server: where.
        lasting: whether the server outlives us, so that nothing of ours may stay on it.
        ahead: how many of a kind are ready before they are asked for.
    """
    with start_blocking_portal("asyncio") as portal:
        databases = Databases(server, portal, lasting=lasting, ahead=ahead)
        try:
            portal.call(databases.introduce)
            if lasting:
                databases.in_background(databases.clean_up)
            yield databases
        finally:
            databases.close()
