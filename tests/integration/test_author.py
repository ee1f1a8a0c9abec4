"""What the author of a migration may do, and what nothing of it can break."""

import logging
import textwrap

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from async_migrations import MigrationFailedError, MigrationsError
from async_migrations.events import MigrationApplied, MigrationMessage, MigrationProgress, MigrationRetried
from async_migrations.standing import Watch
from tests.support.history import History

TABLE = "await self.execute('CREATE TABLE t (x int)')\n"


async def test_statistics_of_every_kind_are_counted_and_shown(history: History) -> None:
    history.python("001_dict", "return {'tables_created': ['a', 'b'], 'rows_copied': 7, 'note': 'x'}")
    history.python("002_value", "return Statistics(columns_added=3, extra={'rows_copied': 5})")
    history.python("003_nothing", "pass")
    report = await history.runner().run_migrations()
    assert report.statistics == {
        "migrations_applied": 3,
        "tables_created": 2,
        "columns_added": 3,
        "indexes_created": 0,
        "rows_copied": 12,
    }
    assert history.told(MigrationApplied)[0].statistics["note"] == "x"
    assert await history.value("SELECT statistics->>'rows_copied' FROM schema_migrations LIMIT 1") == "7"


@pytest.mark.parametrize("returned", ["'done'", "{'tables_created': -1}", "{'tables_created': 'one'}", "{1: 2}", "3"])
async def test_nonsense_statistics_are_an_error_and_nothing_stays(history: History, returned: str) -> None:
    history.python("001_a", TABLE + f"return {returned}")
    with pytest.raises(MigrationFailedError, match="upgrade\\(\\) returned"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


@pytest.mark.parametrize("deallocate", ["DEALLOCATE ALL", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"])
async def test_what_the_engine_prepared_may_be_deallocated(history: History, deallocate: str) -> None:
    history.python("001_a", TABLE + f'await self.execute("{deallocate}")')
    history.sql("002_b", f"INSERT INTO t VALUES (2);\n{deallocate};\n")
    history.sql("003_c", "INSERT INTO t VALUES (3);\n")
    history.python("004_d", "await self.execute('INSERT INTO t VALUES (4)')")
    report = await history.runner().run_migrations()
    assert report.applied == ("001_a", "002_b", "003_c", "004_d")
    assert await history.value("SELECT array_agg(x ORDER BY x)::text FROM t") == "{2,3,4}"
    assert len(history.told(MigrationRetried)) == 1


async def test_a_script_may_deallocate_what_the_engine_prepared(history: History) -> None:
    history.sql("001_a", "CREATE TABLE t (x int);\nDEALLOCATE ALL;\n")
    history.sql("002_b", "INSERT INTO t VALUES (2);\n")
    await history.runner().run_migrations()
    assert (
        await history.value("SELECT string_agg(migration_name, ' ' ORDER BY id) FROM schema_migrations")
        == "001_a 002_b"
    )


async def test_log_lines_carry_the_name(history: History) -> None:
    history.python("001_a", "self.log_info('i'); self.log_debug('d'); self.log_warning('w'); self.log_error('e')")
    await history.runner().run_migrations()
    assert [(m.name, m.level, m.text) for m in history.told(MigrationMessage)] == [
        ("001_a", 20, "i"),
        ("001_a", 10, "d"),
        ("001_a", 30, "w"),
        ("001_a", 40, "e"),
    ]


async def test_progress_is_told_to_who_watches(history: History) -> None:
    history.python("001_a", "self.progress(3); self.progress(1, 4)")
    history.python("002_b", "self.progress(float('nan'))")
    watch = Watch()
    with pytest.raises(MigrationFailedError, match=r"progress\(nan, None\): both must be numbers from 0 up"):
        await history.runner().watched_by(watch).run_migrations()
    assert history.told(MigrationProgress) == [MigrationProgress("001_a", 3, None), MigrationProgress("001_a", 1, 4)]
    assert (watch.now.phase, watch.now.migration, watch.now.position) == ("failed", "002_b", 2)


async def test_base_and_metadata_are_at_hand(history: History) -> None:
    metadata = MetaData()
    Table("shelf", metadata, Column("id", Integer, primary_key=True))
    history.python("001_a", "assert self.base is self.metadata\nawait self.run_sync(self.metadata.create_all)")
    await history.runner(metadata).run_migrations()
    assert await history.exists("shelf")


async def test_metadata_without_a_base_says_how_to_pass_it(history: History) -> None:
    history.python("001_a", "self.metadata")
    with pytest.raises(MigrationFailedError, match=r"MigrationRunner\(engine, Base\)"):
        await history.runner().run_migrations()


async def test_the_engine_face_commits_a_savepoint_and_rolls_back_the_rest(history: History) -> None:
    history.python(
        "001_a",
        """
        async with self.engine.connect() as connection:
            await connection.execute(text("CREATE TABLE t (x int)"))
            await connection.commit()
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            await connection.rollback()
            await connection.execute(text("INSERT INTO t VALUES (2)"))
        async with self.engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (3)"))
        try:
            async with self.engine.begin() as connection:
                await connection.execute(text("INSERT INTO t VALUES (4)"))
                raise KeyError
        except KeyError:
            pass
        """,
    )
    await history.runner().run_migrations()
    assert await history.rows("SELECT x FROM t") == [(3,)]


async def test_what_the_face_committed_goes_when_the_migration_fails(history: History) -> None:
    history.python(
        "001_a",
        """
        async with self.engine.connect() as connection:
            await connection.execute(text("CREATE TABLE t (x int)"))
            await connection.commit()
        raise RuntimeError("half way")
        """,
    )
    with pytest.raises(MigrationFailedError, match="half way") as caught:
        await history.runner().run_migrations()
    assert not await history.exists("t")
    assert caught.value.line == 11
    assert await history.ledger() == []


async def test_commit_on_the_connection_lets_nothing_escape(history: History) -> None:
    history.python("001_a", TABLE + "await self.connection.commit()\nraise RuntimeError('later')")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    assert not await history.exists("t")


@pytest.mark.parametrize(
    "body",
    [
        "await self.connection.rollback()",
        (
            "from sqlalchemy.ext.asyncio import AsyncSession\nasync with AsyncSession(self.connection) as s:\n"
            "    await s.execute(text('SELECT 1'))\n    await s.rollback()"
        ),
        (
            "from sqlalchemy.ext.asyncio import AsyncSession\nasync with AsyncSession(self.engine) as s:\n"
            "    await s.execute(text('SELECT 1'))\n    await s.rollback()"
        ),
    ],
)
async def test_a_rollback_that_cannot_be_honoured_is_an_error(history: History, body: str) -> None:
    history.python("001_a", TABLE + body)
    with pytest.raises(MigrationFailedError, match="called rollback"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "BEGIN", "END", "/* x */ commit and chain", "ABORT"])
async def test_transaction_control_in_sql_is_refused_by_name(history: History, statement: str) -> None:
    history.python("001_a", TABLE + f"await self.connection.execute(text({statement!r}))")
    with pytest.raises(MigrationFailedError, match="would end the engine's own transaction"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


async def test_a_commit_behind_our_back_is_seen_and_the_row_does_not_stay(history: History) -> None:
    history.python(
        "001_a",
        TABLE + "raw = await self.connection.get_raw_connection()\nawait raw.driver_connection.execute('COMMIT')",
    )
    with pytest.raises(MigrationFailedError, match="ended the engine's own transaction"):
        await history.runner().run_migrations()


async def test_a_commit_and_a_new_begin_behind_our_back_is_seen_by_the_fence(history: History) -> None:
    history.python(
        "001_a",
        TABLE
        + "raw = await self.connection.get_raw_connection()\nawait raw.driver_connection.execute('COMMIT; BEGIN')",
    )
    with pytest.raises(MigrationFailedError, match="not this transaction's any more"):
        await history.runner().run_migrations()


async def test_a_session_bound_to_the_connection_or_the_engine_is_inside(history: History) -> None:
    history.python(
        "001_a",
        TABLE
        + """
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
async with AsyncSession(self.connection) as session, session.begin():
    await session.execute(text("INSERT INTO t VALUES (1)"))
async with async_sessionmaker(self.engine)() as session:
    await session.execute(text("INSERT INTO t VALUES (2)"))
    await session.commit()
async with self.connection.begin_nested():
    await self.connection.execute(text("INSERT INTO t VALUES (3)"))
assert self.engine.dialect.name == "postgresql"
""",
    )
    await history.runner().run_migrations()
    assert await history.rows("SELECT x FROM t ORDER BY x") == [(1,), (2,), (3,)]


async def test_execute_takes_values_and_scripts_and_leaves_colons_alone(history: History) -> None:
    history.python(
        "001_a",
        """
        await self.execute("CREATE TABLE t (x text); INSERT INTO t VALUES ('12:30 :a %s; 50%')")
        await self.execute("INSERT INTO t VALUES (:a)", {"a": "O'Neil"})
        await self.execute("INSERT INTO t VALUES (:a)", [{"a": "1"}, {"a": "2"}])
        result = await self.execute("SELECT count(*) FROM t")
        assert result.scalar_one() == 4
        await self.execute(text("DELETE FROM t WHERE x = '1'"))
        """,
    )
    await history.runner().run_migrations()
    assert await history.rows("SELECT x FROM t ORDER BY x") == [("12:30 :a %s; 50%",), ("2",), ("O'Neil",)]


async def test_a_streamed_result_left_open_does_no_harm(history: History) -> None:
    history.python(
        "001_a",
        """
        await self.execute("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000)")
        async with self.connection.stream(text("SELECT x FROM t")) as rows:
            assert len([row async for row in rows]) == 1000
        left_open = await self.connection.stream(text("SELECT generate_series(1, 10)"))
        await self.execute("DECLARE c CURSOR FOR SELECT 1")
        """,
    )
    history.sql("002_b", "ALTER TABLE t ADD COLUMN y int;")
    assert (await history.runner().run_migrations()).applied == ("001_a", "002_b")


async def test_the_drivers_own_transaction_is_a_savepoint(history: History) -> None:
    history.python(
        "001_a",
        TABLE
        + """
driver = (await self.connection.get_raw_connection()).driver_connection
async with driver.transaction():
    await driver.copy_records_to_table("t", records=[(1,), (2,)])
raise RuntimeError("after")
""",
    )
    with pytest.raises(MigrationFailedError, match="after"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


async def test_settings_of_one_migration_do_not_reach_the_next(history: History) -> None:
    await history.do(
        "CREATE SCHEMA other; DO $$BEGIN CREATE ROLE migrator_test; EXCEPTION WHEN OTHERS THEN NULL; END$$"
    )
    history.python(
        "001_a",
        """
        await self.execute("SET search_path = other; SET session_replication_role = replica")
        await self.execute("SET statement_timeout = 60000; SET ROLE migrator_test")
        """,
    )
    history.sql(
        "002_b", "CREATE TABLE b (x int); SET search_path = other; SELECT set_config('work_mem', '1MB', false);"
    )
    history.python(
        "003_c",
        """
        settings = await self.execute(
            "SELECT current_setting('search_path'), current_setting('session_replication_role'), current_user, "
            "current_setting('statement_timeout'), current_setting('work_mem')")
        assert tuple(settings.one()) == ('"$user", public', "origin", "postgres", "0", "4MB"), settings
        """,
    )
    assert len((await history.runner().run_migrations()).applied) == 3
    assert await history.exists("public.b")


async def test_a_migration_used_outside_a_run_says_so(history: History) -> None:
    path = history.python(
        "001_a", "pass", top="try:\n    BaseMigration().connection\nexcept MigrationsError as e:\n    print(e)"
    )
    with pytest.raises(MigrationsError, match="is not running"):
        exec(path.read_text().replace("\n    print(e)", "\n    raise"), {"__name__": __name__})  # noqa: S102 - as the runner does


async def test_notices_of_the_server_are_passed_on(history: History) -> None:
    history.sql("001_a", "DO $$BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful'; END$$; SELECT 1;")
    await history.runner().run_migrations()
    assert {(m.level, m.text) for m in history.told(MigrationMessage)} == {
        (10, "NOTICE: hello"),
        (30, "WARNING: careful"),
    }


async def test_a_non_transactional_migration_has_real_transactions(history: History) -> None:
    history.python(
        "001_a",
        """
        await self.execute("CREATE TABLE t (x int)")
        async with self.engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
        async with self.engine.connect() as connection:
            await connection.execute(text("INSERT INTO t VALUES (2)"))
            await connection.commit()
            await connection.execute(text("INSERT INTO t VALUES (3)"))
        await self.execute("VACUUM t")
        raise RuntimeError("now")
        """,
        attributes="transactional = False",
    )
    with pytest.raises(MigrationFailedError, match="not transactional"):
        await history.runner().run_migrations()
    assert await history.rows("SELECT x FROM t ORDER BY x") == [(1,), (2,)]
    assert await history.rows("SELECT migration_name, dirty FROM schema_migrations") == [("001_a", True)]


async def test_a_retry_goes_on_after_the_last_finished_step(history: History) -> None:
    body = """
        await self.step("table", lambda: self.execute("CREATE TABLE t (x int)"))
        await self.step("row", lambda: self.execute("INSERT INTO t VALUES (1)"))
        {last}
        """
    history.python("001_a", body.format(last="raise RuntimeError"), attributes="transactional = False")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    history.python("001_a", body.format(last="await self.execute('VACUUM')"), attributes="transactional = False")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows("SELECT x FROM t") == [(1,)]
    assert await history.rows("SELECT dirty, steps FROM schema_migrations") == [(False, None)]


async def test_a_non_transactional_file_goes_on_after_its_last_finished_statement(history: History) -> None:
    begin = "-- transactional: false\nCREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n"
    history.sql("001_a", begin + "INSERT INTO t VALUES (1/0);\nVACUUM t;")
    with pytest.raises(MigrationFailedError, match="division by zero") as caught:
        await history.runner().run_migrations()
    assert (caught.value.line, caught.value.sqlstate) == (4, "22012")
    history.sql("001_a", begin + "INSERT INTO t VALUES (2);\nVACUUM t;")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows("SELECT x FROM t ORDER BY x") == [(1,), (2,)]


async def test_a_finished_statement_that_was_rewritten_is_an_error(history: History) -> None:
    history.sql("001_a", "-- transactional: false\nCREATE TABLE t (x int); SELECT 1/0;")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    history.sql("001_a", "-- transactional: false\nCREATE TABLE u (x int); SELECT 1;")
    with pytest.raises(MigrationFailedError, match="was another when an earlier try ran it"):
        await history.runner().run_migrations()
    await history.runner().repair("001_a")
    assert (await history.runner().run_migrations()).applied == ()
    assert await history.rows("SELECT dirty FROM schema_migrations") == [(False,)]


INDEX = "CREATE INDEX CONCURRENTLY {lenient} ix ON t (x)"


@pytest.mark.parametrize("lenient", ["", "IF NOT EXISTS"])
async def test_an_invalid_leftover_is_rebuilt_by_a_file_too(history: History, lenient: str) -> None:
    await history.do("CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1)")
    with pytest.raises(Exception, match="could not create unique index"):
        await history.do("CREATE UNIQUE INDEX CONCURRENTLY ix ON t (x)")
    history.sql("001_a", "-- transactional: false\n" + INDEX.format(lenient=lenient))
    await history.runner().run_migrations()
    assert await history.rows("SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'ix'::regclass") == [
        (True, False)
    ]


NAMELESS = "-- transactional: false\nCREATE UNIQUE INDEX CONCURRENTLY ON {table} (({column} || 'a'), {column});"
INDEXES = "SELECT i.relname, x.indisvalid, x.indisunique FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid"
INDEXES += " WHERE x.indrelid = '{table}'::regclass ORDER BY 1"


@pytest.mark.parametrize("unique", ["UNIQUE", ""])
@pytest.mark.parametrize(("table", "column"), [("t", "y"), ("t" * 40, "y" * 40), ('"T t"', '"Y"'), ("s.t", "y")])
async def test_an_invalid_leftover_without_a_name_of_its_own_is_rebuilt_by_a_file(
    history: History, table: str, column: str, unique: str
) -> None:
    await history.do(f"CREATE SCHEMA s; CREATE TABLE {table} ({column} text); INSERT INTO {table} VALUES ('a'), ('a')")
    left = NAMELESS.format(table=table, column=column).partition("\n")[2]
    with pytest.raises(Exception, match="could not create unique index"):
        await history.do(left)
    ((name, *_),) = await history.rows(INDEXES.format(table=table))
    history.sql("001_a", NAMELESS.format(table=table, column=column).replace("UNIQUE", unique))
    if unique:
        with pytest.raises(MigrationFailedError, match="could not create unique index"):
            await history.runner().run_migrations()
        assert await history.rows(INDEXES.format(table=table)) == []
        await history.do(f"DELETE FROM {table} WHERE ctid = '(0,1)'")
    await history.runner().run_migrations()
    assert await history.rows(INDEXES.format(table=table)) == [(name, True, bool(unique))]


async def test_an_index_without_a_name_takes_postgresqls_next_where_that_is_taken_and_counts_as_done(
    history: History,
) -> None:
    await history.do("CREATE TABLE t (y text); CREATE TABLE t_expr_y_idx (x int); CREATE INDEX t_expr_y_idx1 ON t (y)")
    for name in ("001_a", "002_b"):
        history.sql(name, NAMELESS.format(table="t", column="y"))
    await history.runner().run_migrations()
    assert await history.rows(INDEXES.format(table="t")) == [
        ("t_expr_y_idx1", True, False),
        ("t_expr_y_idx2", True, True),
    ]
    assert "✓ Index t_expr_y_idx2 is there already" in [event.text for event in history.told(MigrationMessage)]


async def test_an_invalid_leftover_whose_name_cannot_be_asked_for_is_told(history: History) -> None:
    database = await history.value("SELECT quote_ident(current_database())")
    role = f"low_{await history.value('SELECT pg_backend_pid()')}"
    await history.do(
        f"CREATE ROLE {role}; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;"
        f"GRANT CREATE ON SCHEMA public TO {role};"
        f"CREATE TABLE t (y text); INSERT INTO t VALUES ('a'), ('a'); ALTER TABLE t OWNER TO {role}"
    )
    history.sql("001_a", NAMELESS.format(table="t", column="y").replace("\n", f"\nSET ROLE {role};\n"))
    with pytest.raises(MigrationFailedError, match="could not create unique index"):
        await history.runner().run_migrations()
    (warning,) = [event.text for event in history.told(MigrationMessage) if event.level == logging.WARNING]
    assert warning.startswith("Index public.t_expr_y_idx is INVALID")
    assert warning.endswith("DROP INDEX CONCURRENTLY public.t_expr_y_idx;")
    await history.do("DELETE FROM t WHERE ctid = '(0,1)'; DROP INDEX t_expr_y_idx")
    await history.runner().run_migrations()
    assert await history.rows(INDEXES.format(table="t")) == [("t_expr_y_idx", True, True)]
    await history.do(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


async def test_a_valid_index_of_the_same_definition_counts_as_done_in_a_file_too(history: History) -> None:
    await history.do("CREATE TABLE t (x int, y text); CREATE INDEX ix ON t (lower(y)) WHERE x > 0")
    history.sql(
        "001_a",
        "-- transactional: false\nCREATE INDEX CONCURRENTLY ix ON public.t USING btree (lower(y)) WHERE (x > 0);\n"
        "DROP INDEX CONCURRENTLY gone;",
    )
    assert (await history.runner().run_migrations()).applied == ("001_a",)


async def test_another_index_of_the_name_is_an_error_in_a_file_too(history: History) -> None:
    await history.do("CREATE TABLE t (x int, y text); CREATE INDEX ix ON t (y)")
    history.sql("001_a", "-- transactional: false\n" + INDEX.format(lenient=""))
    with pytest.raises(MigrationFailedError, match="The name ix is taken"):
        await history.runner().run_migrations()
    history.sql("001_a", "-- transactional: false\n" + INDEX.format(lenient="IF NOT EXISTS"))
    await history.runner().run_migrations()


async def test_a_transaction_of_a_files_own_is_one_step(history: History) -> None:
    begin = "-- transactional: false\nCREATE TABLE t (x int);\nBEGIN;\nINSERT INTO t VALUES (1);\n"
    history.sql("001_a", begin + "INSERT INTO t VALUES (1/0);\nCOMMIT;")
    with pytest.raises(MigrationFailedError):
        await history.runner().run_migrations()
    history.sql("001_a", begin + "INSERT INTO t VALUES (2);\nCOMMIT;")
    assert (await history.runner().run_migrations()).applied == ("001_a",)
    assert await history.rows("SELECT x FROM t ORDER BY x") == [(1,), (2,)]


async def test_a_step_that_leaves_a_transaction_open_is_an_error(history: History) -> None:
    body = "await self.step('s', lambda: self.connection.execute(text('BEGIN')))"
    history.python("001_a", body, attributes="transactional = False")
    with pytest.raises(MigrationFailedError, match="'s' left a transaction open"):
        await history.runner().run_migrations()


async def test_a_transaction_left_open_outside_one_is_an_error(history: History) -> None:
    history.sql("001_a", "-- transactional: false\nBEGIN; CREATE TABLE t (x int);")
    with pytest.raises(MigrationFailedError, match="began a transaction and did not end it"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


async def test_statements_without_rows_count_what_they_touched(history: History) -> None:
    body = """
    created = await self.execute("CREATE TABLE t (x int);")
    filled = await self.execute("INSERT INTO t SELECT generate_series(1, 7)")
    changed = await self.connection.execute(text("UPDATE t SET x = x + 1 WHERE x > 5"))
    gone = await self.execute("DELETE FROM t WHERE x = 1 RETURNING x")
    assert (created.rowcount, filled.rowcount, changed.rowcount) == (-1, 7, 2)
    assert not filled.returns_rows
    return {"gone": gone.scalars().all()}
    """
    history.python("001_a", body)
    assert (await history.runner().run_migrations()).statistics["gone"] == 1


async def test_what_comes_behind_a_statement_is_never_sent_with_it(history: History) -> None:
    history.python("001_a", TABLE + "await self.connection.execute(text('CREATE TABLE u (); COMMIT'))")
    with pytest.raises(MigrationFailedError, match="cannot insert multiple commands"):
        await history.runner().run_migrations()
    assert not await history.exists("t")


async def test_an_error_without_preparing_is_the_same_error(history: History) -> None:
    body = """
    try:
        async with self.connection.begin_nested():
            await self.connection.execute(text("INSERT INTO t VALUES (NULL)"))
    except IntegrityError as error:
        assert error.orig.sqlstate == "23502" and error.statement.startswith("INSERT"), error
    else:
        raise AssertionError("nothing raised")
    """
    top = "from sqlalchemy.exc import IntegrityError"
    history.python("001_a", "await self.execute('CREATE TABLE t (x int NOT NULL)')\n" + textwrap.dedent(body), top=top)
    await history.runner().run_migrations()
    assert await history.exists("t")
