"""Processes of replicas: told on a pipe what to migrate, each says on another one what happens."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from async_migrations.events import Event
    from async_migrations.testing.recipe import Recipe

ENGINE = (
    "anyio._backends._asyncio",
    "async_migrations.executor",
    "async_migrations.online",
    "async_migrations.runner",
    "async_migrations.testing.template",
    "asyncpg",
    "postgast",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
)
"""What every replica imports, sooner or later."""


def main() -> None:
    """Fork a replica for each pair of descriptors that our arguments name, and live as long as who started us."""
    # None of the project's: what a module starts when it is imported, such as a thread, would not be there in a fork.
    for module in ENGINE:
        import_module(module)
    pairs = [tuple(map(int, argument.split(","))) for argument in sys.argv[1:]]
    for pair in pairs:
        if not os.fork():
            _close(other for other in pairs if other is not pair)
            _be_replica(*pair)
            return
    _close(pairs)
    # As long as we wait for none of them, the number of one that has ended is nobody else's.
    sys.stdin.read()


def _close(pairs: Iterable[Sequence[int]]) -> None:
    for each in chain.from_iterable(pairs):
        os.close(each)


def _be_replica(told: int, speaks: int) -> None:
    """Read an order, stand at the starting line until the next line comes, then migrate."""
    os.dup2(told, 0)
    os.close(told)
    # What the project and its child processes print is no word of ours.
    os.dup2(2, 1)
    os.set_inheritable(speaks, False)
    say = partial(_say, os.fdopen(speaks, "w"))
    order = json.loads(sys.stdin.readline())
    sys.path[:] = order["path"]
    recipe: Recipe = pickle.loads(base64.b64decode(order["recipe"]))  # noqa: S301 - our parent's own
    say("ready", pid=os.getpid())
    sys.stdin.readline()
    try:
        say("done", applied=asyncio.run(_migrate(recipe, order["url"], say)))
    except Exception as error:
        say("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(1)


async def _migrate(recipe: Recipe, url: str, say: Callable[..., None]) -> tuple[str, ...]:
    from async_migrations.testing.template import engine_on

    def observe(event: Event) -> None:
        say(type(event).__name__, **asdict(event))

    async with engine_on(url) as engine:
        return (await recipe.runner(engine, observers=(observe,)).run_migrations()).applied


def _say(voice: TextIO, kind: str, **facts: object) -> None:
    print(json.dumps({**facts, "kind": kind}, default=str), file=voice, flush=True)
