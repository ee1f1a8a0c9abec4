"""A migration outside a transaction that wants the table in which the engine keeps its books."""

import pytest

from async_migrations import MigrationFailedError
from tests.support.history import History

# Not of the whole database: that takes the catalogs along which all databases of the server share.
MAINTENANCE = [
    "VACUUM FULL a, schema_migrations",
    "REINDEX SCHEMA public",
    "/* all */ reindex schema concurrently public",
]
REWRITES = [
    "DROP TABLE schema_migrations",
    "TRUNCATE schema_migrations",
    "DELETE FROM schema_migrations",
    "ALTER TABLE schema_migrations ADD COLUMN more integer",
    "DROP SCHEMA public CASCADE",
]
TABLE = "SELECT count(*) FROM pg_class WHERE relname = 'schema_migrations'"


def write(history: History, language: str, statement: str) -> None:
    """Write a migration that runs a statement outside any transaction, between two others."""
    history.sql("001_a", "CREATE TABLE a (x int);")
    if language == "sql":
        history.sql("002_b", f"-- transactional: false\nCREATE TABLE b (x int);\n{statement};\nCREATE TABLE c (x int);")
    else:
        body = f"await self.execute('CREATE TABLE b (x int)')\nawait self.execute({statement!r})"
        history.python(
            "002_b", f"{body}\nawait self.execute('CREATE TABLE c (x int)')", attributes="transactional = False"
        )


@pytest.mark.parametrize("language", ["sql", "python"])
@pytest.mark.parametrize("statement", MAINTENANCE)
async def test_maintenance_of_all_tables_has_its_turn_at_the_ledger(
    history: History, statement: str, language: str
) -> None:
    write(history, language, statement)
    assert (await history.runner().run_migrations()).applied == ("001_a", "002_b")
    assert await history.exists("c")
    assert await history.is_unlocked()


async def test_maintenance_has_its_turn_on_the_way_back(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);")
    history.sql("001_a.down", "-- transactional: false\nDROP TABLE a;\nVACUUM FULL schema_migrations;")
    await history.runner().run_migrations()
    assert (await history.runner().downgrade(0)).applied == ("001_a",)
    assert await history.value("SELECT count(*) FROM schema_migrations") == 0


async def test_maintenance_has_its_turn_after_a_while_too(history: History) -> None:
    full = "VACUUM FULL schema_migrations;"
    history.sql("001_a", f"-- transactional: false\nSELECT pg_sleep(1.5);\n{full}\nSELECT 1;\n{full}")
    assert (await history.runner().run_migrations()).applied == ("001_a",)


@pytest.mark.parametrize("language", ["sql", "python"])
@pytest.mark.parametrize("statement", REWRITES)
async def test_whoever_wants_the_ledger_for_himself_is_told_no(history: History, statement: str, language: str) -> None:
    write(history, language, statement)
    with pytest.raises(MigrationFailedError, match="The ledger is the engine's alone"):
        await history.runner().run_migrations()
    assert [row[0] for row in await history.rows("SELECT migration_name FROM schema_migrations ORDER BY 1")] == [
        "001_a",
        "002_b",
    ]
    assert not await history.exists("c")


@pytest.mark.parametrize("language", ["sql", "python"])
@pytest.mark.parametrize("statement", ["DROP TABLE schema_migrations", "DELETE FROM schema_migrations"])
async def test_a_deadline_does_not_let_it_through(history: History, statement: str, language: str) -> None:
    write(history, language, statement)
    with pytest.raises(MigrationFailedError, match="did not finish within its deadline"):
        await history.runner(migration_deadline=0.3).run_migrations()
    assert await history.value("SELECT count(*) FROM schema_migrations") == 2
    assert await history.value(TABLE) == 1
