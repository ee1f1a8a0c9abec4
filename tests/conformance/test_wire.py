"""Something happens to a replica at every message between it and the server; then another finishes."""

from collections.abc import AsyncIterator, Sequence

import pytest

from async_migrations.testing.server import Server
from tests.conformance.conftest import HISTORIES
from tests.conformance.strikes import LANES, History, Lane, client_spoke, lanes, run_all, some, turns
from tests.conftest import MakeDatabase
from tests.support.proxy import Action
from tests.support.replicas import Launcher
from tests.support.wire import Message

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

PARTS = 3
"""Tests over which the moments are dealt out, so that they run side by side."""

TRANSACTIONAL = History(HISTORIES / "transactional")
CONCURRENT = History(
    HISTORIES / "concurrent",
    indexes=["ix_orders_both", "ix_orders_customer"],
    perhaps_twice=["003_both"],
)
EACH_HISTORY = pytest.mark.parametrize("history", [TRANSACTIONAL, CONCURRENT], ids=["transactional", "concurrent"])
EACH_PART = pytest.mark.parametrize("part", range(PARTS))


@pytest.fixture
async def tracks(history: History, server: Server, make_database: MakeDatabase) -> AsyncIterator[list[Lane]]:
    urls = [await make_database() for _ in range(LANES)]
    async with lanes(urls, server.port, history) as opened:
        yield opened


def news(messages: Sequence[Message], history: History) -> Sequence[int]:
    """Return the moments that another history has not had: those from the first concurrent index on."""
    if history is TRANSACTIONAL:
        return range(1, len(messages) + 1)
    first = next(number for number, message in enumerate(messages, 1) if message.connection != messages[0].connection)
    return range(first, len(messages) + 1)


def of_news(moments: Sequence[int], messages: Sequence[Message], history: History) -> Sequence[int]:
    new = news(messages, history)
    return [moment for moment in moments if moment in new]


def of_several(moments: Sequence[int], messages: Sequence[Message]) -> Sequence[int]:
    """Return the moments at which more than one connection is open."""
    open_at: list[int] = []
    opened: set[int] = set()
    for message in messages:
        opened.add(message.connection)
        if message.kind == "X":
            opened.remove(message.connection)
        open_at.append(len(opened))
    return [moment for moment in moments if open_at[moment - 1] > 1]


@EACH_PART
@EACH_HISTORY
async def test_reset(tracks: list[Lane], history: History, postgres_version: int, part: int) -> None:
    moments = news(await tracks[0].record(), history)
    await run_all(
        tracks, some(moments[part::PARTS], postgres_version), lambda lane, moment: lane.survive(moment, Action.RESET)
    )


@pytest.mark.parametrize("history", [CONCURRENT], ids=["concurrent"])
async def test_reset_of_one_connection_only(tracks: list[Lane], postgres_version: int) -> None:
    messages = await tracks[0].record()
    await run_all(
        tracks,
        some(of_several(turns(messages), messages), postgres_version),
        lambda lane, moment: lane.survive(moment, Action.RESET, everywhere=False),
    )


@EACH_PART
@EACH_HISTORY
async def test_terminated_backend(tracks: list[Lane], history: History, postgres_version: int, part: int) -> None:
    messages = await tracks[0].record()
    moments = of_news(turns(messages), messages, history)
    await run_all(
        tracks,
        some(moments[part::PARTS], postgres_version),
        lambda lane, moment: lane.survive(moment, lane.terminate()),
    )


@EACH_HISTORY
async def test_silence(tracks: list[Lane], history: History, postgres_version: int) -> None:
    messages = await tracks[0].record()
    await run_all(tracks, some(of_news(client_spoke(messages), messages, history), postgres_version), Lane.vanish)


@EACH_HISTORY
async def test_killed_process(tracks: list[Lane], history: History, postgres_version: int, launcher: Launcher) -> None:
    messages = await tracks[0].record()
    moments = of_news(client_spoke(messages), messages, history)
    await run_all(tracks, some(moments, postgres_version), lambda lane, moment: lane.die(moment, launcher))


@EACH_HISTORY
async def test_cancellation(tracks: list[Lane], history: History, postgres_version: int) -> None:
    messages = await tracks[0].record()
    moments = of_news(turns(messages), messages, history)
    await run_all(tracks, some(moments, postgres_version, whole=2), Lane.cancel)


@pytest.mark.parametrize("history", [TRANSACTIONAL], ids=["transactional"])
async def test_a_commit_without_an_answer_is_counted_by_the_replica_that_sent_it(tracks: list[Lane]) -> None:
    await tracks[0].lose_an_answer()
