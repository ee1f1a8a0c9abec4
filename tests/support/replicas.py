"""Replicas of a service: real processes that start at one moment, each with connections of its own."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Child, child_process

LAUNCHER = "from tests.support.replica_launcher import main; main()"
END = "done|failed|cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replica ended.

    Attributes:
        kind: ``done``, ``failed`` or ``cancelled``.
        at: When, in seconds since the epoch.
        applied: Names that it applied.
        waited: Seconds that it waited for another.
        error: What it failed with.

    """

    kind: str
    at: float
    applied: tuple[str, ...] = ()
    waited: float = 0.0
    error: str = ""


class Replica:
    """One process of a service that starts."""

    def __init__(self, launcher: Child, number: int, fleet: int) -> None:
        self.fleet = fleet
        self.pid = 0
        self._launcher = launcher
        self._number = number

    async def ready(self) -> None:
        """Wait until it stands at the starting line."""
        self.pid = (await self.event("ready"))["pid"]

    async def event(self, kind: str, *, deadline: float = 60.0) -> dict[str, Any]:
        """Wait until it has said something of this kind, the name of an event or an end; return the facts.

        Args:
            kind: Its name, or a regular expression.
            deadline: Seconds.

        """
        pattern = rf'^{{"replica": {self._number}, "kind": "({kind})"'
        facts: dict[str, Any] = json.loads(await self._launcher.line_matching(pattern, deadline=deadline))
        return facts

    async def outcome(self, *, deadline: float = 60.0) -> Outcome:
        """Wait for its end."""
        facts = await self.event(END, deadline=deadline)
        fields = {key: facts[key] for key in ("kind", "at", "waited", "error") if key in facts}
        return Outcome(applied=tuple(facts.get("applied", ())), **fields)

    def has_said(self, kind: str) -> bool:
        """Tell whether it has said anything of this kind so far."""
        beginning = f'{{"replica": {self._number}, "kind": "{kind}"'
        return any(line.startswith(beginning) for line in self._launcher.lines)

    def kill(self) -> None:
        """End it with SIGKILL; nothing happens when it has ended already."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Launcher:
    """Makes replicas."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._numbers = itertools.count(1)

    async def muster(
        self,
        count: int,
        url: str,
        directory: Path,
        *,
        target: int | None = None,
        unnamed_statements: bool = False,
        **options: object,
    ) -> list[Replica]:
        """Make replicas that stand at the starting line.

        Args:
            count: How many.
            url: Their database.
            directory: Their migrations.
            target: The last migration, by number; all without.
            unnamed_statements: As for `open_engine`.
            options: Those of `MigrationRunner`.

        """
        fleet = next(self._numbers)
        numbers = [next(self._numbers) for _ in range(count)]
        await self._order(
            do="fork",
            fleet=fleet,
            replicas=numbers,
            url=url,
            directory=str(directory),
            target=target,
            unnamed_statements=unnamed_statements,
            options=options,
        )
        replicas = [Replica(self._child, number, fleet) for number in numbers]
        await asyncio.gather(*(replica.ready() for replica in replicas))
        return replicas

    async def go(self, replicas: Sequence[Replica]) -> None:
        """Let replicas that were mustered together go, at one moment."""
        await self._order(do="go", fleet=replicas[0].fleet)

    async def start(self, url: str, directory: Path, **options: Any) -> Replica:
        """Make one replica and let it go."""
        replicas = await self.muster(1, url, directory, **options)
        await self.go(replicas)
        return replicas[0]

    async def race(self, count: int, url: str, directory: Path, **options: Any) -> list[Outcome]:
        """Let replicas start at one moment; return how each ended."""
        replicas = await self.muster(count, url, directory, **options)
        await self.go(replicas)
        return list(await asyncio.gather(*(replica.outcome() for replica in replicas)))

    async def _order(self, **words: object) -> None:
        await self._child.write_line(json.dumps(words))


@asynccontextmanager
async def launching() -> AsyncIterator[Launcher]:
    """Run a launcher; its replicas end with it."""
    async with child_process(LAUNCHER) as child:
        yield Launcher(child)
