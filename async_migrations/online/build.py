"""Building and dropping an index beside running writes, so that a second try finds its way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from async_migrations.errors import IndexConflictError, MigrationsError, TransactionControlError
from async_migrations.events import Say
from async_migrations.online.catalog import Found, choose_name, find_by_name, find_invalid, find_on_table, is_same
from async_migrations.online.wire import Wire
from async_migrations.online.written import Wanted, WrittenIndex
from async_migrations.sql import qualified

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two looks at a build that another session is at."""

SWEEP_DEADLINE, HURRIED_SWEEP_DEADLINE = 5.0, 0.5
"""Seconds for removing what a failed build left, and after a cancellation, when the pod has little time."""


async def build(wire: Wire, wanted: Wanted, say: Say) -> bool:
    """Build an index concurrently unless it is there.

    Returns:
        Whether it was built now.

    Raises:
        IndexConflictError: something else has the name.
        TransactionControlError: a transaction is open.
    """
    await refuse_transaction(wire, "create_index")
    found = await when_idle(lambda: find_on_table(wire, wanted), say)
    if found is not None and found.kind is not None:
        if found.is_left_over:
            say(logging.WARNING, f"Index {wanted.name} is INVALID, left by a build that died; building it anew")
            await wire.run(f"DROP INDEX CONCURRENTLY {qualified(found.schema, wanted.name)}")
        else:
            if not (wanted.lenient and found.is_index and found.here):
                await refuse_another(wire, wanted, found)
            return False
    await build_or_sweep(wire, wanted, say)
    return True


async def build_written(wire: Wire, written: WrittenIndex, say: Say) -> None:
    """Build an index concurrently as a SQL file writes it, unless it is there.

    Raises:
        IndexConflictError: something else has the name.
        TransactionControlError: a transaction is open.
    """
    await refuse_transaction(wire, "create_index")
    named = written if written.name else await name_if_possible(wire, written)
    if named is None:
        await build_nameless(wire, written, say)
    elif not await build(wire, named, say):
        say(logging.INFO, f"✓ Index {named.name} is there already")


async def name_if_possible(wire: Wire, written: WrittenIndex) -> WrittenIndex | None:
    """Return an index with the name that PostgreSQL chooses; None if it cannot be asked, or refuses the statement."""
    try:
        return await choose_name(wire, written)
    except Exception:
        return None


async def build_nameless(wire: Wire, written: WrittenIndex, say: Say) -> None:
    """Run the statement as it stands, and tell of what it, or a build that died before, has left INVALID."""
    try:
        await wire.run(written.text)
    finally:
        with anyio.move_on_after(HURRIED_SWEEP_DEADLINE, shield=True), suppress(Exception):
            for name in await find_invalid(wire, written.qualified_table):
                say(
                    logging.WARNING,
                    f"Index {name} is INVALID, left by a build that died or failed; writes pay for it, and no query "
                    f"uses it. Drop it: DROP INDEX CONCURRENTLY {name};",
                )


async def drop(wire: Wire, name: str, schema: str | None, say: Say) -> None:
    """Drop an index concurrently; whether it is one has been looked at.

    Raises:
        TransactionControlError: a transaction is open.
    """
    await refuse_transaction(wire, "drop_index")
    found = await when_idle(lambda: find_by_name(wire, name, schema), say)
    if found is not None:
        await wire.run(f"DROP INDEX CONCURRENTLY {qualified(found.schema, name)}")


async def refuse_transaction(wire: Wire, operation: str) -> None:
    """Raise the error that says what to do while a transaction is open."""
    if await wire.in_transaction():
        raise TransactionControlError(
            f"{operation}() works concurrently here, which PostgreSQL refuses inside a transaction, and one is open "
            "on self.connection. Leave the block that began it (commit, or roll back) before the call."
        )


async def refuse_another(wire: Wire, wanted: Wanted, found: Found) -> None:
    """Raise IndexConflictError unless what has the name is the wanted index."""
    if found.is_index and found.here and await is_same(wire, wanted, found):
        return
    there = found.definition or f"a relation of kind {found.kind!r} (see pg_class.relkind), which is no index"
    raise IndexConflictError(
        f"The name {wanted.name} is taken in schema {found.schema} by something else, which was left as it is.\n"
        f"  there:  {there}\n"
        f"  wanted: {wanted.statement(wire.connection.dialect)}\n"
        f"If it is not needed, drop it first: await self.op.drop_index({wanted.name!r}). Otherwise give the new "
        "index another name."
    )


async def build_or_sweep(wire: Wire, wanted: Wanted, say: Say) -> None:
    """Build; after a failure take away what is left, and let the first error go on."""
    try:
        await wire.run(wanted.statement(wire.connection.dialect, concurrently=True))
        await verify(wire, wanted)
    except BaseException as error:
        hurried = isinstance(error, anyio.get_cancelled_exc_class())
        await sweep(wire, wanted, say, deadline=HURRIED_SWEEP_DEADLINE if hurried else SWEEP_DEADLINE)
        raise


async def verify(wire: Wire, wanted: Wanted) -> None:
    """Raise unless the index is there and PostgreSQL uses it."""
    found = await find_on_table(wire, wanted)
    if found is None or not found.valid:
        raise MigrationsError(
            f"Index {wanted.name} was built, but is not valid; somebody else works on it. Start again."
        )


async def sweep(wire: Wire, wanted: Wanted, say: Say, *, deadline: float) -> None:
    """Drop an INVALID index that nobody is building; never raises, for an error is on its way already."""
    with anyio.move_on_after(deadline, shield=True) as scope:
        try:
            found = None if await wire.is_closed() else await find_on_table(wire, wanted)
            if found and found.is_left_over:
                await wire.run(f"DROP INDEX CONCURRENTLY {qualified(found.schema, wanted.name)}")
        except Exception as error:
            say(logging.WARNING, f"Index {wanted.name} may be left INVALID ({error}); the next try removes it")
    if scope.cancelled_caught:
        say(logging.WARNING, f"Index {wanted.name} is left INVALID; the next try removes it")


async def when_idle(look: Callable[[], Awaitable[Found | None]], say: Say) -> Found | None:
    """Look until nobody builds an index on the table.

    Between two looks the session is idle and holds no snapshot. Both a build and a drop that met another build would
    hold one while they wait for its lock, and that build would wait for the snapshot: a deadlock. The wait ends with
    the other build, or with the deadline of the migration.
    """
    pause, told = FIRST_PAUSE, None
    while (found := await look()) is not None and found.builder is not None:
        if found.builder != told:
            say(logging.INFO, f"Process {found.builder} is building an index on {found.table}; waiting for it")
            told = found.builder
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return found
