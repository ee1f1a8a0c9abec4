"""Replicas of a service: real processes that migrate one database at one moment, and can be killed."""

from __future__ import annotations

import base64
import json
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from async_migrations.errors import MigrationsError
from async_migrations.testing.recipe import Recipe

DEADLINE = 120.0
PROGRAM = "from async_migrations.testing.replica import main; main()"
END = ("done", "failed", "")


class ReplicaError(MigrationsError):
    """A replica did not do what was expected of it."""


class Replica:
    """One process of a service, at its starting line.

    Args:
        recipe: what it migrates.
        url: its database.

    Attributes:
        said: what it has said so far: the events of its run by their `kind`, then `done` or `failed`.
    """

    def __init__(self, recipe: Recipe, url: str) -> None:
        try:
            written = base64.b64encode(pickle.dumps(recipe)).decode()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ReplicaError(
                f"The recipe cannot be handed to another process: {error}. Give the models as a class or MetaData "
                "at the top of a module, and options without functions."
            ) from error
        self.said: list[dict[str, Any]] = []
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()
        self._write(json.dumps({"path": sys.path, "recipe": written, "url": url}))

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
        self._process.kill()
        self._process.wait()
        self._ear.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _found(self, kinds: Sequence[str]) -> dict[str, Any] | None:
        return next((facts for facts in self.said if facts["kind"] in kinds), None)

    def _write(self, line: str) -> None:
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            with suppress(ValueError):  # what an interpreter prints before it runs our program
                self._news.put(json.loads(line))
        self._news.put({"kind": ""})


@contextmanager
def replicas(count: int, recipe: Recipe, url: str) -> Iterator[list[Replica]]:
    """Run processes that stand at the starting line; none outlives the block.

    Args:
        count: how many.
        recipe: what they migrate.
        url: their database.
    """
    found: list[Replica] = []
    try:
        for _ in range(count):
            found.append(Replica(recipe, url))  # noqa: PERF401 - those made before a failure must be ended too
        for each in found:
            each.wait_for("ready")
        yield found
    finally:
        for each in found:
            each.kill()
