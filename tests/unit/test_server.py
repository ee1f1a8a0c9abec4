import functools
import os
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from async_migrations.testing import binaries, cluster
from async_migrations.testing.binaries import find_binaries, reachable_binaries, unprivileged
from async_migrations.testing.postmaster import Postmaster, free_port
from async_migrations.testing.server import Server, ServerError, StopMode, temporary_server
from tests.support.processes import Child, child_process
from tests.support.waiting import eventually

MakeServer = Callable[..., Server]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for the server")


async def ask(server: Server, question: str, **options: Any) -> object:
    connection = await asyncpg.connect(server.url(driver=""), **options)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return not Path("/proc/self/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (ProcessLookupError, FileNotFoundError):
        return False


def remains(directory: str, pid: int) -> bool:
    return Path(directory).exists() or lives(pid)


async def all_gone(directory: str, pid: int) -> None:
    async def is_gone() -> bool:
        return not remains(directory, pid)

    await eventually(is_gone, deadline=30)


@pytest.fixture
def private(postgres_version: int) -> MakeServer:
    """Return `Server`, of the version that the tests run on."""
    return functools.partial(Server, version=postgres_version)


@pytest.fixture
def closed_place() -> Iterator[Path]:
    """Make a directory that only we reach."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


class TestFindBinaries:
    @pytest.mark.parametrize("version", [18, 16])
    def test_the_wheel_has_both(self, version: int) -> None:
        assert (find_binaries(version) / "initdb").exists()

    def test_the_newest_is_the_default(self) -> None:
        assert find_binaries() == find_binaries(18)

    def test_a_missing_version_says_what_to_install(self) -> None:
        with pytest.raises(ServerError, match=r"PostgreSQL 9 was not found .* postgresql-9$"):
            find_binaries(9)

    def test_none_at_all_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(binaries, "_candidates", lambda: iter(()))
        with pytest.raises(ServerError, match=r'pip install "async-migrations\[embedded\]"$'):
            find_binaries(18)


class TestReachableBinaries:
    def test_reachable_ones_stay_where_they_are(self) -> None:
        with_wheel = find_binaries(16)
        reachable = reachable_binaries(with_wheel)
        assert reachable_binaries(reachable) == reachable

    @as_root
    def test_unreachable_ones_are_copied_once_unless_others_may_write_there(
        self, unreachable: Path, copies: Path
    ) -> None:
        reachable_binaries.cache_clear()
        copy = reachable_binaries(unreachable)
        assert copy.is_relative_to(copies)
        reachable_binaries.cache_clear()
        assert reachable_binaries(unreachable) == copy
        (planted,) = copies.iterdir()
        planted.chmod(0o777)
        reachable_binaries.cache_clear()
        assert not reachable_binaries(unreachable).is_relative_to(planted)

    @as_root
    def test_unreachable_ones_of_another_kind_are_an_error(self, closed_place: Path) -> None:
        with pytest.raises(ServerError, match="Install PostgreSQL where every account may read it"):
            reachable_binaries(closed_place / "bin")


@pytest.fixture
def unreachable(closed_place: Path) -> Path:
    """Make the wheel's programs appear in a place that only we reach."""
    package = find_binaries(18).parent.parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        (closed_place / part.name).symlink_to(part)
    return closed_place / find_binaries(18).relative_to(package.parent)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for temporary files that every account reaches."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


class TestPostmaster:
    def test_reads_all_lines(self) -> None:
        text = "12\n/data\n1700000000\n5433\n/tmp\n127.0.0.1\n  5432001  4\nready   \n"
        assert Postmaster.parse(text) == Postmaster(12, port=5433, ready=True)

    def test_reads_the_lines_that_are_there_yet(self) -> None:
        assert Postmaster.parse("12\n/data\n") == Postmaster(12)

    @pytest.mark.parametrize("text", ["", "\n", "-12\n", "nonsense"])
    def test_reads_no_server_from_nonsense(self, text: str) -> None:
        assert Postmaster.parse(text) is None


class TestServer:
    async def test_answers_on_the_port_and_on_the_socket(self, own_server: Server) -> None:
        assert await ask(own_server, "SELECT 1") == 1
        socket_directory = str(own_server.socket_directory)
        assert await ask(own_server, "SELECT 2", host=socket_directory, port=own_server.port) == 2
        assert await ask(own_server, "SHOW fsync") == "off"

    def test_a_url_names_driver_and_database(self, own_server: Server) -> None:
        port = own_server.port
        assert own_server.url() == f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        assert own_server.url("a/b", driver="") == f"postgresql://postgres@127.0.0.1:{port}/a%2Fb"

    @pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
    async def test_a_restart_keeps_port_and_data(self, own_server: Server, mode: StopMode) -> None:
        port, pid = own_server.port, own_server.pid
        await ask(own_server, "CREATE TABLE kept ()")
        own_server.restart(mode)
        assert own_server.port == port
        assert own_server.pid != pid
        assert await ask(own_server, "SELECT to_regclass('kept') IS NOT NULL")

    async def test_a_stop_and_a_start_keep_port_and_data(self, own_server: Server) -> None:
        port = own_server.port
        own_server.stop("immediate")
        assert (own_server.is_running(), own_server.pid) == (False, None)
        with pytest.raises(ConnectionRefusedError):
            await ask(own_server, "SELECT 1")
        own_server.start()
        assert own_server.port == port
        assert await ask(own_server, "SELECT 1") == 1

    async def test_a_durable_one_outlives_its_owner(self, private: MakeServer, reachable_path: Path) -> None:
        with private(reachable_path) as first:
            await ask(first, "CREATE TABLE kept ()")
            assert await ask(first, "SHOW fsync") == "on"
        with private(reachable_path) as second:
            assert await ask(second, "SELECT to_regclass('kept') IS NOT NULL")

    async def test_settings_and_passwords(self, private: MakeServer, reachable_path: Path) -> None:
        hba = ["host all limited 127.0.0.1/32 scram-sha-256"]
        with private(reachable_path, durable=False, settings={"work_mem": "5MB"}, hba=hba) as server:
            assert await ask(server, "SHOW work_mem") == "5MB"
            await ask(server, "CREATE ROLE limited LOGIN PASSWORD 'right'")
            assert await ask(server, "SELECT 1", user="limited", password="right") == 1
            with pytest.raises(asyncpg.InvalidPasswordError):
                await ask(server, "SELECT 1", user="limited", password="wrong")

    def test_a_taken_port_is_no_obstacle(
        self, private: MakeServer, reachable_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = iter([taken.getsockname()[1], free_port()])
            monkeypatch.setattr("async_migrations.testing.server.free_port", lambda: next(ports))
            with private(reachable_path, durable=False) as running:
                assert running.port != taken.getsockname()[1]

    def test_a_server_that_does_not_start_shows_its_log(self, private: MakeServer, reachable_path: Path) -> None:
        with pytest.raises(ServerError, match="unrecognized configuration parameter"):
            private(reachable_path, durable=False, settings={"nonsense": "1"}).start()

    def test_data_of_another_version_are_left_alone(self, reachable_path: Path) -> None:
        with Server(reachable_path, version=16, durable=False):
            pass
        with pytest.raises(ServerError, match=r"made by PostgreSQL 16, and 18 was asked for\. Ask for 16"):
            Server(reachable_path, version=18).start()

    def test_a_directory_of_something_else_is_left_alone(self, private: MakeServer, reachable_path: Path) -> None:
        (reachable_path / "diary").touch()
        with pytest.raises(ServerError, match="holds files, but no data of PostgreSQL"):
            private(reachable_path).start()
        assert [entry.name for entry in reachable_path.iterdir()] == ["diary"]

    def test_an_interrupted_initdb_is_done_again(self, private: MakeServer, reachable_path: Path) -> None:
        (reachable_path / "initdb.partial").mkdir()
        (reachable_path / "initdb.partial" / "PG_VERSION").write_text("18")
        (reachable_path / "base").mkdir()
        with private(reachable_path, durable=False) as running:
            assert running.is_running()

    def test_a_stale_postmaster_pid_is_no_obstacle(self, private: MakeServer, reachable_path: Path) -> None:
        with private(reachable_path, durable=False):
            pass
        (reachable_path / "postmaster.pid").write_text(
            f"{os.getpid()}\n{reachable_path}\n0\n1\n{reachable_path}\n127.0.0.1\n0 0\nready\n"
        )
        with private(reachable_path, durable=False) as running:
            assert running.pid != os.getpid()

    def test_a_path_that_is_a_file_is_an_error(self, private: MakeServer, reachable_path: Path) -> None:
        (reachable_path / "file").touch()
        with pytest.raises(ServerError, match="cannot be made"):
            private(reachable_path / "file").start()

    def test_a_long_path_has_its_socket_elsewhere(self, private: MakeServer, reachable_path: Path) -> None:
        with private(reachable_path / ("long" * 30), durable=False) as running:
            assert (running.socket_directory / f".s.PGSQL.{running.port}").is_socket()

    @as_root
    def test_data_in_a_closed_directory_go_where_the_server_reaches_them(
        self, private: MakeServer, closed_place: Path, reachable_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reachable_path.chmod(0o755)
        monkeypatch.setattr(cluster, "HOME_OF_UNREACHABLE", reachable_path / "home")
        asked_for = closed_place / "project" / "data"
        for _ in range(2):
            with private(asked_for, durable=False) as running:
                assert running.is_running()
                assert asked_for.resolve().parent == reachable_path / "home"
        assert stat.S_IMODE(closed_place.stat().st_mode) == 0o700


class TestSharing:
    async def test_the_last_one_stops_it(self, private: MakeServer, reachable_path: Path) -> None:
        first, second = private(reachable_path, durable=False), private(reachable_path, durable=False)
        first.start()
        second.start()
        assert (second.pid, second.port) == (first.pid, first.port)
        first.stop()
        assert await ask(second, "SELECT 1") == 1
        second.stop()
        assert not second.is_running()

    async def test_many_processes_start_one(
        self, private: MakeServer, postgres_version: int, reachable_path: Path
    ) -> None:
        script = """
import sys
from async_migrations.testing.server import Server
with Server(sys.argv[1], version=int(sys.argv[2]), durable=False) as server:
    print("pid", server.pid)
    sys.stdin.readline()
"""
        arguments = str(reachable_path), str(postgres_version)
        async with child_process(script, *arguments) as one, child_process(script, *arguments) as two:
            pids = {await child.line_matching("pid", deadline=60) for child in (one, two)}
            assert len(pids) == 1
            one.kill()
            with private(reachable_path, durable=False) as running:
                assert f"pid {running.pid}" in pids
                await two.write_line()
                assert await two.wait() == 0
                assert await ask(running, "SELECT 1") == 1
        assert not running.is_running()


TEMPORARY = """
import os, signal, sys
from async_migrations.testing.server import temporary_server
os.setsid()
signal.signal(signal.SIGINT, signal.default_int_handler)
with temporary_server(version=int(sys.argv[1])) as server:
    try:
        print(server.data_directory)
        print("pid", server.pid)
        sys.stdin.read()
    except KeyboardInterrupt:
        print("runs", server.is_running())
"""


async def directory_and_pid(child: Child) -> tuple[str, int]:
    pid = await child.line_matching("^pid", deadline=60)
    return child.lines[0], int(pid.split()[1])


class TestTemporaryServer:
    async def test_is_gone_after_the_block(self, postgres_version: int) -> None:
        with temporary_server(version=postgres_version) as running:
            pid = running.pid
            assert pid is not None
            assert lives(pid)
        assert not running.data_directory.exists()
        assert not lives(pid)

    async def test_is_gone_when_its_owner_was_killed(self, postgres_version: int) -> None:
        async with child_process(TEMPORARY, str(postgres_version)) as child:
            directory, pid = await directory_and_pid(child)
            child.kill()
            await all_gone(directory, pid)

    @pytest.mark.parametrize(
        "sleeper",
        [
            "import subprocess; print('sleeper', subprocess.Popen(['sleep', '60']).pid)",
            "print('sleeper', os.fork() or signal.pause())",
        ],
        ids=["executed", "forked"],
    )
    async def test_is_gone_although_a_child_of_the_owner_lives_on(self, postgres_version: int, sleeper: str) -> None:
        script = TEMPORARY.replace("sys.stdin.read()", f"{sleeper}; sys.stdin.read()")
        async with child_process(script, str(postgres_version)) as child:
            directory, pid = await directory_and_pid(child)
            sleeping = int((await child.line_matching("^sleeper")).split()[1])
            child.kill()
            await all_gone(directory, pid)
            os.kill(sleeping, signal.SIGKILL)

    async def test_its_end_waits_for_no_forked_child(self, postgres_version: int) -> None:
        forked = "print('sleeper', os.fork() or signal.pause()); sys.stdin.readline()"
        script = TEMPORARY.replace("sys.stdin.read()", forked) + "print('left')"
        async with child_process(script, str(postgres_version)) as child:
            directory, pid = await directory_and_pid(child)
            sleeping = int((await child.line_matching("^sleeper")).split()[1])
            await child.write_line()
            await child.line_matching("left", deadline=60)
            assert not remains(directory, pid)
            os.kill(sleeping, signal.SIGKILL)

    async def test_ctrl_c_reaches_neither_server_nor_watchdog(self, postgres_version: int) -> None:
        async with child_process(TEMPORARY, str(postgres_version)) as child:
            directory, pid = await directory_and_pid(child)
            os.killpg(child.pid, signal.SIGINT)
            await child.line_matching("runs True")
            assert await child.wait() == 0
            await all_gone(directory, pid)

    def test_runs_under_another_account_only_for_root(self) -> None:
        assert bool(unprivileged()) is (os.geteuid() == 0)
