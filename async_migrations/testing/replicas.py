"""Replicas of a service: real processes that migrate one database at one moment, and can be killed."""

from __future__ import annotations

import base64
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from async_migrations.errors import MigrationsError
from async_migrations.testing.recipe import Recipe

DEADLINE = 120.0
PROGRAM = "from async_migrations.testing.replica import main; main()"
END = ("done", "failed", "")


class ReplicaError(MigrationsError):
    """A replica did not do what was expected of it."""


class Replica:
    """One process of a service.

    Attributes:
        said: what it has said so far: `ready` with its `pid`, the events of its run by their `kind`, then `done` or
            `failed`.
        ends: the descriptors of the process itself, until it has them: where it is told, and where it speaks.
    """

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        told, tells = os.pipe()
        hears, speaks = os.pipe()
        self.ends = told, speaks
        self._mouth, self._ears = os.fdopen(tells, "w"), os.fdopen(hears)
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def begin(self, order: str) -> None:
        """Bring it to its starting line, once its process is on the way.

        Args:
            order: what it migrates, on one line.
        """
        for each in self.ends:
            os.close(each)
        self._listener.start()
        self._write(order)

    def go(self) -> None:
        """Let it migrate."""
        self._write("")

    def wait_for(self, *kinds: str) -> dict[str, Any]:
        """Wait until it has said something of one of these kinds; return the facts.

        Args:
            kinds: names of events, `done`, `failed`, or an empty text for its end.

        Raises:
            ReplicaError: it ended before, or nothing came for two minutes.
        """
        while not (found := self._found(kinds)):
            try:
                news = self._news.get(timeout=DEADLINE)
            except queue.Empty:
                raise ReplicaError(f"A replica said none of {kinds} within {DEADLINE:.0f} s: {self.said}") from None
            self.said.append(news)
            if not news["kind"] and "" not in kinds:
                raise ReplicaError(f"A replica ended without a word of {kinds}: {self.said}")
        return found

    def has_said(self, *kinds: str) -> bool:
        """Tell whether it has said anything of these kinds so far."""
        while not self._news.empty():
            self.said.append(self._news.get())
        return self._found(kinds) is not None

    def outcome(self) -> tuple[str, ...]:
        """Wait for its end; return the names that it applied.

        Raises:
            ReplicaError: it failed.
        """
        facts = self.wait_for("done", "failed")
        if facts["kind"] == "failed":
            raise ReplicaError(f"A replica failed with {facts['error']}")
        return tuple(facts["applied"])

    def kill(self) -> None:
        """End it with SIGKILL, whatever it does."""
        os.kill(self.wait_for("ready")["pid"], signal.SIGKILL)
        self._listener.join()

    def close(self) -> None:
        """Forget it, when its process has ended."""
        self._listener.join()
        self._mouth.close()
        self._ears.close()

    def _found(self, kinds: Sequence[str]) -> dict[str, Any] | None:
        return next((facts for facts in self.said if facts["kind"] in kinds), None)

    def _write(self, line: str) -> None:
        self._mouth.write(f"{line}\n")
        self._mouth.flush()

    def _listen(self) -> None:
        for line in self._ears:
            self._news.put(json.loads(line))
        self._news.put({"kind": ""})


@contextmanager
def replicas(count: int, recipe: Recipe, url: str) -> Iterator[list[Replica]]:
    """Run processes that stand at the starting line; none outlives the block.

    They are forked from one that has imported the engine: to import it in each would take longer than what they do.

    Args:
        count: how many.
        recipe: what they migrate.
        url: their database.

    Raises:
        ReplicaError: the recipe cannot be handed to them, or one does not get that far.
    """
    path = [*sys.path, *([str(recipe.home)] if recipe.home else [])]
    order = json.dumps({"path": path, "recipe": _written(recipe), "url": url})
    found = [Replica() for _ in range(count)]
    origin = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, *(f"{told},{speaks}" for told, speaks in (each.ends for each in found))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[end for each in found for end in each.ends],
        start_new_session=True,
    )
    with origin:
        try:
            for each in found:
                each.begin(order)
            for each in found:
                each.wait_for("ready")
            yield found
        finally:
            os.killpg(origin.pid, signal.SIGKILL)
            for each in found:
                each.close()


def _written(recipe: Recipe) -> str:
    try:
        return base64.b64encode(pickle.dumps(recipe)).decode()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ReplicaError(
            f"The recipe cannot be handed to another process: {error}. Give the models as a class or MetaData "
            "at the top of a module, and options without functions."
        ) from error
