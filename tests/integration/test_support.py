import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase


@pytest.mark.parametrize("attempt", range(20))
async def test_each_test_has_an_empty_database(engine: AsyncEngine, attempt: int) -> None:
    async with engine.begin() as connection:
        assert attempt >= 0
        await connection.execute(text("CREATE TABLE t (id integer)"))


async def test_server_has_version(engine: AsyncEngine, postgres_version: int) -> None:
    async with engine.connect() as connection:
        assert (await connection.scalar(text("SHOW server_version"))).startswith(str(postgres_version))


async def test_more(make_database: MakeDatabase, own_server: Server) -> None:
    url = await make_database()
    assert url != await make_database('a "b', owner="postgres")
    pid = own_server.pid
    own_server.restart("immediate")
    assert own_server.pid != pid
