"""Waiting for a ledger to become current, without ever migrating or taking the lock."""

from __future__ import annotations

import anyio

from async_migrations import discovery
from async_migrations.errors import NotCurrentError
from async_migrations.events import MigrationsPending, RunStarted
from async_migrations.lock import FIRST_WORD, UNSAID, Lock, doze, holder_of, listen, speak
from async_migrations.migration import Report
from async_migrations.options import Options, check_seconds
from async_migrations.plan import make_plan
from async_migrations.run import Run
from async_migrations.session import Session


async def until_current(options: Options, deadline: float) -> Report:
    """Wait until nothing is pending.

    Args:
        options: what to wait for and where; a connector of the bare driver will do.
        deadline: seconds; those until there is a database count, and connect_deadline does not.

    Raises:
        ConfigurationError: the deadline is no number of seconds.
        NotCurrentError: something is still pending.
        MigrationsError: see `errors`.
    """
    check_seconds("deadline", deadline)
    started = anyio.current_time()
    run = Run(options, "wait", until=started + deadline)
    run.emit(RunStarted(run.verb))
    folder = discovery.discover(options.directory)

    async def story(session: Session) -> None:
        if await run.is_done(session, folder):
            return
        key, facts = await run.key(session)
        session.hold()
        await session.outlast_idling(facts)
        bell = await listen(session, key, deaf=session.is_pooled(facts))
        lock, word = Lock(session, key), UNSAID
        while True:
            rung = bell.arm()
            pending = make_plan(folder.files, await run.read(session)).pending
            if pending and not run.waited:
                run.emit(MigrationsPending(tuple(file.name for file in pending)))
            run.waited = anyio.current_time() - started
            if not pending:
                return
            if run.waited >= deadline:
                holder = await holder_of(session, key)
                raise NotCurrentError(deadline, [file.name for file in pending], str(holder) if holder else "")
            if run.waited >= FIRST_WORD:
                word = await speak(lock, run.emit, run.waited, *word)
            await doze(rung, deadline - run.waited)

    await run.tell(story)
    return run.end()
