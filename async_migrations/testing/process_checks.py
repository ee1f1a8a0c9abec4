"""Checks with real processes: replicas that start at one moment, and a leader that is killed in its work."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio.from_thread import BlockingPortal

from async_migrations.testing.admin import connect
from async_migrations.testing.checks import NothingToCheckError
from async_migrations.testing.recipe import Recipe
from async_migrations.testing.replicas import Replica, replicas
from async_migrations.testing.template import engine_on

DEADLINE = 60.0
GATE = 0x616D0004
"""The advisory lock at which the leader stands still in the middle of a migration."""

TRAP = f"""
CREATE FUNCTION async_migrations_trap() RETURNS event_trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); END $$;
CREATE EVENT TRIGGER async_migrations_trap ON ddl_command_end EXECUTE FUNCTION async_migrations_trap();
"""
NO_TRAP = "DROP EVENT TRIGGER async_migrations_trap; DROP FUNCTION async_migrations_trap();"
TRAPPED = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def replicas_apply_once(recipe: Recipe, url: str, count: int) -> None:
    """Replicas start at one moment on an empty database: each migration is applied once, and all of them end well.

    Args:
        recipe: the history.
        url: of an empty database.
        count: how many replicas.
    """
    with replicas(count, recipe, url) as started:
        for each in started:
            each.go()
        applied = [name for each in started for name in each.outcome()]
    if sorted(applied) != sorted(recipe.names()):
        raise AssertionError(f"{count} replicas together applied {applied}, and there are {recipe.names()}.")


def killed_leader_is_replaced(recipe: Recipe, url: str, portal: BlockingPortal) -> None:
    """A leader is killed inside a migration: the waiter does the rest, and nothing is there twice or by half.

    Args:
        recipe: the history.
        url: of an empty database in which we may create event triggers, to stop the leader inside a migration.
        portal: the thread in which our own questions to the database are asked.

    Raises:
        NothingToCheckError: there are no migrations, or we are no superuser.
    """
    first, second = _halves(recipe.names())
    if first:
        portal.call(_upgrade, recipe, url, first[-1])
    with (
        portal.wrap_async_context_manager(_trap(url)) as driver,
        replicas(2, recipe, url) as (leader, waiter),
    ):
        leader.go()
        _wait_until_trapped(leader, lambda: bool(portal.call(driver.fetchval, TRAPPED, GATE)))
        waiter.go()
        waiter.wait_for("LockAwaited", "done", "failed")
        leader.kill()
        portal.call(driver.execute, f"SELECT pg_advisory_unlock({GATE})")
        waiter.outcome()
    odd = portal.call(_disagreements, recipe, url)
    if odd:
        raise AssertionError(f"After the leader was killed in one of {second}:\n" + "\n".join(odd))


def _halves(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not names:
        raise NothingToCheckError("There are no migrations.")
    middle = len(names) // 2
    return names[:middle], names[middle:]


def _wait_until_trapped(leader: Replica, is_trapped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not is_trapped() and not leader.has_said("done", "failed"):
        if time.monotonic() > deadline:
            raise AssertionError(f"The leader reached none of its migrations within {DEADLINE:.0f} s: {leader.said}")
        time.sleep(0.02)


async def _upgrade(recipe: Recipe, url: str, target: str) -> None:
    async with engine_on(url) as engine:
        await recipe.runner(engine).run_migrations(target)


async def _disagreements(recipe: Recipe, url: str) -> list[str]:
    async with engine_on(url) as engine:
        return [finding.text for finding in await recipe.runner(engine).verify() if finding.choice == "error"]


@asynccontextmanager
async def _trap(url: str) -> AsyncIterator[Any]:
    """Make every migration stand still at the end of its first change of the schema, until the gate is unlocked."""
    import asyncpg

    driver = await connect(url)
    try:
        await driver.execute(TRAP)
        await driver.execute(f"SELECT pg_advisory_lock({GATE})")
        yield driver
        await driver.execute(NO_TRAP)
    except asyncpg.InsufficientPrivilegeError as error:
        raise NothingToCheckError(
            "Only a superuser can stop a leader inside a migration, with an event trigger."
        ) from error
    finally:
        await driver.close()
