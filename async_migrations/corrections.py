"""What an operator may correct by hand: stamp, baseline, repair. Each records without running anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from async_migrations import discovery
from async_migrations.discovery import Folder
from async_migrations.errors import LedgerError
from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import Claim
from async_migrations.loading import Loader
from async_migrations.migration import MigrationFile, Report
from async_migrations.run import Run
from async_migrations.session import Session


async def record(run: Run, files: Sequence[MigrationFile], *, empty: bool) -> Report:
    """Record `files` as applied; those that are in the ledger already are left as they are.

    Args:
        run: the call.
        files: which.
        empty: whether the ledger must be empty, as a baseline wants it.

    Raises:
        LedgerError: it is not.
    """
    claims = await _claims(run, files)

    async def story(session: Session) -> None:
        async with run.leading(session) as leader:
            if leader is None:
                return
            # A COMMIT of ours may have had no answer: what it left is ours, too.
            found = await leader.ledger.read(session)
            rows = [row for row in found if row.run_id != run.id]
            if empty and rows:
                raise LedgerError(
                    f"A baseline needs an empty ledger, and {leader.ledger.sql} has {len(rows)} row(s), the last is "
                    f"{rows[-1].name}. Nothing was recorded. To record single migrations use stamp."
                )
            present = {row.name for row in rows}
            new = [claim for claim in claims if claim.name not in present]
            if new and len(rows) == len(found):
                await _write(session, leader.ledger, [leader.ledger.record(claim) for claim in new], leader.key.notify)
            run.applied.extend(claim.name for claim in new)

    await run.tell(story)
    return run.end()


async def repair(run: Run, folder: Folder, finished: Collection[str]) -> Report:
    """Take the checksums of changed files anew, and clear dirty rows.

    Args:
        run: the call.
        folder: the files.
        finished: names of dirty migrations to record as applied; the other dirty rows are removed.
    """
    repaired: dict[str, None] = {}

    async def story(session: Session) -> None:
        async with run.leading(session) as leader:
            if leader is None:
                return
            rows = await leader.ledger.read(session)
            dirty = [row.name for row in rows if row.dirty]
            done = [file for file in folder.files if file.name in finished and file.name in dirty]
            changed = discovery.changed(folder.files, rows).values()
            statements = [
                *(leader.ledger.realign(f.name, discovery.checksum(f), f.raw_checksum) for f in changed),
                *(leader.ledger.release(name) for name in dirty),
                *(leader.ledger.record(claim) for claim in await _claims(run, done)),
            ]
            # Noted before: a COMMIT without an answer leaves nothing to be found by the next look.
            repaired.update(dict.fromkeys([*(f.name for f in changed), *dirty]))
            if statements:
                await _write(session, leader.ledger, statements)

    await run.tell(story)
    run.applied.extend(repaired)
    return run.end()


async def _write(session: Session, ledger: Ledger, statements: Sequence[str], *also: str) -> None:
    try:
        await session.begin(*statements)
        await session.commit(*also)
    except Exception as error:
        raise ledger.unwritten(error) from error


async def _claims(run: Run, files: Sequence[MigrationFile]) -> list[Claim]:
    loaded = await Loader(run.options.directory).load(files)
    return [Claim(m.file.name, m.description, m.checksum(), m.file.raw_checksum, run.id) for m in loaded]
