"""What an operator corrects by hand is done, and reported, once, also if the answer to its COMMIT got lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner, Report
from tests.conformance.strikes import Cable
from tests.support.proxy import Action, Fault
from tests.support.replica_launcher import open_engine
from tests.support.waiting import eventually
from tests.support.wire import Message, Side

pytestmark = pytest.mark.conformance

NAMES = ["001_a", "002_b"]
CLEAN = "SELECT array_agg(migration_name::text ORDER BY 1) FROM schema_migrations WHERE NOT dirty"

Correction = Callable[[MigrationRunner], Awaitable[Report]]
CORRECTIONS: dict[str, tuple[str, Correction]] = {
    "stamp": ("DELETE FROM schema_migrations", lambda runner: runner.stamp(*NAMES)),
    "baseline": ("DELETE FROM schema_migrations", lambda runner: runner.baseline(NAMES[-1])),
    "repair": ("UPDATE schema_migrations SET dirty = true", lambda runner: runner.repair(*NAMES)),
}


class DeafCable(Cable):
    """A cable on which the answer to the first COMMIT of an operator's correction does not come back."""

    def listen(self) -> None:
        """Wait for that COMMIT from now on."""
        self._on_message = self._look

    async def _look(self, message: Message) -> None:
        if message.side is Side.CLIENT and message.body.endswith(b"COMMIT\0"):
            self._on_message = None
            self.arm(Fault(message.index, Action.SILENCE))


@pytest.mark.parametrize("name", CORRECTIONS)
async def test_a_correction_whose_commit_had_no_answer_is_reported_as_done(
    name: str, tmp_path: Path, engine: AsyncEngine, database_url: str, witness: asyncpg.Connection
) -> None:
    before, correct = CORRECTIONS[name]
    for each in NAMES:
        (tmp_path / f"{each}.sql").write_text("SELECT 1;\n", "utf-8")
    await MigrationRunner(engine, directory=tmp_path, observers=[]).run_migrations()
    await witness.execute(before)

    async def is_corrected() -> bool:
        return bool(await witness.fetchval(CLEAN) == NAMES)

    async with DeafCable("127.0.0.1", make_url(database_url).port or 0) as cable:
        operator = open_engine(cable.url(database_url))
        cable.listen()
        correction = asyncio.ensure_future(correct(MigrationRunner(operator, directory=tmp_path, observers=[])))
        await eventually(is_corrected, deadline=20)
        cable.cut()
        cable.mend()
        assert sorted((await correction).applied) == NAMES
        await operator.dispose()
    assert await is_corrected()
