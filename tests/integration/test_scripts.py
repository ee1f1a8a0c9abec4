"""What an author's SQL asks for, and what happens instead of a hang, a half or a silent other thing."""

import secrets

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationFailedError, MigrationRunner
from async_migrations.errors import DiscoveryError
from tests.support.history import History

UNENDED = {
    "CREATE TABLE a (x int);\n/* cut by a bad merge\nCREATE TABLE b (x int);": "line 2: the comment",
    "CREATE TABLE a (x int);\n/* /* */ CREATE TABLE b (x int);": "line 2: the comment",
    "CREATE TABLE a (x text);\nINSERT INTO a VALUES ('abc);": "line 2: a quoted text or name",
    "CREATE TABLE a (x text);\nSELECT E'abc\\';": "line 2: a quoted text or name",
    'CREATE TABLE a (x text);\nSELECT "abc;': "line 2: a quoted text or name",
    "CREATE TABLE a (x text);\nDO $do$ BEGIN END $$;": "line 2: a quoted text or name",
}
COPIES = [
    "COPY a (x) FROM stdin;\n1\n\\.\n",
    "COPY a FROM /* here */ STDIN;\nSELECT 1;",
    "COPY/**/a(x)FROM -- here\nstdin WITH (FORMAT csv);",
    "COPY a (x) FROM stdin;\nit's\n\\.\n",
]
ENDED = r"""
-- it's
CREATE TABLE a (x text, "it's" text); /* ' " $$ /* nested */ */
INSERT INTO a VALUES ('it''s', E'\''), ($q$'"$q$, 'COPY a FROM STDIN'), ('$', '--'), ('/*', '"');
COMMENT ON TABLE a IS 'as; COPY a FROM STDIN does'
--"""
DEFERRED = "CREATE TABLE p (x int PRIMARY KEY);\nCREATE TABLE c (x int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\n"
BLAMED = {
    "SELECT 1;\nSET client_min_messages = warning;\nSELECT 2;\nSELECT 1/0;\nSELECT 3;": ("SELECT 1/0", 4),
    "SELECT set_config('client_min_messages', 'error', false);\nSELECT 2;\nSELECT 1/0;": ("SELECT 1/0", 3),
    "SAVEPOINT s;\nSET client_min_messages TO error;\nROLLBACK TO s;\nSELECT 1/0;": ("SELECT 1/0", 4),
    "SELECT 1;\nRESET ALL;\nSELECT 2;\nSELECT 1/0;": ("SELECT 1/0", 4),
    "SELECT 1;\nSET search_path = '';\nSELECT 2;\nSELECT 1/0;": ("SELECT 1/0", 4),
    "SELECT 1;\r\n-- a\r\nSELECT\r\n 1/0;\r\nSELECT 2;": ("SELECT\r\n 1/0", 3),
    "SELECT 1;\n/* a\n*/ DO $$BEGIN\nEXECUTE 'SELEC';\nEND$$;\nSELECT 2;": ("DO $$BEGIN\nEXECUTE 'SELEC';\nEND$$", 3),
    "CREATE TABLE a (x int);\nPREPARE p AS SELECT x FROM a;\nALTER TABLE a RENAME x TO y;\nEXECUTE p;": (
        "EXECUTE p",
        4,
    ),
    f"{DEFERRED}INSERT INTO c VALUES (7);\nCREATE TABLE innocent (x int);": ("COMMIT", None),
    f"{DEFERRED}INSERT INTO c VALUES (7);\nSET CONSTRAINTS ALL IMMEDIATE;\nSELECT 1;": (
        "SET CONSTRAINTS ALL IMMEDIATE",
        4,
    ),
}


@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
@pytest.mark.parametrize("script", UNENDED)
async def test_what_does_not_end_is_found_before_anything_is_applied(history: History, script: str, head: str) -> None:
    history.sql("001_first", "SELECT 1;")
    (history.directory / "002_a.sql").write_text(head + script)
    line, what = UNENDED[script].split(":")
    wanted = f"002_a.sql, line {int(line.split()[1]) + bool(head)}:{what}"
    for work in (history.runner().plan, history.runner().run_migrations):
        with pytest.raises(DiscoveryError) as found:
            await work()
        assert wanted in str(found.value)
    assert not await history.exists("schema_migrations")


async def test_what_ends_is_applied(history: History) -> None:
    (history.directory / "001_a.sql").write_text(ENDED)
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.value("SELECT count(*) FROM a") == 4


@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
@pytest.mark.parametrize("name", ["001_a.sql", "001_a.down.sql"])
@pytest.mark.parametrize("copy", COPIES)
async def test_a_file_cannot_copy_from_what_nobody_sends(history: History, copy: str, name: str, head: str) -> None:
    history.sql("001_a", "SELECT 1;")
    (history.directory / name).write_text(f"{head}CREATE TABLE a (x text);\n{copy}")
    with pytest.raises(DiscoveryError, match=rf"{name}, line {2 + bool(head)}: COPY … FROM STDIN waits"):
        await history.runner().run_migrations()


async def test_a_file_may_copy_to_and_from_what_is_there(history: History) -> None:
    history.sql(
        "001_a",
        'CREATE TABLE stdin AS SELECT 1 AS x;\nCREATE TABLE "a FROM STDIN" ();\nCOPY (SELECT x FROM stdin) TO STDOUT;\n'
        "COPY \"a FROM STDIN\" TO STDOUT;\nCOPY stdin FROM PROGRAM 'echo 1 # FROM STDIN';",
    )
    assert (await history.runner().run_migrations()).applied == ("001_a",)


@pytest.mark.parametrize("attributes", ["", "transactional = False"])
@pytest.mark.parametrize(
    "statement", ["COPY a FROM STDIN", "SELECT 1; COPY a FROM STDIN", "/* */ COPY a FROM /* here */ STDIN"]
)
async def test_neither_can_a_python_file(history: History, statement: str, attributes: str) -> None:
    body = f"await self.execute('CREATE TABLE a (x int)')\nawait self.execute({statement!r})"
    history.python("001_a", body, attributes=attributes)
    with pytest.raises(MigrationFailedError, match="waits for data that nobody sends"):
        await history.runner(migration_deadline=20).run_migrations()


async def test_a_statement_that_lacks_its_end_is_named(history: History) -> None:
    history.sql("001_a", "CREATE TABLE a (x int);\nSELECT 1 +;\nSELECT 2;")
    with pytest.raises(MigrationFailedError, match="syntax error") as failed:
        await history.runner().run_migrations()
    assert (failed.value.statement, failed.value.line) == ("SELECT 1 +", 2)


@pytest.mark.parametrize("script", BLAMED)
async def test_an_error_is_told_of_the_statement_that_failed(history: History, script: str) -> None:
    # What RESET ALL brings back.
    await history.do(
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET client_min_messages = error', current_database()); END$$"
    )
    await history.engine.dispose()
    (history.directory / "001_a.sql").write_text(script, newline="")
    with pytest.raises(MigrationFailedError) as failed:
        await history.runner().run_migrations()
    assert (failed.value.statement, failed.value.line) == BLAMED[script]
    assert failed.value.path == history.directory / "001_a.sql"


async def test_what_a_file_sets_is_as_it_set_it(history: History) -> None:
    shown = "current_setting('client_min_messages') AS level"
    history.sql(
        "001_a",
        f"CREATE TABLE a AS SELECT {shown};\nSET client_min_messages = warning;\nCREATE TABLE b AS SELECT {shown};\n"
        f"RESET client_min_messages;\nCREATE TABLE c AS SELECT {shown};",
    )
    await history.runner().run_migrations()
    levels = "SELECT a.level, b.level, c.level FROM a, b, c"
    assert await history.rows(levels) == [("notice", "warning", "notice")]


async def test_a_file_needs_no_right_to_a_language(history: History) -> None:
    role = f"plain_{secrets.token_hex(4)}"
    await history.do(
        f"REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}"
    )
    history.sql("001_a", "CREATE TABLE a (x int);\nCREATE TABLE b (x int);")
    engine = create_async_engine(history.engine.url.set(username=role), poolclass=NullPool)
    try:
        report = await MigrationRunner(engine, directory=history.directory, observers=[]).run_migrations()
    finally:
        await engine.dispose()
        await history.do(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert report.applied == ("001_a",)


async def test_an_event_trigger_sees_only_the_files_own_statements(history: History) -> None:
    await history.do(
        "CREATE TABLE seen (tag text); CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO seen VALUES (tg_tag); END'"
    )
    history.sql("001_ledger", "SELECT 1;")
    await history.runner().run_migrations()
    await history.do("CREATE EVENT TRIGGER see ON ddl_command_start EXECUTE FUNCTION see()")
    history.sql("002_a", "CREATE TABLE a (x int);\nDROP TABLE a;")
    await history.runner().run_migrations()
    assert await history.rows("SELECT tag FROM seen") == [("CREATE TABLE",), ("DROP TABLE",)]


async def test_a_retry_sets_again_what_the_finished_statements_had_set(history: History) -> None:
    await history.do("CREATE SCHEMA tenant; CREATE SEQUENCE tries")
    history.sql(
        "001_a",
        "-- transactional: false\nSET search_path = tenant;\nSELECT set_config('lock_timeout', '7s', false);\n"
        "CREATE TABLE one (x int);\n"
        "SELECT CASE nextval('public.tries') WHEN 1 THEN pg_terminate_backend(pg_backend_pid()) END;\n"
        "CREATE TABLE two AS SELECT current_setting('lock_timeout') AS lock_timeout;",
    )
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.exists("tenant.one")
    assert await history.value("SELECT lock_timeout FROM tenant.two") == "7s"


@pytest.mark.parametrize(
    ("setting", "again"),
    [
        ("SELECT set_config('app.batch', note(), false)", 0),
        ("SELECT set_config('app.batch', 'x', false), note()", 0),
        ("SELECT set_config('app.batch', 'x', false) FROM note()", 0),
        ("SELECT set_config('app.batch', $$x$$ || note() || $$y$$, false)", 0),
        ("SELECT /* a */ set_config('app.batch', 'it''s', false) AS batch", 1),
        ("select pg_catalog.set_config('app.batch', E'it\\'s ' || current_setting('role')::text, 'f')", 1),
        ("SELECT set_config('app.batch', NULL, true), set_config('app.batch', $$it's$$, false) batch", 1),
    ],
)
async def test_only_what_does_no_more_than_set_is_set_again(history: History, setting: str, again: int) -> None:
    await history.do("CREATE TABLE notes (x int); CREATE TABLE batches (x text)")
    await history.do(
        "CREATE FUNCTION note() RETURNS text LANGUAGE sql AS 'INSERT INTO notes VALUES (1) RETURNING x::text'"
    )
    history.sql(
        "001_a",
        f"-- transactional: false\n{setting};\n"
        "SELECT 1 / (SELECT count(*) FROM batches WHERE x = 'second');\n"
        "INSERT INTO batches VALUES (current_setting('app.batch', true));",
    )
    with pytest.raises(MigrationFailedError, match="division by zero"):
        await history.runner().run_migrations()
    await history.do("INSERT INTO batches VALUES ('second')")
    await history.engine.dispose()
    await history.runner().run_migrations()
    assert await history.value("SELECT count(*) FROM notes") == ("note" in setting)
    assert await history.value("SELECT count(*) FROM batches WHERE x LIKE 'it''s%'") == again


@pytest.mark.parametrize("top", ["/* licence */\n", "\n/* licence\n * of two lines\n */\n-- and more\n"])
async def test_headers_may_follow_a_licence(history: History, top: str) -> None:
    (history.directory / "001_a.sql").write_text(f"{top}-- transactional: false\nVACUUM;\nSELECT 1;")
    assert (await history.runner().run_migrations()).applied == ("001_a",)


@pytest.mark.parametrize("header", ["-- transactional=false", "--transactional = false", "-- Transactional =no"])
async def test_what_is_almost_the_header_is_not_passed_over(history: History, header: str) -> None:
    history.sql("001_a", f"-- description: a\n{header}\nSELECT 1;")
    with pytest.raises(DiscoveryError, match="the header is written `-- transactional: false`"):
        await history.runner().run_migrations()
