"""What an operator may correct by hand: stamp, baseline, repair. Each records without running anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import anyio

from async_migrations import discovery
from async_migrations.discovery import Folder
from async_migrations.errors import LedgerError
from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import Claim
from async_migrations.loading import Loader
from async_migrations.lock import ledger_awaited
from async_migrations.migration import MigrationFile, RepairReport, Report
from async_migrations.retry import is_lock_timeout
from async_migrations.run import Run
from async_migrations.session import Session
from async_migrations.sql import timeout


async def record(run: Run, files: Sequence[MigrationFile], *, empty: bool) -> Report:
    """Record `files` as applied; those that are applied already are left as they are.

    Args:
        run: the call.
        files: which.
        empty: whether the ledger must be empty, as a baseline wants it.

    Raises:
        LedgerError: it is not, or one of them began and did not finish.
        LockWaitError: another session has locked what is to be written, until the deadline.
    """
    claims = await _claims(run, files)

    async def story(session: Session) -> None:
        async with run.leading(session) as leader:
            if leader is None:
                return
            # A COMMIT of ours may have had no answer: what it left is ours, too.
            found = await run.read(session)
            rows = [row for row in found if row.run_id != run.id]
            if empty and rows:
                raise LedgerError(
                    f"A baseline needs an empty ledger, and {leader.ledger.sql} has {len(rows)} row(s), the last is "
                    f"{rows[-1].name}. Nothing was recorded. To record single migrations use stamp."
                )
            present = {row.name: row.dirty for row in rows}
            dirty = [claim.name for claim in claims if present.get(claim.name)]
            if dirty:
                raise LedgerError(
                    f"Nothing was recorded: {', '.join(dirty)} began and did not finish: the ledger marks it dirty. If "
                    f"it was finished by hand: `async-migrations repair {' '.join(dirty)}`. If not, `upgrade` goes on "
                    "with it."
                )
            new = [claim for claim in claims if claim.name not in present]
            if new and len(rows) == len(found):
                statements = [leader.ledger.record(claim) for claim in new]
                await _write(run, session, leader.ledger, statements, leader.key.notify)
            run.applied.extend(claim.name for claim in new)

    await run.tell(story)
    return run.end()


async def repair(run: Run, folder: Folder, finished: Collection[str]) -> RepairReport:
    """Take the checksums of changed files anew, and clear dirty rows.

    Args:
        run: the call.
        folder: the files.
        finished: names of dirty migrations to record as applied; the other dirty rows are removed.

    Raises:
        LedgerError: one of those is not dirty.
        LockWaitError: another session has locked what is to be written, until the deadline.
    """
    repaired: dict[str, str] = {}

    async def story(session: Session) -> None:
        async with run.leading(session) as leader:
            if leader is None:
                return
            rows = await run.read(session)
            dirty = [row.name for row in rows if row.dirty]
            # A COMMIT of ours may have had no answer: what it recorded is no longer dirty.
            wrong = [name for name in finished if name not in dirty and name not in repaired]
            if wrong:
                raise _not_dirty(wrong, dirty)
            done = [file for file in folder.files if file.name in finished and file.name in dirty]
            changed = discovery.changed(folder.files, rows).values()
            statements = [
                *(leader.ledger.realign(f.name, discovery.checksum(f), f.raw_checksum) for f in changed),
                *(leader.ledger.release(name) for name in dirty),
                *(leader.ledger.record(claim) for claim in await _claims(run, done)),
            ]
            # Noted before: a COMMIT without an answer leaves nothing to be found by the next look.
            repaired.update({file.name: "accepted" for file in changed})
            repaired.update({name: "recorded" if name in finished else "removed" for name in dirty})
            if statements:
                await _write(run, session, leader.ledger, statements)

    await run.tell(story)
    run.applied.extend(repaired)
    report = run.end()
    recorded, removed = (tuple(n for n, what in repaired.items() if what == how) for how in ("recorded", "removed"))
    return RepairReport(report.applied, report.waited, report.duration_ms, report.statistics, recorded, removed)


def _not_dirty(wrong: Sequence[str], dirty: Sequence[str]) -> LedgerError:
    return LedgerError(
        f"Nothing was changed: {', '.join(wrong)} did not begin and stop on the way, and nothing was to be finished "
        f"by hand. Dirty in the ledger: {', '.join(dirty) or 'none'}. A pending migration is recorded as applied with "
        "`async-migrations stamp`."
    )


async def _write(run: Run, session: Session, ledger: Ledger, statements: Sequence[str], *also: str) -> None:
    started, deadline = anyio.current_time(), run.options.limits.wait_deadline
    try:
        await session.begin(f"SET LOCAL lock_timeout = {timeout(deadline)}", *statements)
        await session.commit(*also)
    except Exception as error:
        if is_lock_timeout(error):
            raise (await ledger_awaited(session, ledger.sql, anyio.current_time() - started)) from None
        raise ledger.unwritten(error) from error


async def _claims(run: Run, files: Sequence[MigrationFile]) -> list[Claim]:
    loaded = await Loader(run.options.directory).load(files)
    return [Claim(m.file.name, m.description, m.checksum(), m.file.raw_checksum, run.id) for m in loaded]
