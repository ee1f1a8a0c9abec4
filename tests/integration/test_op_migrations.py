"""Operations inside real migrations: counted, taken back, tried again, blamed."""

import anyio
import pytest

from async_migrations import MigrationFailedError
from async_migrations.events import MigrationMessage
from tests.support.history import History
from tests.support.waiting import eventually

SHOP = """
CREATE TABLE authors (id integer PRIMARY KEY);
CREATE TABLE books (id integer, author_id integer, title text);
INSERT INTO authors VALUES (1); INSERT INTO books VALUES (1, 1, 'A');
"""


async def test_a_migration_that_returns_nothing_is_counted_by_its_operations(history: History) -> None:
    history.python(
        "001_shop",
        """
        from sqlalchemy import Column, Integer, Text
        await self.op.create_table("shops", Column("id", Integer, primary_key=True), Column("name", Text, index=True))
        await self.op.add_column("shops", Column("city", Text))
        """,
        downgrade="await self.op.drop_table('shops')",
    )
    history.python("002_more", "return self.op.statistics | {'shops_named': 3}", downgrade="pass")
    history.python("003_own", "return {'tables_created': 0}", downgrade="pass")
    runner = history.runner()
    report = await runner.run_migrations()
    counted = {key: report.statistics[key] for key in ("tables_created", "columns_added", "indexes_created")}
    assert counted == {"tables_created": 1, "columns_added": 1, "indexes_created": 1}
    assert await history.value("SELECT statistics->>'shops_named' FROM schema_migrations WHERE id = 2") == "3"
    await runner.downgrade(0)
    assert not await history.exists("shops")


async def test_a_failure_in_a_transaction_takes_back_every_operation_and_names_the_statement(history: History) -> None:
    await history.do(SHOP)
    history.python(
        "001_keys",
        """
        await self.op.create_table_comment("books", "kept?")
        await self.op.create_foreign_key("fk", "books", "authors", ["title"], ["id"])
        """,
    )
    with pytest.raises(MigrationFailedError) as caught:
        await history.runner().run_migrations()
    assert 'ALTER TABLE "books" ADD CONSTRAINT "fk" FOREIGN KEY ("title")' in str(caught.value)
    assert caught.value.sqlstate == "42804"
    assert caught.value.line == 9
    assert await history.value("SELECT obj_description('books'::regclass)") is None


async def test_a_migration_without_a_transaction_goes_on_after_its_session_was_ended(history: History) -> None:
    await history.do(SHOP + "CREATE TABLE tries (n integer PRIMARY KEY)")
    history.python(
        "001_keys",
        """
        await self.op.create_unique_constraint("uq", "books", ["title"])
        await self.op.set_not_null("books", "title")
        await self.op.create_foreign_key("fk", "books", "authors", ["author_id"], ["id"])
        if (await self.execute("INSERT INTO tries VALUES (1) ON CONFLICT DO NOTHING")).rowcount:
            await self.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await self.op.rename_table("books", "volumes")
        """,
        attributes="transactional = False",
    )
    report = await history.runner().run_migrations()
    assert report.applied == ("001_keys",)
    found = await history.rows(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'volumes'::regclass AND contype <> 'n'"
        " ORDER BY conname"
    )
    assert found == [("fk", True), ("uq", True)]


async def test_a_second_start_completes_what_rows_contradicted_at_the_first(history: History) -> None:
    await history.do(SHOP + "INSERT INTO books VALUES (2, 9, NULL)")
    history.python(
        "001_keys",
        """
        await self.op.create_foreign_key("fk", "books", "authors", ["author_id"], ["id"])
        await self.op.set_not_null("books", "title")
        """,
        attributes="transactional = False",
    )
    with pytest.raises(MigrationFailedError, match="it goes on after its last finished step"):
        await history.runner().run_migrations()
    await history.do("DELETE FROM books WHERE id = 2")
    await history.runner().run_migrations()
    assert await history.value("SELECT convalidated FROM pg_constraint WHERE conname = 'fk'") is True


async def test_the_runners_lock_timeout_holds_outside_a_transaction_too(history: History) -> None:
    await history.do(SHOP)
    history.python("001_more", "await self.op.drop_column('books', 'title')", attributes="transactional = False")

    async def steps_back() -> bool:
        return any("not granted in time" in event.text for event in history.told(MigrationMessage))

    async with history.engine.connect() as reader, anyio.create_task_group() as group:
        await reader.exec_driver_sql("SELECT 1 FROM books")
        group.start_soon(history.runner(lock_timeout=0.05).run_migrations)
        await eventually(steps_back, deadline=30)
        await reader.rollback()
    assert await history.ledger() == ["001_more"]


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_query_asked_before_and_after_an_operation_has_both_answers(
    history: History, *, transactional: bool
) -> None:
    await history.do(SHOP + "CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TABLE books ADD mood mood DEFAULT 'ok'")
    history.python(
        "001_more",
        """
        query = text("SELECT * FROM books WHERE id = :id")
        before = (await self.connection.execute(query, {"id": 1})).one()
        await self.op.alter_column("books", "title", type_=String(9), new_column_name="name")
        await self.op.remove_enum_value("mood", "sad")
        after = (await self.connection.execute(query, {"id": 1})).one()
        assert before._mapping["title"] == after._mapping["name"], after
        assert after.mood == "ok"
        await self.execute("ALTER TABLE books ADD COLUMN n integer")
        assert (await self.connection.execute(query, {"id": 1})).one().n is None
        """,
        top="from sqlalchemy import String",
        attributes=f"transactional = {transactional}",
    )
    assert (await history.runner().run_migrations()).applied == ("001_more",)


@pytest.mark.parametrize("before", ["", "SELECT 1; "])
async def test_a_concurrent_index_as_free_sql_is_built_anew_where_a_dead_build_left_it_invalid(
    history: History, before: str
) -> None:
    await history.do("CREATE TABLE users (email text); INSERT INTO users VALUES ('a'), ('a')")
    statement = f"{before}CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq ON users (email)"
    history.python("001_unique", f"await self.execute({statement!r})", attributes="transactional = False")
    with pytest.raises(MigrationFailedError, match="could not create unique index"):
        await history.runner().run_migrations()
    await history.do("DELETE FROM users WHERE ctid = '(0,1)'")
    assert (await history.runner().run_migrations()).applied == ("001_unique",)
    assert await history.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'uq'::regclass")


@pytest.mark.parametrize("may_read", [True, False])
async def test_a_role_that_may_have_no_temporary_relations_is_told_what_to_grant(
    history: History, *, may_read: bool
) -> None:
    database = await history.value("SELECT quote_ident(current_database())")
    role = f"low_{await history.value('SELECT pg_backend_pid()')}"
    await history.do(
        f"{SHOP} CREATE ROLE {role}; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;"
        f"GRANT CREATE ON SCHEMA public TO {role}; ALTER TABLE books OWNER TO {role}; CREATE INDEX ix ON books (title);"
        f"GRANT {role} TO current_user; {'' if may_read else f'GRANT TEMPORARY ON DATABASE {database} TO {role};'}"
        f"{'' if may_read else f'REVOKE SELECT ON books FROM {role}'}"
    )
    history.python(
        "001_index",
        f"await self.execute('SET ROLE {role}')\nawait self.op.create_index('ix', 'books', ['title'])",
        attributes="transactional = False",
    )
    with pytest.raises(MigrationFailedError) as caught:
        await history.runner().run_migrations()
    assert caught.value.sqlstate == "42501"
    assert (f"GRANT TEMPORARY ON DATABASE {database} TO {role};" in str(caught.value)) is may_read
    await history.do(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
