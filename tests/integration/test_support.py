import asyncio
import contextlib
import os
import signal
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # as in `servers`
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.sql import quote_identifier
from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.support.pgbouncer import PoolMode, pgbouncer
from tests.support.processes import child_process, module_process, start_together
from tests.support.proxy import Action, Callback, Fault, WireProxy
from tests.support.waiting import eventually
from tests.support.wire import Message, Side, Splitter
from tests.support.zygote import EXECUTE_WORKERS

BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
STATE = "SELECT state FROM pg_stat_activity WHERE pid = $1"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string())
    try:
        yield connection
    finally:
        # A connection that was struck cannot say goodbye.
        connection.terminate()


def proxy_to(server: Server, fault: Fault | None = None, on_message: Callback | None = None) -> WireProxy:
    return WireProxy("127.0.0.1", server.port, fault=fault, on_message=on_message)


class TestDatabases:
    @pytest.mark.parametrize("table", ["a", "b", "c"])
    async def test_each_test_has_an_empty_one(self, engine: AsyncEngine, table: str) -> None:
        async with engine.begin() as connection:
            tables = await connection.scalar(
                text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
            )
            await connection.execute(text(f"CREATE TABLE {table} (id integer)"))
        assert tables == 0

    async def test_server_has_the_version_that_was_asked_for(self, engine: AsyncEngine, postgres_version: int) -> None:
        async with engine.connect() as connection:
            version = await connection.scalar(text("SHOW server_version_num"))
        assert int(version) // 10000 == postgres_version

    async def test_more_are_made_with_options(self, engine: AsyncEngine, make_database: MakeDatabase) -> None:
        role = f"owner of {make_url(str(engine.url)).database}"
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE ROLE {quote_identifier(role)}"))
        url = await make_database(f'hostile "name"; {role}', owner=role)
        async with connected(url) as other:
            owner = await other.fetchval(
                "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
            )
        assert owner == role

    async def test_a_dropped_one_goes_although_it_is_in_use(self, server: Server, databases: Databases) -> None:
        name = await asyncio.wrap_future(databases.create())
        async with connected(server.url(name)), connected(server.url()) as admin:
            databases.drop(name)

            async def is_gone() -> bool:
                found = await admin.fetch("SELECT FROM pg_database WHERE datname = $1", name)
                return not found

            await eventually(is_gone)


class TestSplitter:
    def test_finds_messages_in_any_pieces(self) -> None:
        startup = struct.pack("!II", 12, 196608) + b"u\0p\0"
        query = b"Q" + struct.pack("!I", 9) + b"ROT\0\0"
        splitter = Splitter()
        stream = struct.pack("!II", 8, 80877103) + startup + query
        found = [
            kind
            for position in range(len(stream))
            for kind, _ in splitter.feed(Side.CLIENT, stream[position : position + 1])
        ]
        assert found == ["ssl-request", "startup", "Q"]

    def test_knows_the_answer_to_an_ssl_request(self) -> None:
        splitter = Splitter()
        list(splitter.feed(Side.CLIENT, struct.pack("!II", 8, 80877103)))
        ready = b"Z" + struct.pack("!I", 5) + b"I"
        assert [kind for kind, _ in splitter.feed(Side.SERVER, b"N" + ready)] == ["encryption-answer", "Z"]


class TestProxy:
    async def test_counts_messages_and_round_trips(self, server: Server, database_url: str) -> None:
        async with proxy_to(server) as proxy, connected(proxy.url(database_url)) as connection:
            before = proxy.round_trips, len(proxy.messages)
            await connection.execute("SELECT 1")
            assert proxy.round_trips == before[0] + 1
            assert [message.kind for message in proxy.messages[before[1] :]] == ["Q", "T", "D", "C", "Z"]
            assert proxy.links[0].backend_pid == connection.get_server_pid()
            assert [message.index for message in proxy.messages] == [*range(1, len(proxy.messages) + 1)]

    async def test_counts_over_all_connections(self, server: Server, database_url: str) -> None:
        async with proxy_to(server) as proxy:
            async with connected(proxy.url(database_url)), connected(proxy.url(database_url)):
                assert {message.connection for message in proxy.messages} == {1, 2}
            assert sum(message.kind == "startup" for message in proxy.messages) == 2

    async def test_hands_on_large_messages(self, server: Server, database_url: str) -> None:
        async with proxy_to(server) as proxy, connected(proxy.url(database_url)) as connection:
            large = "x" * 5_000_000
            assert await connection.fetchval("SELECT $1::text", large) == large

    async def test_hands_on_a_cancel_request(self, server: Server, database_url: str) -> None:
        async with proxy_to(server) as proxy, connected(proxy.url(database_url)) as connection:
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT pg_sleep(60)", timeout=0.2)
            assert await connection.fetchval("SELECT 1") == 1
            assert "cancel-request" in {message.kind for message in proxy.messages}

    @pytest.mark.parametrize("before", [True, False])
    @pytest.mark.parametrize("everywhere", [True, False])
    async def test_reset_ends_both_sides(
        self, server: Server, database_url: str, *, before: bool, everywhere: bool
    ) -> None:
        async with (
            connected(database_url) as admin,
            proxy_to(server) as proxy,
            connected(proxy.url(database_url)) as victim,
            connected(proxy.url(database_url)) as witness,
        ):
            last = len(proxy.messages)
            proxy.arm(Fault(last + 1, Action.RESET, before=before, everywhere=everywhere))
            with pytest.raises((ConnectionResetError, asyncpg.ConnectionDoesNotExistError)):
                await victim.execute("CREATE TABLE t (id integer)")
            assert proxy.struck.is_set()

            async def backends_are_gone() -> bool:
                left = await admin.fetch(BACKENDS)
                return len(left) == (0 if everywhere else 1)

            await eventually(backends_are_gone)
            assert await admin.fetchval("SELECT to_regclass('t') IS NULL") is before
            assert witness.is_closed() is everywhere

    async def test_reset_of_the_client_leaves_the_server_waiting(self, server: Server, database_url: str) -> None:
        async with (
            connected(database_url) as admin,
            proxy_to(server) as proxy,
            connected(proxy.url(database_url)) as victim,
        ):
            proxy.arm(Fault(len(proxy.messages) + 1, Action.RESET_CLIENT, before=True))
            with pytest.raises((ConnectionResetError, asyncpg.ConnectionDoesNotExistError)):
                await victim.execute("SELECT 1")
            assert await admin.fetchval(STATE, proxy.links[0].backend_pid) == "idle"

    async def test_silence_keeps_all_connected(self, server: Server, database_url: str) -> None:
        async with (
            connected(database_url) as admin,
            proxy_to(server) as proxy,
            connected(proxy.url(database_url)) as victim,
        ):
            proxy.arm(Fault(len(proxy.messages) + 2, Action.SILENCE))
            silenced = asyncio.create_task(victim.execute("SELECT 1"))
            await asyncio.wait_for(proxy.struck.wait(), 10)
            with pytest.raises(TimeoutError):
                await asyncpg.connect(server.url(driver=""), port=proxy.port, timeout=0.3)
            assert not silenced.done()
            victim.terminate()
            with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
                await silenced
            assert await admin.fetchval(STATE, proxy.links[0].backend_pid) == "idle"

    async def test_a_callback_strikes_at_its_message(self, server: Server, database_url: str) -> None:
        struck: list[Message] = []

        async with connected(database_url) as admin, proxy_to(server) as proxy:

            async def terminate(message: Message) -> None:
                struck.append(message)
                pid = proxy.links[message.connection - 1].backend_pid
                await admin.execute("SELECT pg_terminate_backend($1)", pid, timeout=5)

            async with connected(proxy.url(database_url)) as victim:
                proxy.arm(Fault(len(proxy.messages) + 1, terminate, before=True))
                with pytest.raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)):
                    await victim.execute("SELECT 1")
        assert [message.kind for message in struck] == ["Q"]

    async def test_what_a_callback_raises_fails_the_test(self, server: Server) -> None:
        async def fail(message: Message) -> None:
            raise LookupError(message.kind)

        async def try_it() -> None:
            async with proxy_to(server, on_message=fail) as proxy:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await asyncpg.connect(server.url(driver=""), port=proxy.port, timeout=5)

        with pytest.raises(ExceptionGroup) as caught:
            await try_it()
        assert caught.group_contains(LookupError)

    async def test_a_server_that_is_not_there_resets_the_client(self) -> None:
        async with WireProxy("127.0.0.1", 1) as proxy:
            url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
            with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
                await asyncpg.connect(url)


class TestPgBouncer:
    @pytest.mark.parametrize(("mode", "same"), [("transaction", False), ("session", True)])
    async def test_gives_back_connections_by_mode(
        self, server: Server, database_url: str, *, mode: PoolMode, same: bool
    ) -> None:
        database = make_url(database_url).database or ""
        with pgbouncer(server, mode) as bouncer:
            url = bouncer.url(database, driver="")
            first = await asyncpg.connect(url, statement_cache_size=0)
            second = await asyncpg.connect(url, statement_cache_size=0)
            try:
                pids = [await each.fetchval("SELECT pg_backend_pid()") for each in (first, second)]
                assert (pids[0] != pids[1]) is same
            finally:
                await first.close()
                await second.close()


CHILD = """
import sys
from tests.support.processes import starting_line
starting_line()
print("went", sys.argv[1])
print("to the errors", file=sys.stderr)
sys.stdin.readline()
raise SystemExit(7)
"""


ENDS = [
    ("raise SystemExit", 0),
    ("raise SystemExit(7)", 7),
    ("raise SystemExit('a sentence')", 1),
    ("1 / 0", 1),
    ("raise KeyboardInterrupt", -signal.SIGINT),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
]
ARGUMENTS = "import os, sys; print(os.environ['WORD'], *sys.argv[1:], os.getcwd(), os.getppid())"
FORKS = """
import asyncio, os
from tests.support.processes import child_process
async def main():
    async with child_process("import os, time; print(os.getpid(), flush=True); time.sleep(100)") as child:
        print(await child.line_matching(".") , flush=True)
        await asyncio.sleep(100)
asyncio.run(main())
"""
SPAWNS = """
import multiprocessing, os, signal, sys

def work():
    held = os.path.exists("/proc/self/fd/50")
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    print("worker of", os.getppid(), *handlers, held, flush=True)
    sys.exit(7)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, print)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(0, 50, inheritable=False)
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
    print("ended", worker.exitcode, "of", os.getpid())
"""


class TestZygote:
    @pytest.mark.parametrize(("script", "code"), ENDS)
    async def test_it_reports_each_end(self, script: str, code: int) -> None:
        async with child_process(script) as child:
            assert await child.wait() == code

    async def test_a_script_a_file_and_a_module_have_what_they_are_given(self, tmp_path: Path) -> None:
        (tmp_path / "said.py").write_text(ARGUMENTS)
        environment = {"WORD": "a word"}
        async with (
            child_process(ARGUMENTS, "1", environment=environment) as script,
            child_process(tmp_path / "said.py", "2", environment=environment) as file,
            module_process("said", "3", environment=environment, directory=tmp_path) as module,
        ):
            said = [await child.line_matching("a word") for child in (script, file, module)]
            assert [await child.wait() for child in (script, file, module)] == [0, 0, 0]
        mother = said[0].split()[-1]
        here = Path.cwd()
        assert said == [f"a word 1 {here} {mother}", f"a word 2 {here} {mother}", f"a word 3 {tmp_path} {mother}"]
        assert int(mother) != os.getpid()

    @pytest.mark.parametrize("environment", [{}, {EXECUTE_WORKERS: "1"}], ids=["forked", "executed"])
    async def test_workers_that_a_server_spawns_are_as_new(self, tmp_path: Path, environment: dict[str, str]) -> None:
        (tmp_path / "spawning.py").write_text(SPAWNS)
        async with module_process("spawning", directory=tmp_path, environment=environment) as child:
            assert await child.wait() == 0
        here = str(child.pid)
        assert child.lines == [f"worker of {here} 0 1 False", f"ended 7 of {here}"]
        assert child.errors == []

    async def test_what_it_forked_ends_with_the_tests(self) -> None:
        # A variable that is the interpreter's own: this one is executed, and has a zygote of its own.
        async with child_process(FORKS, environment={"PYTHONHASHSEED": "0"}) as tests:
            pid = int(await tests.line_matching(r"^\d+$"))
            tests.kill()
            await tests.wait()

        async def gone() -> bool:
            return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

        await eventually(gone)


class TestProcesses:
    async def test_start_together(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            children = [await stack.enter_async_context(child_process(CHILD, str(number))) for number in range(3)]
            await start_together(children)
            for number, child in enumerate(children):
                assert await child.line_matching(r"went \d") == f"went {number}"
                await child.write_line()
                assert await child.wait() == 7
                assert child.errors == ["to the errors"]

    async def test_a_missing_line_fails_with_what_there_was(self) -> None:
        async with child_process("print('something else')") as child:
            with pytest.raises(AssertionError, match="something else"):
                await child.line_matching("nothing")

    async def test_a_line_that_does_not_come_fails_at_the_deadline(self) -> None:
        async with child_process("import sys; sys.stdin.read()") as child:
            with pytest.raises(AssertionError, match=r"within 0\.1 s"):
                await child.line_matching("nothing", deadline=0.1)
            with pytest.raises(AssertionError, match=r"after 0\.1 s"):
                await child.wait(deadline=0.1)

    async def test_signals_arrive(self) -> None:
        async with child_process("import sys; print('up'); sys.stdin.read()") as child:
            await child.line_matching("up")
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == -signal.SIGTERM

    async def test_no_child_outlives_the_block(self) -> None:
        async with child_process("import sys; print('up'); sys.stdin.read()") as child:
            await child.line_matching("up")
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


async def test_eventually_returns_the_answer_and_fails_with_it() -> None:
    answers = iter([0, 0, 3])

    async def rising() -> int:
        return next(answers)

    async def never() -> str:
        return ""

    assert await eventually(rising) == 3
    with pytest.raises(AssertionError, match="never was still ''"):
        await eventually(never, deadline=0.1)
