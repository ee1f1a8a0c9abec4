"""Something happens to a replica that takes its migrations back; then another finishes."""

from collections.abc import AsyncIterator

import pytest

from async_migrations.testing.server import Server
from tests.conformance.conftest import HISTORIES
from tests.conformance.strikes import LANES, History, Lane, lanes, run_all, some, turns
from tests.conftest import MakeDatabase
from tests.support.proxy import Action

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

REVERSIBLE = History(HISTORIES / "reversible", perhaps_twice=["003_index", "004_more"])


@pytest.fixture
async def tracks(server: Server, make_database: MakeDatabase) -> AsyncIterator[list[Lane]]:
    urls = [await make_database() for _ in range(LANES)]
    async with lanes(urls, server.port, REVERSIBLE) as opened:
        yield opened


async def test_reset(tracks: list[Lane], postgres_version: int) -> None:
    moments = turns(await tracks[0].record_revert())
    await run_all(
        tracks,
        some(moments, postgres_version, whole=3, others=24),
        lambda lane, moment: lane.survive_revert(moment, Action.RESET),
    )


async def test_terminated_backend(tracks: list[Lane], postgres_version: int) -> None:
    moments = turns(await tracks[0].record_revert())
    await run_all(
        tracks,
        some(moments, postgres_version, whole=3, others=24),
        lambda lane, moment: lane.survive_revert(moment, lane.terminate()),
    )
