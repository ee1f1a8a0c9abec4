"""The process of one replica: told on its standard input what to migrate, it says on its output what happens."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from async_migrations.events import Event
    from async_migrations.testing.recipe import Recipe


def main() -> None:
    """Read an order, stand at the starting line until the next line comes, then migrate."""
    # What the project and its child processes print is no word of ours.
    voice = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    say = partial(_say, voice)
    order = json.loads(sys.stdin.readline())
    sys.path[:] = order["path"]
    recipe: Recipe = pickle.loads(base64.b64decode(order["recipe"]))  # noqa: S301 - our parent's own
    say("ready")
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
