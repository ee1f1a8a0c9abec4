"""A replica that something happens to at one message of its conversation with the server, and its heir."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner, Report
from async_migrations.events import Event, LockTaken
from tests.conformance.aftermath import LEDGER, check, empty, gone, look, names, watching
from tests.conftest import WHOLE
from tests.support.proxy import Action, Callback, Fault, Streams, WireProxy
from tests.support.replica_launcher import open_engine, warm
from tests.support.replicas import Launcher
from tests.support.waiting import eventually
from tests.support.wire import Message, Side

NOTICED = 0.5
"""Seconds until a server in the middle of a statement looks whether its client is there: what the engine asks for."""

TAKE_OVER = 2.0
"""Seconds that the next replica may need beyond what the server needs."""

LANES = 4
"""Cases at once in one test, so that none waits for another's waiting."""

AUDIT_TABLE = "CREATE TABLE audit (migration text, written_at timestamptz DEFAULT clock_timestamp())"
TERMINATE = "SELECT pg_terminate_backend($1)"
TERMINATE_ALL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


class Cable(WireProxy):
    """A proxy that can be cut, so that not even a new connection comes through, and mended."""

    is_cut = False

    def url(self, url: str) -> str:
        """As the proxy's, for a client that asks for TLS first, as each does that is not told otherwise."""
        return make_url(super().url(url)).update_query_dict({"ssl": "prefer"}).render_as_string(hide_password=False)

    def cut(self) -> None:
        """Close all connections, as keepalives do some seconds after a node is gone, and refuse new ones."""
        self.is_cut = True
        for link in self.links:
            link.strike(Action.RESET)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = self._all_silent = False

    async def _serve(self, client: Streams) -> None:
        if self.is_cut:
            client[1].transport.abort()
            return
        try:
            await super()._serve(client)
        except* OSError:
            # Both ends went at one moment: the proxy could not tell the second about the first.
            pass


@dataclass(slots=True)
class Log:
    """What replicas said, and when."""

    events: list[tuple[float, Event]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append((time.monotonic(), event))

    def first(self, kind: type[Event], *, after: float = 0.0) -> float | None:
        """Return when one of them first said something of this kind, by the monotonic clock."""
        return next((at for at, event in self.events if isinstance(event, kind) and at >= after), None)

    async def heard(self, kind: type[Event]) -> None:
        """Wait until one of them has said something of this kind."""

        async def is_said() -> bool:
            return self.first(kind) is not None

        await eventually(is_said, deadline=20)


async def migrate(engine: AsyncEngine, directory: Path, log: Log) -> Report:
    """Be one replica, in this process; its connections are closed at the end."""
    try:
        return await MigrationRunner(engine, directory=directory, observers=[log]).run_migrations()
    finally:
        await engine.dispose()


async def revert(engine: AsyncEngine, directory: Path, log: Log) -> Report:
    """Be one replica that takes everything back."""
    try:
        return await MigrationRunner(engine, directory=directory, observers=[log]).downgrade(0)
    finally:
        await engine.dispose()


@dataclass(frozen=True, slots=True)
class History:
    """A folder of migrations.

    Attributes:
        directory: The folder.
        indexes: What its concurrent indexes are called.
        perhaps_twice: Those that a death between a step and its record may repeat.

    """

    directory: Path
    indexes: Sequence[str] = ()
    perhaps_twice: Sequence[str] = ()


@dataclass(slots=True)
class Lane:
    """A database, the cable on which a replica reaches it, and a direct way for its heir; one case after another."""

    url: str
    history: History
    witness: asyncpg.Connection
    cable: Cable
    victim: AsyncEngine
    heir: AsyncEngine
    pooled: bool
    log: Log = field(default_factory=Log)

    async def record(self) -> list[Message]:
        """Return the messages of a run to which nothing happens."""
        await empty(self.witness)
        before = len(self.cable.messages)
        await migrate(self.victim, self.history.directory, self.log)
        await self.check()
        return self.cable.messages[before:]

    async def prepare(self) -> None:
        """Apply everything, and make the table in which each way back leaves a line."""
        await empty(self.witness)
        await self.witness.execute(AUDIT_TABLE)
        await migrate(self.heir, self.history.directory, Log())
        self.log.events.clear()

    async def record_revert(self) -> list[Message]:
        """Return the messages of a downgrade to which nothing happens."""
        await self.prepare()
        before = len(self.cable.messages)
        await revert(self.victim, self.history.directory, self.log)
        await self.check_reverted()
        return self.cable.messages[before:]

    async def check_reverted(self) -> None:
        """Assert that nothing is left, each way back was taken once, and nobody left anything behind."""
        await gone(self.witness, pooled=self.pooled)
        found = await look(self.witness)
        assert (found.ledger, found.indexes, found.locks) == ([], [], 0)
        perhaps_twice = {name: 1 for name in self.history.perhaps_twice if found.audit.get(name, 0) > 1}
        assert found.audit | perhaps_twice == dict.fromkeys(names(self.history.directory), 1)

    async def survive_revert(self, moment: int, action: Action | Callback) -> None:
        """Let something happen to a replica that takes everything back; it and another both finish."""
        await self.prepare()
        self.arm(moment, action)
        victim = asyncio.create_task(revert(self.victim, self.history.directory, self.log))
        await self._struck(victim)
        struck_at = time.monotonic()
        reports = await asyncio.gather(victim, revert(self.heir, self.history.directory, self.log))
        reverted = [name for report in reports for name in report.applied]
        assert sorted(reverted) == names(self.history.directory)
        self._took_over(struck_at)
        await self.check_reverted()

    def arm(self, moment: int, action: Action | Callback, *, everywhere: bool = True) -> None:
        """Strike after the message number `moment` of the next run."""
        at = len(self.cable.messages) + moment
        self.cable.arm(Fault(at, action, everywhere=everywhere))

    async def check(self) -> None:
        """Assert that nothing is lost, nothing came twice, and nobody left anything behind."""
        history = self.history
        await check(
            self.witness,
            history.directory,
            history.indexes,
            perhaps_twice=history.perhaps_twice,
            pooled=self.pooled,
        )

    async def survive(self, moment: int, action: Action | Callback, *, everywhere: bool = True) -> None:
        """Let something happen to a replica that lives on; it and another that comes at that moment both finish."""
        await empty(self.witness)
        self.log.events.clear()
        self.arm(moment, action, everywhere=everywhere)
        victim = asyncio.create_task(migrate(self.victim, self.history.directory, self.log))
        await self._struck(victim)
        struck_at = time.monotonic()
        reports = await asyncio.gather(victim, migrate(self.heir, self.history.directory, self.log))
        applied = [name for report in reports for name in report.applied]
        assert sorted(applied) == names(self.history.directory)
        self._took_over(struck_at)
        await self.check()

    async def vanish(self, moment: int) -> None:
        """Let the network between a replica and the server go silent, and the server notice it later."""
        await empty(self.witness)
        self.log.events.clear()
        self.arm(moment, Action.SILENCE)
        victim = asyncio.create_task(migrate(self.victim, self.history.directory, Log()))
        await self._struck(victim)
        heir = asyncio.create_task(migrate(self.heir, self.history.directory, self.log))
        self.cable.cut()
        noticed_at = time.monotonic()
        await heir
        victim.cancel()
        await asyncio.wait({victim})
        self.cable.mend()
        self._took_over(noticed_at)
        await self.check()

    async def lose_an_answer(self) -> None:
        """Let the answer to the first COMMIT get lost, and another finish before the replica can come back."""
        messages = await self.record()
        first, *others = names(self.history.directory)
        moment = next(n for n, each in enumerate(messages, 1) if is_last_word(each, first))
        await empty(self.witness)
        self.log.events.clear()
        self.arm(moment, Action.SILENCE)
        victim = asyncio.create_task(migrate(self.victim, self.history.directory, Log()))
        await self._struck(victim)

        async def is_committed() -> bool:
            return bool(
                await self.witness.fetchval(f"SELECT true FROM ({LEDGER}) AS l WHERE migration_name = $1", first)
            )

        await eventually(is_committed, deadline=20)
        self.cable.cut()
        heir = await migrate(self.heir, self.history.directory, self.log)
        self.cable.mend()
        assert [(await victim).applied, heir.applied] == [(first,), tuple(others)]
        await self.check()

    async def die(self, moment: int, launcher: Launcher) -> None:
        """Kill a replica, a real process, with SIGKILL."""
        await empty(self.witness)
        self.log.events.clear()
        directory = self.history.directory
        (victim,) = await launcher.muster(1, self.cable.url(self.url), directory, unnamed_statements=self.pooled)

        async def kill(_: Message) -> None:
            victim.kill()

        self.arm(moment, kill)
        await launcher.go([victim])
        await asyncio.wait_for(self.cable.struck.wait(), 20)
        struck_at = time.monotonic()
        await migrate(self.heir, directory, self.log)
        self._took_over(struck_at)
        await self.check()

    async def cancel(self, moment: int) -> None:
        """Cancel a replica, as a service does that is told to go while it starts."""
        await empty(self.witness)
        self.log.events.clear()
        victim = asyncio.create_task(migrate(self.victim, self.history.directory, Log()))

        async def cancel(_: Message) -> None:
            victim.cancel()

        self.arm(moment, cancel)
        await asyncio.wait({victim}, timeout=20)
        # Its last word is a goodbye: by then it has finished.
        assert victim.cancelled() or self.cable.messages[-1].kind == "X", "the cancellation was swallowed"
        ended_at = time.monotonic()
        await migrate(self.heir, self.history.directory, self.log)
        self._took_over(ended_at)
        await self.check()

    def terminate(self) -> Callback:
        """Return what ends the backend to which a message belongs."""

        async def strike(message: Message) -> None:
            pid = self.cable.links[message.connection - 1].backend_pid
            if pid is not None:
                await self.witness.execute(TERMINATE, pid)

        return strike

    async def terminate_all(self, _: Message) -> None:
        """End every backend of the database but the witness's: behind a pooler no message says whose it is."""
        await self.witness.execute(TERMINATE_ALL)

    async def _struck(self, victim: asyncio.Task[Report]) -> None:
        struck = asyncio.create_task(self.cable.struck.wait())
        await asyncio.wait({victim, struck}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert struck.done(), "the replica had finished before the message came"

    def _took_over(self, since: float) -> None:
        taken = self.log.first(LockTaken, after=since)
        assert taken is None or taken - since < NOTICED + TAKE_OVER, f"taken over after {taken - since:.2f} s"


@asynccontextmanager
async def lanes(urls: Sequence[str], port: int, history: History, *, pooled: bool = False) -> AsyncIterator[list[Lane]]:
    """Open a lane on each of some databases.

    Args:
        urls: The databases, directly.
        port: Where replicas reach them: the server's, or the pooler's.
        history: What is migrated.
        pooled: Whether it is a pooler.

    """
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_lane(url, port, history, pooled=pooled)) for url in urls]


@asynccontextmanager
async def _lane(url: str, port: int, history: History, *, pooled: bool) -> AsyncIterator[Lane]:
    way = make_url(url).set(port=port).render_as_string(hide_password=False)
    async with watching(url) as witness, Cable("127.0.0.1", port) as cable:
        victim = open_engine(cable.url(way), unnamed_statements=pooled)
        heir = open_engine(way, unnamed_statements=pooled)
        await warm(victim)
        await warm(heir)
        yield Lane(url, history, witness, cable, victim, heir, pooled)


def is_last_word(message: Message, name: str) -> bool:
    """Tell whether a message commits a migration."""
    return message.side is Side.CLIENT and name.encode() in message.body and b"; COMMIT" in message.body


def client_spoke(messages: Sequence[Message]) -> list[int]:
    """Return the moments at which the server learns something new, by their number from 1.

    A dead replica says nothing more, so that for the server all moments until its next message are one.
    """
    return [number for number, message in enumerate(messages, 1) if message.side is Side.CLIENT]


def turns(messages: Sequence[Message]) -> list[int]:
    """Return the moments at which it is the other side's turn, and those of a message of one's own accord."""
    pairs = zip(messages, [*messages[1:], messages[0]], strict=True)
    return [
        number
        for number, (message, following) in enumerate(pairs, 1)
        if message.side is Side.CLIENT or following.side is Side.CLIENT or message.kind == "N"
    ]


def some(moments: Sequence[int], version: int, *, whole: int = 1, others: int = 16) -> Sequence[int]:
    """Choose moments: on older servers few, and on each of them others.

    Args:
        moments: all of them.
        version: of the server.
        whole: on the newest server every so many-th.
        others: on the others.
    """
    if version == WHOLE:
        return moments[::whole]
    return moments[others // 2 if version % 2 else 0 :: others]


async def run_all(lanes: Sequence[Lane], moments: Sequence[int], case: Callable[[Lane, int], Awaitable[None]]) -> None:
    """Run a case for each moment, several at once.

    Raises:
        AssertionError: Some failed; each is named by its moment.

    """
    assert moments
    todo = list(reversed(moments))
    failures: list[str] = []

    async def drive(lane: Lane) -> None:
        while todo:
            moment = todo.pop()
            first = len(lane.cable.messages)
            try:
                await case(lane, moment)
            except Exception as error:
                message = lane.cable.messages[first + moment - 1]
                said = [type(event).__name__ for _, event in lane.log.events]
                failures.append(
                    f"after message {moment} ({message.side.value} {message.kind} of connection "
                    f"{message.connection}: {message.body[:80]!r}): {type(error).__name__}: {error}\n  said: {said}"
                )

    await asyncio.gather(*(drive(lane) for lane in lanes))
    assert not failures, f"{len(failures)} of {len(moments)} failed\n" + "\n".join(failures)
