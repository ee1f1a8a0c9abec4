"""How often a run waits for the server: counted, not timed."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.benchmarks import histories
from tests.benchmarks.place import Place, engine_on, migrate, say
from tests.benchmarks.table import Row, counted
from tests.support.proxy import WireProxy
from tests.support.waiting import eventually
from tests.support.wire import Side

FEW, MORE = 2, 6


class Counter:
    """Counts what passes through a proxy.

    Args:
        proxy: The proxy, entered.
        url: The database behind it.
    """

    def __init__(self, proxy: WireProxy, url: str) -> None:
        self._proxy = proxy
        self.url = proxy.url(url)

    async def round_trips(self, work: Callable[[], Awaitable[object]]) -> int:
        """Return the round trips of `work`, the goodbye of each connection among them."""
        before = self._proxy.round_trips
        await work()
        await eventually(self._all_have_left)
        return self._proxy.round_trips - before

    def said(self) -> str:
        """Return all that clients have said so far."""
        said = b" ".join(message.data for message in self._proxy.messages if message.side is Side.CLIENT)
        return said.decode("utf-8", "replace")

    async def _all_have_left(self) -> bool:
        goodbyes = [each for each in self._proxy.messages if each.side is Side.CLIENT and each.kind == "X"]
        return len(goodbyes) == len(self._proxy.links)


async def connect(url: str) -> None:
    """Do what every replica does, migrations or not."""
    async with engine_on(url) as engine, engine.connect():
        pass


async def run_statements(url: str, count: int) -> None:
    """Run what `count` migrations run, and nothing else."""
    async with engine_on(url) as engine, engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for number in range(1, count + 1):
            for statement in histories.statements(number):
                await connection.exec_driver_sql(statement)


async def of_nothing_to_do(counter: Counter, folder: Path) -> tuple[int, int]:
    """Return the round trips of a run with nothing to do, and those of a bare `engine.connect()`."""
    await migrate(counter.url, folder)
    ours = await counter.round_trips(lambda: migrate(counter.url, folder))
    return ours, await counter.round_trips(lambda: connect(counter.url))


async def each(place: Place, work: Callable[[str, int], Awaitable[object]]) -> float:
    """Return the round trips that one more migration costs.

    Args:
        place: Where.
        work: Runs so many migrations on an empty database.
    """
    trips: list[int] = []
    for number in (FEW, MORE):
        async with (
            place.database() as database,
            WireProxy("127.0.0.1", place.server.port) as proxy,
        ):
            counter = Counter(proxy, place.server.url(database))
            trips.append(await counter.round_trips(lambda: work(counter.url, number)))  # noqa: B023 - awaited here
    return (trips[1] - trips[0]) / (MORE - FEW)


async def rows(place: Place) -> list[Row]:
    """Count them all."""
    say("round trips")
    folder = place.folder(histories.python_files, MORE)
    async with place.database() as database, WireProxy("127.0.0.1", place.server.port) as proxy:
        nothing, bare = await of_nothing_to_do(Counter(proxy, place.server.url(database)), folder)
    python = await each(place, lambda url, n: migrate(url, place.folder(histories.python_files, n)))
    script = await each(place, lambda url, n: migrate(url, place.folder(histories.sql_files, n)))
    own = await each(place, run_statements)
    return [
        counted("Nothing to do: round trips, against `engine.connect()`", nothing, bare, 2),
        counted("A Python migration of two statements: round trips, against the statements alone", python, own, 2),
        counted("A `.sql` file of two statements: round trips in all", script, 0, 2),
    ]
