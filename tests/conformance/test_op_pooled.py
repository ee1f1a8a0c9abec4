"""All operations through PgBouncer, whose server connection may be another for each message."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationFailedError
from async_migrations.testing.server import Server
from tests.integration.test_op_document import write_examples
from tests.support.history import History
from tests.support.pgbouncer import pgbouncer
from tests.support.pictures import changes, picture
from tests.support.replica_launcher import open_engine

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]


@pytest.fixture
def history(tmp_path: Path, engine: AsyncEngine) -> History:
    return History(tmp_path / "migrations", engine)


@pytest.mark.parametrize("transactional", [True, False], ids=["in a transaction", "without one"])
async def test_the_examples_do_the_same_through_a_pooler(
    history: History, server: Server, database_url: str, *, transactional: bool
) -> None:
    write_examples(history, transactional=transactional)
    count = len((await history.runner().run_migrations()).applied)
    wanted = await drawn(history)
    await history.do(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; COMMENT ON SCHEMA public IS 'standard public schema'"
    )
    with pgbouncer(server, "transaction") as bouncer:
        engine = open_engine(bouncer.url(make_url(database_url).database or ""), unnamed_statements=True)
        through = History(history.directory, engine)
        assert len((await through.runner().run_migrations()).applied) == count
        await engine.dispose()
    assert not changes(wanted, await drawn(history))


@pytest.mark.parametrize("language", ["sql", "python"])
async def test_who_wants_the_ledger_is_told_no_through_a_pooler_too(
    history: History, server: Server, database_url: str, language: str
) -> None:
    wants = "UPDATE schema_migrations SET description = 'mine'"
    if language == "sql":
        history.sql("001_a", f"-- transactional: false\nCREATE TABLE a (x int);\n{wants};")
    else:
        history.python("001_a", f'await self.execute("{wants}")', attributes="transactional = False")
    with pgbouncer(server, "transaction") as bouncer:
        engine = open_engine(bouncer.url(make_url(database_url).database or ""), unnamed_statements=True)
        with pytest.raises(MigrationFailedError, match="The ledger is the engine's alone"):
            await asyncio.wait_for(History(history.directory, engine).runner().run_migrations(), 60)
        await engine.dispose()
    assert await history.value("SELECT description FROM schema_migrations") != "mine"


async def drawn(history: History) -> dict[str, list[str]]:
    async with history.engine.connect() as connection:
        return await picture((await connection.get_raw_connection()).driver_connection)
