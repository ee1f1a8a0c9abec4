"""The live side of a comparison, as its scratch place needs it: a session of its own, or a transaction at work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.connector import EngineConnector, spare
from async_migrations.events import Event
from async_migrations.schema import kept
from async_migrations.schema.catalog import Place
from async_migrations.schema.copies import copied, read_copies
from async_migrations.schema.patience import roll_back
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name
from async_migrations.session import Session

_SAVEPOINT = "async_migrations_look"


class Live(Protocol):
    """What a scratch place has to ask of the live side."""

    async def ensure(self, name: str, place: Place) -> str | None:
        """Have a scratch database; return why there is none."""

    async def copies(self, made: Collection[Name]) -> Sequence[str]:
        """Return statements that make what is there by hand, without what the metadata makes itself."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session of the comparison's own, in no transaction.

    Attributes:
        session: the session.
        snapshot: what it saw.
    """

    session: Session
    snapshot: Snapshot

    async def ensure(self, name: str, place: Place) -> str | None:
        """Have a scratch database; return why there is none."""
        return await kept.ensure(self.session, name, place)

    async def copies(self, made: Collection[Name]) -> Sequence[str]:
        """Return statements that make what is there by hand, without what the metadata makes itself."""
        return await read_copies(self.session.driver, self.snapshot, made)


@dataclass(frozen=True, slots=True)
class LiveTransaction:
    """A transaction at work: all was read beforehand, so that a scratch place that is slow cannot break it.

    Attributes:
        engine: of its database.
        snapshot: what it saw.
        by_hand: statements that make what a snapshot only names.
        is_kept: whether the scratch database is there.
        deadline: seconds to wait for a connection.
        say: is told of a scratch database that was made.
    """

    engine: AsyncEngine
    snapshot: Snapshot
    by_hand: Sequence[str]
    is_kept: bool
    deadline: float
    say: Callable[[str], None]

    async def ensure(self, name: str, place: Place) -> str | None:
        """Have a scratch database; return why there is none."""
        if self.is_kept:
            return None
        # CREATE DATABASE runs in no transaction, and ours has to go on.
        async with spare(EngineConnector(self.engine), _nobody, deadline=self.deadline, pooled=True) as session:
            reason = await kept.ensure(session, name, place)
        if reason is None:
            self.say(f"Made the scratch database {name}, which is kept for comparisons and is empty between them.")
        return reason

    async def copies(self, made: Collection[Name]) -> Sequence[str]:
        """Return statements that make what is there by hand, without what the metadata makes itself."""
        return [*copied(self.snapshot, made), *self.by_hand]


@asynccontextmanager
async def looking(driver: Any) -> AsyncIterator[None]:
    """Look around inside a transaction at work, which afterwards is as it was, its settings too.

    Args:
        driver: asyncpg's connection, in the transaction.
    """
    # The role's own patience with an idle transaction is made for requests.
    await driver.execute(f"SAVEPOINT {_SAVEPOINT}; SET LOCAL idle_in_transaction_session_timeout = 0")
    try:
        yield
    finally:
        await roll_back(driver, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}")


def _nobody(_event: Event) -> None:
    """Nobody is told of tries to connect."""
