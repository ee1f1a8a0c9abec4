"""Bad input and faults: a sentence a user can act on, nothing half done."""

import asyncio
import secrets
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationFailedError, MigrationRunner, alarm, connector
from async_migrations.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DiscoveryError,
    ForeignLedgerError,
    LedgerError,
    MigrationsError,
)
from async_migrations.events import ConnectionLost, DatabaseAwaited, MigrationRetried, MigrationStarted
from async_migrations.run import RECONNECTS
from async_migrations.testing.server import Server, temporary_server
from tests.support.history import History
from tests.support.proxy import Action, Fault, WireProxy
from tests.support.waiting import eventually
from tests.support.wire import Message, Side

SECRET = "s3cret-pass"
SLEEPERS = """SELECT count(*) = 0 FROM pg_stat_activity
 WHERE query LIKE '%pg_sleep%' AND state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()"""


async def failure_at(url: str, folder: Path, **options: object) -> Exception:
    """Run against `url`; return the error, with what was said meanwhile."""
    engine = create_async_engine(url)
    said: list[object] = []
    (folder / "001_a.sql").write_text("CREATE TABLE t (x int);")
    settings = {"connect_deadline": 0.5, "observers": (said.append,), **options}
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each test looks at it
            await MigrationRunner(engine, directory=folder, **settings).run_migrations()  # type: ignore[arg-type]
    finally:
        await engine.dispose()
    assert SECRET not in str(caught.value) + repr(caught.value) + str(said)
    caught.value.add_note(f"{len([s for s in said if isinstance(s, DatabaseAwaited)])} waits")
    return caught.value


async def test_a_wrong_password_is_refused_at_once(tmp_path: Path, postgres_version: int) -> None:
    with temporary_server(version=postgres_version, hba=["host all postgres 127.0.0.1/32 scram-sha-256"]) as server:
        url = make_url(server.url()).set(password=SECRET).render_as_string(hide_password=False)
        error = await failure_at(url, tmp_path)
    assert isinstance(error, DatabaseUnavailableError)
    assert "password" in str(error)
    assert "Waiting would not help" in str(error)


async def test_an_unreachable_host_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    error = await failure_at(f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/x", tmp_path)
    assert isinstance(error, DatabaseUnavailableError)
    assert "127.0.0.1:1/x: connection refused. Waited" in str(error)
    assert error.__notes__ != ["0 waits"]


async def test_an_unknown_host_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    error = await failure_at(f"postgresql+asyncpg://u:{SECRET}@no-such-host.invalid/x", tmp_path)
    assert isinstance(error, DatabaseUnavailableError)
    assert any(reason in str(error) for reason in ("not known (DNS)", "no answer in time"))


async def test_an_unknown_database_is_refused_at_once(tmp_path: Path, server: Server) -> None:
    error = await failure_at(server.url("no_such_database"), tmp_path)
    assert isinstance(error, DatabaseUnavailableError)
    assert "there is no such database" in str(error)


async def test_too_many_connections_are_waited_for(tmp_path: Path, postgres_version: int) -> None:
    with temporary_server(
        version=postgres_version, settings={"max_connections": "5", "superuser_reserved_connections": "0"}
    ) as server:
        holders = create_async_engine(server.url(), pool_size=20)
        connections = [await holders.connect() for _ in range(5)]
        error = await failure_at(server.url(), tmp_path)
        assert isinstance(error, DatabaseUnavailableError)
        engine = create_async_engine(server.url())
        waits: list[object] = []
        runner = MigrationRunner(engine, directory=tmp_path, observers=(waits.append,), connect_deadline=30)
        run = asyncio.create_task(runner.run_migrations())
        await eventually(lambda: asyncio.sleep(0, any(isinstance(w, DatabaseAwaited) for w in waits)))
        for connection in connections:
            await connection.close()
        await holders.dispose()
        assert (await run).applied == ("001_a",)
        await engine.dispose()


def small_pool(history: History, **options: float) -> None:
    """Let the service's engine have one connection and no more."""
    history.sql("001_a", "CREATE TABLE t (x int);")
    history.engine = create_async_engine(history.engine.url, pool_size=1, max_overflow=0, **options)


@pytest.mark.parametrize("timeouts", [{"pool_timeout": 0.05}, {"pool_timeout": 30}], ids=["the-pools", "ours"])
async def test_a_service_that_uses_its_whole_pool_is_waited_for(
    history: History, timeouts: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "FIRST_TRY", 0.2)
    small_pool(history, **timeouts)
    async with history.engine.connect():
        run = asyncio.create_task(history.runner(connect_deadline=60).run_migrations())
        await eventually(lambda: asyncio.sleep(0, len(history.told(DatabaseAwaited)) >= 2))
    assert (await run).applied == ("001_a",)
    assert {wait.reason for wait in history.told(DatabaseAwaited)} == {"the engine's own pool has no connection left"}
    await history.engine.dispose()


@pytest.mark.parametrize("timeouts", [{"pool_timeout": 0.05}, {"pool_timeout": 30}], ids=["the-pools", "ours"])
async def test_a_pool_that_stays_in_use_is_told_with_what_to_do(history: History, timeouts: dict[str, float]) -> None:
    small_pool(history, **timeouts)
    async with history.engine.connect():
        with pytest.raises(DatabaseUnavailableError) as caught:
            await history.runner(connect_deadline=0.3).run_migrations()
    assert "the engine's own pool has no connection left. Waited" in str(caught.value)
    assert "give the engine a larger pool (pool_size, max_overflow), or raise connect_deadline." in str(caught.value)
    await history.engine.dispose()


async def test_a_silent_server_is_not_taken_for_a_pool_in_use(history: History, server: Server) -> None:
    small_pool(history)
    async with WireProxy("127.0.0.1", server.port) as proxy:
        proxy.arm(Fault(1, Action.SILENCE, before=True))
        url = proxy.url(str(history.engine.url))
        history.engine = create_async_engine(url, pool_size=1, max_overflow=0)
        with pytest.raises(DatabaseUnavailableError, match="no answer in time"):
            await history.runner(connect_deadline=0.1).run_migrations()
        await history.engine.dispose()


@pytest.mark.both_loops
async def test_a_pool_full_of_connections_that_a_failover_ended_costs_one_try(history: History) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    history.engine = create_async_engine(history.engine.url, pool_size=10)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(history.engine.connect())
    witness = create_async_engine(history.engine.url, poolclass=NullPool)
    async with witness.connect() as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert len(history.told(ConnectionLost)) == 1
    assert (await history.runner().run_migrations()).applied == ()
    assert len(history.told(ConnectionLost)) == 1
    await history.engine.dispose()


async def test_who_closes_every_connection_at_its_first_message_is_given_up(history: History, server: Server) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")

    async def close(message: Message) -> None:
        if message.kind == "Q" and b"schema_migrations" in message.data:
            proxy.links[message.connection - 1].strike(Action.RESET)

    async with WireProxy("127.0.0.1", server.port, on_message=close) as proxy:
        history.engine = create_async_engine(proxy.url(str(history.engine.url)))
        with pytest.raises(DatabaseUnavailableError, match=f"It was lost {RECONNECTS + 2} times in this run"):
            await history.runner().run_migrations()
        await history.engine.dispose()
    assert len(history.told(ConnectionLost)) == RECONNECTS + 1


async def test_a_server_that_starts_later_is_waited_for(tmp_path: Path, own_server: Server) -> None:
    (tmp_path / "001_a.sql").write_text("CREATE TABLE t (x int);")
    own_server.stop()
    engine = create_async_engine(own_server.url())
    waits: list[object] = []
    runner = MigrationRunner(engine, directory=tmp_path, observers=(waits.append,), connect_deadline=30)
    run = asyncio.create_task(runner.run_migrations())
    await eventually(lambda: asyncio.sleep(0, any(isinstance(w, DatabaseAwaited) for w in waits)))
    await asyncio.to_thread(own_server.start)
    assert (await run).applied == ("001_a",)
    await engine.dispose()


async def test_who_accepts_and_stays_silent_gets_several_tries_and_is_told_of(
    history: History, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "FIRST_TRY", 0.2)
    history.sql("001_a", "CREATE TABLE t (x int);")
    async with WireProxy("127.0.0.1", server.port) as proxy:
        proxy.arm(Fault(1, Action.SILENCE, before=True, everywhere=False))
        history.engine = create_async_engine(proxy.url(str(history.engine.url)))
        report = await history.runner(connect_deadline=60).run_migrations()
        await history.engine.dispose()
    assert report.applied == ("001_a",)
    assert [wait.reason for wait in history.told(DatabaseAwaited)] == ["no answer in time"]


async def test_a_server_that_is_only_slow_is_given_longer_tries(
    history: History, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "FIRST_TRY", 0.1)  # then 0.2, 0.4, 0.8, 1.6 s
    history.sql("001_a", "CREATE TABLE t (x int);")

    async def delay(message: Message) -> None:
        if message.side is Side.SERVER and message.kind == "R":
            await asyncio.sleep(0.6)  # it is what the server is: slow to let anybody in

    async with WireProxy("127.0.0.1", server.port, on_message=delay) as proxy:
        history.engine = create_async_engine(proxy.url(str(history.engine.url)))
        report = await history.runner(connect_deadline=60).run_migrations()
        await history.engine.dispose()
    assert report.applied == ("001_a",)
    assert len(history.told(DatabaseAwaited)) >= 3  # more where the machine is slow as well


async def test_the_drivers_own_timeout_ends_a_try_sooner(history: History, server: Server) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    async with WireProxy("127.0.0.1", server.port) as proxy:
        proxy.arm(Fault(1, Action.SILENCE, before=True, everywhere=False))
        url = proxy.url(str(history.engine.url))
        history.engine = create_async_engine(url, connect_args={"timeout": 0.5})
        report = await history.runner(connect_deadline=60).run_migrations()
        await history.engine.dispose()
    assert report.applied == ("001_a",)
    (wait,) = history.told(DatabaseAwaited)
    assert (wait.reason, wait.waited < connector.FIRST_TRY) == ("no answer in time", True)


@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
async def test_a_ledger_that_may_not_be_written_is_not_blamed_on_the_file(history: History, head: str) -> None:
    role = f"reader_{secrets.token_hex(4)}"
    history.sql("001_a", "SELECT 1;")
    await history.runner().run_migrations()
    history.sql("002_b", f"{head}CREATE TABLE b (x int);")
    await history.do(
        f"CREATE ROLE {role} LOGIN; GRANT SELECT ON schema_migrations TO {role}; GRANT ALL ON SCHEMA public TO {role}"
    )
    engine = create_async_engine(history.engine.url.set(username=role), poolclass=NullPool)
    try:
        runner = MigrationRunner(engine, directory=history.directory, observers=[])
        for work in (runner.run_migrations(), runner.stamp(2)):
            with pytest.raises(MigrationsError, match="GRANT SELECT, INSERT, UPDATE, DELETE ON") as failed:
                await work
            assert "CREATE TABLE b" not in str(failed.value)
    finally:
        await engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert not await history.exists("b")


async def test_a_right_that_the_file_lacks_is_blamed_on_the_file(history: History) -> None:
    role = f"writer_{secrets.token_hex(4)}"
    history.sql("001_a", "CREATE TABLE a (x int);")
    await history.runner().run_migrations()
    history.sql("002_b", "INSERT INTO a VALUES (1);")
    await history.do(
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON schema_migrations TO {role};"
        f"GRANT USAGE ON SEQUENCE schema_migrations_id_seq TO {role}"
    )
    engine = create_async_engine(history.engine.url.set(username=role), poolclass=NullPool)
    try:
        with pytest.raises(MigrationFailedError) as failed:
            await MigrationRunner(engine, directory=history.directory, observers=[]).run_migrations()
    finally:
        await engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert (failed.value.statement, failed.value.sqlstate) == ("INSERT INTO a VALUES (1)", "42501")


async def test_a_read_only_default_is_explained(history: History) -> None:
    await history.do(
        "DO $$BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || "
        "' SET default_transaction_read_only = on'; END$$"
    )
    await history.engine.dispose()  # new connections have it
    history.sql("001_a", "CREATE TABLE t (x int);")
    with pytest.raises(LedgerError, match="read-only transaction"):
        await history.runner().run_migrations()


async def test_no_create_privilege_says_what_to_grant(history: History) -> None:
    role = f"poor_{secrets.token_hex(4)}"
    await history.do(
        f"CREATE ROLE {role} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {role}"
    )
    history.sql("001_a", "CREATE TABLE t (x int);")
    url = make_url(str(history.engine.url)).set(username=role)
    engine = create_async_engine(url)
    try:
        with pytest.raises(LedgerError, match=f'GRANT USAGE, CREATE ON SCHEMA "public" TO "{role}"'):
            await MigrationRunner(engine, directory=history.directory, observers=()).run_migrations()
    finally:
        await engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
@pytest.mark.parametrize("connections", [1, 2])
async def test_a_migration_that_did_not_begin_is_not_called_dirty(
    history: History, connections: int, verb: str
) -> None:
    history.sql("001_a", "-- transactional: false\nSELECT 1;")
    history.sql("001_a.down", "-- transactional: false\nSELECT 1;")
    await history.runner().stamp(*([1] if verb == "downgrade" else []))
    before = await history.runner().applied()
    role = f"poor_{secrets.token_hex(4)}"
    await history.do(
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}; GRANT SELECT ON schema_migrations TO {role}"
    )
    poor = History(history.directory, create_async_engine(history.engine.url.set(username=role)))
    runner = poor.runner(connect_deadline=0.3)
    try:
        with pytest.raises(MigrationFailedError, match="This run did not begin it, and the ledger says") as caught:
            await (runner.run_migrations() if verb == "upgrade" else runner.downgrade(0))
    finally:
        await poor.engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert ("too many connections" if connections == 1 else "permission denied") in str(caught.value)
    assert "dirty" not in str(caught.value)
    assert await history.runner().applied() == before


async def test_a_migration_that_began_is_called_dirty(history: History) -> None:
    history.sql("001_a", "-- transactional: false\nSELECT 1;\nSELECT 1 / 0;")
    with pytest.raises(MigrationFailedError, match="the ledger marks it dirty") as caught:
        await history.runner().run_migrations()
    assert "it goes on after its last finished step" in str(caught.value)


@pytest.mark.parametrize(
    ("owner", "columns"),
    [
        ("Rails", "version varchar NOT NULL"),
        ("golang-migrate", "version bigint NOT NULL, dirty boolean NOT NULL"),
        ("Ecto", "version bigint, inserted_at timestamp"),
        ("another tool", "name text, hash text"),
    ],
)
@pytest.mark.parametrize("rows", [0, 1])
async def test_a_ledger_of_another_tool_is_refused_by_name(
    history: History, owner: str, columns: str, rows: int
) -> None:
    await history.do(f"CREATE TABLE schema_migrations ({columns})")
    if rows:
        values = {"version varchar NOT NULL": "'1'", "name text, hash text": "'1', 'x'"}
        defaults = "1, false" if "dirty" in columns else "1, now()"
        await history.do(f"INSERT INTO schema_migrations VALUES ({values.get(columns, defaults)})")
    history.sql("001_a", "CREATE TABLE t (x int);")
    runner = history.runner()
    for work in (runner.status, runner.plan, lambda: runner.wait_until_current(5), runner.run_migrations):
        with pytest.raises(ForeignLedgerError, match=owner):
            await work()
    assert not await history.exists("t")
    assert (await history.runner(table="other_ledger").run_migrations()).applied == ("001_a",)


@pytest.mark.parametrize("language", ["sql", "python"])
async def test_an_sql_error_in_the_middle_says_all_and_leaves_nothing(history: History, language: str) -> None:
    history.sql("001_first", "CREATE TABLE first (x int);")
    if language == "sql":
        history.sql(
            "002_second", "-- é\nCREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n\nSELECT 1 /\n 0;\nSELECT 2;\n"
        )
    else:
        history.python("002_second", "await self.execute('CREATE TABLE t (x int)')\nawait self.execute('SELECT 1 / 0')")
    history.sql("003_third", "CREATE TABLE third (x int);")
    with pytest.raises(MigrationFailedError) as caught:
        await history.runner().run_migrations()
    error = caught.value
    assert (error.migration, error.sqlstate, error.applied) == ("002_second", "22012", ("001_first",))
    assert error.line == (5 if language == "sql" else 9)
    assert error.statement is not None
    assert " ".join(error.statement.split()) == "SELECT 1 / 0"
    assert "division by zero (SQLSTATE 22012). Nothing of it stays." in str(error)
    assert "applied before it in this run: 001_first (stays so)" in str(error)
    assert "next: Mend the file" in str(error)
    assert await history.ledger() == ["001_first"]
    assert not await history.exists("t")


async def test_a_syntax_error_in_a_script_names_its_line(history: History) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);\n\nCREATE TABEL u (x int);\n")
    with pytest.raises(MigrationFailedError) as caught:
        await history.runner().run_migrations()
    assert (caught.value.line, caught.value.sqlstate) == (3, "42601")
    assert not await history.exists("t")


async def test_a_migration_that_raises_leaves_nothing(history: History) -> None:
    history.python("001_a", "await self.execute('CREATE TABLE t (x int)')\nraise LookupError('no such author')")
    with pytest.raises(MigrationFailedError, match="LookupError: no such author") as caught:
        await history.runner().run_migrations()
    assert isinstance(caught.value.__cause__, LookupError)
    assert not await history.exists("t")


URL = f"postgresql://bob:{SECRET}@replica/shop"


@pytest.mark.parametrize(
    ("top", "upgrade"),
    [
        ("", f"raise RuntimeError('no answer from {URL}')"),
        ("", f"""raise RuntimeError("connect(password='{SECRET}') failed")"""),
        ("", f"await self.execute(\"CREATE ROLE a PASSWORD '{SECRET}' IN ROLE nobody_has_this_name\")"),
        ("", f"await self.connection.execute(text('SELECT cast(:n AS int), :s'), {{'n': 'x', 's': '{SECRET}'}})"),
        (f"raise RuntimeError('no answer from {URL}')", "pass"),
    ],
)
async def test_what_a_migration_says_of_its_failure_shows_no_secret(history: History, top: str, upgrade: str) -> None:
    history.python("001_a", upgrade, top=top)
    with pytest.raises((MigrationFailedError, DiscoveryError)) as caught:
        await history.runner().run_migrations()
    assert "001_a" in str(caught.value)
    assert SECRET not in f"{caught.value} {vars(caught.value)} {history.events}"


@pytest.mark.parametrize(
    "body", ["while True:\n    await self.execute('SELECT 1')", "await self.execute('SELECT pg_sleep(60)')"]
)
async def test_a_migration_that_does_not_end_meets_its_deadline(history: History, body: str) -> None:
    history.python("001_a", "await self.execute('CREATE TABLE t (x int)')\n" + body)
    with pytest.raises(MigrationFailedError, match=r"did not finish within its deadline of 0\.3 s"):
        await history.runner(migration_deadline=0.3).run_migrations()
    assert not await history.exists("t")
    await eventually(history.is_unlocked)


BLOCKING = {
    "computing": "while True: pass  # here",
    "sleeping": "time.sleep(60)  # here",
    "waiting for a thread": "threading.Event().wait(60)  # here",
    "deaf": """
while True:
    try:
        time.sleep(60)  # here
    except Exception:
        pass
""",
    "in a task": """
async def work():
    time.sleep(60)  # here
async with asyncio.TaskGroup() as group:
    group.create_task(work())
""",
    "run_sync": """
def work(connection):
    time.sleep(60)  # here
await self.run_sync(work)
""",
    "in a task whose errors nobody looks at": """
async def work():
    time.sleep(60)  # here
await asyncio.wait([asyncio.create_task(work())])
""",
    "gathered with its errors": """
async def work():
    while True: pass  # here
await asyncio.gather(work(), return_exceptions=True)
""",
    "caught": """
try:
    time.sleep(60)  # here
except BaseException:
    pass
""",
    "in a transaction of its own": """
async with self.engine.begin():
    time.sleep(60)  # here
""",
    "after its cancellation": """
try:
    await asyncio.sleep(60)
except asyncio.CancelledError:
    time.sleep(60)  # here
""",
}


@pytest.mark.parametrize(
    ("body", "transactional"),
    [*((name, True) for name in BLOCKING), ("computing", False), ("in a task whose errors nobody looks at", False)],
)
async def test_a_migration_that_keeps_the_event_loop_meets_its_deadline(
    history: History, monkeypatch: pytest.MonkeyPatch, body: str, *, transactional: bool
) -> None:
    monkeypatch.setattr(alarm, "ANSWER", 0.1)
    before = signal.getsignal(signal.SIGURG)
    path = history.python(
        "001_a",
        "await self.execute('CREATE TABLE t (x int)')\n" + BLOCKING[body],
        top="import asyncio, threading, time",
        attributes=f"transactional = {transactional}",
    )
    with pytest.raises(MigrationFailedError, match=r"its deadline of 0\.3 s, and it kept") as caught:
        await history.runner(migration_deadline=0.3).run_migrations()
    assert path.read_text().splitlines()[(caught.value.line or 0) - 1].endswith("# here")
    assert await history.exists("t") is not transactional
    assert await history.ledger() == ([] if transactional else ["001_a"])
    assert signal.getsignal(signal.SIGURG) is before
    await eventually(history.is_unlocked)


async def test_a_service_that_blocks_the_loop_itself_is_not_interrupted(history: History) -> None:
    history.python("001_a", "await asyncio.sleep(60)", top="import asyncio")

    async def block() -> bool:
        await eventually(lambda: asyncio.sleep(0, bool(history.told(MigrationStarted))))
        until = time.monotonic() + 0.3 + 3 * alarm.ANSWER
        while time.monotonic() < until:
            pass
        return True

    service = asyncio.create_task(block())
    with pytest.raises(MigrationFailedError, match=r"deadline of 0\.3 s"):
        await history.runner(migration_deadline=0.3).run_migrations()
    assert await service


async def test_a_statement_meets_its_timeout(history: History) -> None:
    history.python("001_a", "await self.execute('SELECT pg_sleep(60)')")
    with pytest.raises(MigrationFailedError, match="57014"):
        await history.runner(statement_timeout=0.2).run_migrations()


@pytest.mark.parametrize("language", ["sql", "python"])
async def test_a_migration_that_drops_the_ledger_fails_and_the_ledger_stays(history: History, language: str) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    if language == "sql":
        history.sql("002_b", "DROP TABLE schema_migrations;")
    else:
        history.python("002_b", "await self.execute('DROP TABLE schema_migrations')")
    with pytest.raises(MigrationFailedError, match="dropped or rewrote the ledger"):
        await history.runner().run_migrations()
    assert await history.ledger() == ["001_a"]


async def test_a_short_path_hides_no_line(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.python("001_a", "await self.execute('SELECT 1')\nraise LookupError('no such author')")
    monkeypatch.chdir(history.directory.parent)
    for directory in (history.directory, Path("migrations")):
        with pytest.raises(MigrationFailedError) as caught:
            await MigrationRunner(history.engine, directory=directory, observers=()).run_migrations()
        assert (caught.value.path, caught.value.line) == (directory / "001_a.py", 9)


async def test_a_lock_timeout_rolls_back_and_tries_again(history: History) -> None:
    await history.do("CREATE TABLE busy (x int)")
    history.python("001_a", "await self.execute('CREATE TABLE t (x int); ALTER TABLE busy ADD COLUMN y int')")
    async with history.engine.connect() as blocker:
        await blocker.exec_driver_sql("LOCK TABLE busy")
        run = asyncio.create_task(history.runner(lock_timeout=0.1).run_migrations())
        await eventually(lambda: asyncio.sleep(0, len(history.told(MigrationRetried)) >= 2))
    assert (await run).applied == ("001_a",)
    assert await history.value("SELECT count(*) FROM schema_migrations") == 1


async def test_a_lock_timeout_in_a_task_group_is_one_too(history: History) -> None:
    await history.do("CREATE TABLE busy (x int)")
    body = "async with TaskGroup() as tasks:\n    tasks.create_task(self.execute('ALTER TABLE busy ADD COLUMN y int'))"
    history.python("001_a", body, top="from asyncio import TaskGroup")
    async with history.engine.connect() as blocker:
        await blocker.exec_driver_sql("LOCK TABLE busy")
        with pytest.raises(MigrationFailedError, match="55P03") as caught:
            await history.runner(lock_timeout=0.1, retry_deadline=0.3).run_migrations()
    assert "failed: canceling statement due to lock timeout (SQLSTATE" in str(caught.value)
    assert caught.value.statement == "ALTER TABLE busy ADD COLUMN y int"
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert history.told(MigrationRetried)


async def test_each_error_of_a_task_group_is_named(history: History) -> None:
    body = "raise ExceptionGroup('', [LookupError('no author'), ExceptionGroup('', [ValueError('no book')])])"
    history.python("001_a", body)
    with pytest.raises(MigrationFailedError, match="failed: LookupError: no author; ValueError: no book") as caught:
        await history.runner().run_migrations()
    assert caught.value.line == 8


async def test_what_an_author_says_of_a_group_is_told(history: History) -> None:
    history.python("001_a", "raise RuntimeError('no author has a book') from ExceptionGroup('', [LookupError('a')])")
    with pytest.raises(MigrationFailedError, match="failed: RuntimeError: no author has a book"):
        await history.runner().run_migrations()


async def test_a_lock_timeout_ends_at_the_retry_deadline(history: History) -> None:
    await history.do("CREATE TABLE busy (x int)")
    history.sql("001_a", "CREATE TABLE t (x int); ALTER TABLE busy ADD COLUMN y int;")
    async with history.engine.connect() as blocker:
        await blocker.exec_driver_sql("LOCK TABLE busy")
        with pytest.raises(MigrationFailedError, match="55P03") as caught:
            await history.runner(lock_timeout=0.1, retry_deadline=0.5).run_migrations()
    assert caught.value.statement == "ALTER TABLE busy ADD COLUMN y int"


async def test_a_name_of_more_than_255_characters_cannot_even_be_listed_as_one(history: History) -> None:
    # A file system holds 255 bytes: the ledger's limit is met first by names given to it another way.
    with pytest.raises(OSError, match="too long"):
        history.sql("001_" + "a" * 255, "SELECT 1;")


async def test_quotes_and_unicode_in_names_are_names(history: History) -> None:
    history.sql('001_it\'s "quoted" é', "CREATE TABLE t (x int);")
    history.python("002_a';DROP TABLE t;--", "self.log_info('x')")
    assert len((await history.runner().run_migrations()).applied) == 2
    assert await history.ledger() == ['001_it\'s "quoted" é', "002_a';DROP TABLE t;--"]
    assert (await history.runner().run_migrations()).applied == ()


async def test_a_nul_character_in_a_script_is_found_before_anything_runs(history: History) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    history.sql("002_b", "SELECT '\0';")
    with pytest.raises(DiscoveryError, match="NUL"):
        await history.runner().run_migrations()
    assert not await history.exists("schema_migrations")


async def test_a_file_that_cannot_be_read_is_no_lost_connection(history: History) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    (history.directory / "001_a.down.sql").symlink_to("gone.sql")
    for work in (history.runner().plan, history.runner().run_migrations):
        with pytest.raises(DiscoveryError, match=r"001_a\.down\.sql cannot be read"):
            await work()
    assert history.told(ConnectionLost) == []
    assert not await history.exists("schema_migrations")


HOSTILE = ["order", "Sp ace", 'quo"te', "it's", 'x"; DROP TABLE t; --', "ünï", "$$", "a.b", "\\", "%s:%d"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_schema_and_table_names_are_only_names(history: History, name: str) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);")
    history.python(
        "002_b", "await self.execute('CREATE TABLE u (x int)')", downgrade="await self.execute('DROP TABLE u')"
    )
    history.sql("003_c", "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON t (x);")
    runner = history.runner(table=name, schema=name)
    assert len((await runner.run_migrations()).applied) == 3
    assert (await runner.run_migrations()).applied == ()
    assert await runner.verify() == []
    assert await history.rows(
        "SELECT schemaname, tablename FROM pg_tables WHERE tablename NOT IN ('t', 'u') "
        "AND schemaname NOT IN ('pg_catalog', 'information_schema')"
    ) == [(name, name)]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64])
def test_impossible_names_are_refused_at_once(engine: AsyncEngine, name: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger's name"):
        MigrationRunner(engine, table=name)


def test_another_driver_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql\+asyncpg"):
        MigrationRunner("postgresql://localhost/x")  # type: ignore[arg-type]


def test_a_misspelt_policy_is_refused_at_once(engine: AsyncEngine) -> None:
    with pytest.raises(ConfigurationError, match="changed='warning'"):
        MigrationRunner(engine, changed="warning")  # type: ignore[arg-type]


async def test_a_missing_folder_says_how_to_make_it(engine: AsyncEngine, tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="No such file or directory"):
        await MigrationRunner(engine, directory=tmp_path / "none").run_migrations()


@pytest.mark.parametrize("header", ["", "-- transactional: false\n"])
async def test_a_file_that_does_not_end_meets_its_deadline(history: History, header: str) -> None:
    history.sql("001_a", header + "CREATE TABLE t (x int);\nSELECT pg_sleep(60);")
    with pytest.raises(MigrationFailedError, match=r"did not finish within its deadline of 0\.3 s"):
        await history.runner(migration_deadline=0.3).run_migrations()
    assert await history.exists("t") == bool(header)
    await eventually(history.is_unlocked)
    await eventually(lambda: history.value(SLEEPERS))


async def test_a_statement_outside_a_transaction_meets_its_timeout_too(history: History) -> None:
    history.sql("001_a", "-- transactional: false\nSELECT pg_sleep(60);")
    history.python("002_b", "self.log_info('after')")
    with pytest.raises(MigrationFailedError, match="57014"):
        await history.runner(statement_timeout=0.2).run_migrations()
    history.sql("001_a", "-- transactional: false\nSELECT 1;")
    assert (await history.runner(statement_timeout=0.2).run_migrations()).applied == ("001_a", "002_b")
