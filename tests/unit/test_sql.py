import subprocess
import sys

import postgast
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import sql

AT_LEISURE = settings(deadline=None)
ON_A_SERVER = settings(AT_LEISURE, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
HOSTILE_TEXTS = TEXTS | st.text("'\\\"$;-/*%:\n aéE") | st.text("🐘é'\\")
HOSTILE_NAMES = HOSTILE_TEXTS.filter(lambda name: 0 < len(name.encode()) <= 63)

LITERALS = st.sampled_from(
    [
        "'it''s; --'",
        "'/* no */'",
        r"E'a\';'",
        r"e'\\'",
        "$$a ; 'b$$",
        "$q$ $$ ; /* $q$",
        '"a;""b"',
        "U&'d\\0061'",
    ]
)
WORDS = st.sampled_from(["select", "a", "x1$y", "é", "E", "1", "2.5", "(", ")", ",", "[", "]", "<=", "-", "::"])
GAPS = st.sampled_from([" ", "  \t", "\n", "/* ; 'x */", "/* a /* b */ ; */", "-- it's; \n", "\r\n"])
SCRIPTS = st.lists(LITERALS | WORDS | GAPS | st.just(";"), max_size=25).map(
    lambda pieces: " ".join(pieces) if len(pieces) % 2 else "".join(pieces)
)

VALID = [
    "SELECT 1",
    "INSERT INTO t VALUES ('a;b', $$c;d$$)",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
    "DO $do$ BEGIN PERFORM 1; END $do$",
    'CREATE TABLE "é;" (a int DEFAULT 1)',
    r"SELECT E'\';' -- done",
]


def words_of(script: str) -> list[str]:
    """List the words that PostgreSQL's own scanner finds."""
    data = script.encode()
    tokens = postgast.scan(script).tokens
    return [
        data[token.start : token.end].decode()
        for token in tokens
        if token.token not in {postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT}
    ]


def is_readable(script: str) -> bool:
    try:
        words_of(script)
    except postgast.PgQueryError:
        return False
    return True


def texts_of(script: str) -> list[str]:
    return [statement.text for statement in sql.split(script)]


@ON_A_SERVER
@given(HOSTILE_NAMES)
@example("users")
@example('a"; DROP TABLE x; --')
async def test_a_quoted_identifier_names_exactly_that_table(engine: AsyncEngine, name: str) -> None:
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        transaction = driver.transaction()
        await transaction.start()
        await driver.execute(f"CREATE TABLE {sql.qualified('public', name)} (id int)")
        found = await driver.fetch("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        await transaction.rollback()
    assert [row[0] for row in found] == [name]


@ON_A_SERVER
@given(HOSTILE_TEXTS, st.sampled_from(["on", "off"]))
@example("\\", "off")
@example("\\'; DROP TABLE x; --", "off")
async def test_a_literal_is_read_back_as_it_was_under_any_setting(
    engine: AsyncEngine, value: str, conforming: str
) -> None:
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(f"SET standard_conforming_strings = {conforming}")
        assert await driver.fetchval(f"SELECT {sql.quote_literal(value)}::text") == value


@pytest.mark.parametrize("value", [None, True, False, 0, -1, 2**63 - 1])
async def test_literals_of_other_types_are_read_back(engine: AsyncEngine, value: int | None) -> None:
    async with engine.connect() as connection:
        found = (await connection.execute(text(f"SELECT {sql.quote_literal(value)}"))).scalar()
    assert found is value or (found == value and type(found) is type(value))


def test_a_negative_literal_begins_no_comment() -> None:
    assert f"1-{sql.quote_literal(-1)}" == "1- -1"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("a" * 64, "64 bytes"),
        ("é" * 32, "64 bytes"),
        ("\ud800", "not valid"),
    ],
)
def test_a_name_that_postgres_cannot_keep_is_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sql.quote_identifier(name)


def test_a_name_of_63_bytes_is_kept() -> None:
    assert sql.quote_identifier("é" * 31 + "a") == '"' + "é" * 31 + 'a"'


@pytest.mark.parametrize("value", ["a\0", "\ud800"])
def test_a_text_that_postgres_cannot_keep_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"Remove it|Correct it"):
        sql.quote_literal(value)


def test_a_literal_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        sql.quote_literal(1.5)  # type: ignore[arg-type]  # what an untyped caller does


def test_a_name_is_qualified_only_by_a_schema_that_is_given() -> None:
    assert (sql.qualified(None, "t"), sql.qualified('s"', "t.x")) == ('"t"', '"s"""."t.x"')


@pytest.mark.parametrize("script", ["", " \n", ";;", "-- only\n", "/* a /* b */ */ ;", "\t;\n-- x"])
def test_a_script_without_statements_has_none(script: str) -> None:
    assert sql.split(script) == ()


@pytest.mark.parametrize("script", ["select 1", "select 1;", " -- a;\nselect 1 ; -- b", "/*;*/select 1;;\n"])
def test_one_statement_stands_alone(script: str) -> None:
    assert texts_of(script) == ["select 1"]


def test_one_statement_needs_no_parser() -> None:
    code = "from async_migrations import sql; import sys; sql.split('a;'); sys.exit('postgast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@AT_LEISURE
@given(st.lists(st.sampled_from(VALID)), st.lists(GAPS))
def test_statements_come_back_as_they_were_written(statements: list[str], gaps: list[str]) -> None:
    gap = "".join(gaps) + "\n"
    script = gap + "".join(f"{statement}{gap};{gap}" for statement in statements)
    assert texts_of(script) == [statement.removesuffix(" -- done") for statement in statements]


@AT_LEISURE
@given(st.lists(st.sampled_from(VALID), min_size=2), st.lists(GAPS))
def test_the_scanner_finds_what_the_parser_finds(statements: list[str], gaps: list[str]) -> None:
    gap = "".join(gaps) + "\n"
    script = gap + "".join(f"{statement}{gap};{gap}" for statement in statements)
    parsed, scanned = sql._parsed(script), sql._scanned(script)
    assert parsed is not None
    assert scanned is not None
    assert sql._statements(script, parsed) == sql._statements(script, scanned)


@AT_LEISURE
@given(SCRIPTS)
def test_nothing_of_a_script_is_lost_by_splitting(script: str) -> None:
    statements = sql.split(script)
    for statement in statements:
        assert script[statement.offset :].startswith(statement.text)
        assert statement.line == sql.position(script, statement.offset)[0]
        assert statement.text == statement.text.strip() or not is_readable(script)
    joined = ";".join(statement.text for statement in statements)
    # What a literal that never ends has last is no part of anything.
    assert sql.canonical(joined).replace(";", "").rstrip() == sql.canonical(script).replace(";", "").rstrip()


def test_syntax_newer_than_the_parser_is_split_all_the_same() -> None:
    script = "FROBNICATE t;\nCREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END;\nzip zap;"
    assert texts_of(script) == [
        "FROBNICATE t",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        "zip zap",
    ]


def test_a_script_that_no_scanner_reads_is_left_to_the_server() -> None:
    assert texts_of("select 1; select 'a; select 2") == ["select 1; select 'a; select 2"]


def test_offset_and_line_count_characters_after_comments() -> None:
    script = "-- é\n\nSELECT 'é'; /* 🐘\n */ SELECT 2;"
    assert sql.split(script) == (sql.Statement("SELECT 'é'", 6, 3), sql.Statement("SELECT 2", 27, 4))


def test_a_nul_in_a_script_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        sql.split("select 1\0; drop table t")


@pytest.mark.parametrize(
    ("statement", "command"),
    [
        ("BEGIN", "BEGIN"),
        ("begin isolation level serializable", "BEGIN"),
        ("START  TRANSACTION", "START TRANSACTION"),
        ("Commit;", "COMMIT"),
        ("COMMIT AND CHAIN", "COMMIT"),
        ("-- a\n/* b /* c */ */ COMMIT/**/WORK", "COMMIT"),
        ("END", "END"),
        ("ROLLBACK", "ROLLBACK"),
        ("ROLLBACK WORK", "ROLLBACK"),
        ("ROLLBACK TRANSACTION AND NO CHAIN", "ROLLBACK"),
        ("ABORT", "ABORT"),
        ("PREPARE/**/TRANSACTION'x'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
        ("ROLLBACK PREPARED'x'", "ROLLBACK PREPARED"),
        ("; COMMIT", "COMMIT"),
        ("ROLLBACK TO x", None),
        ('ROLLBACK -- c\n TO"x"', None),
        ("ROLLBACK WORK TO SAVEPOINT x", None),
        ("ROLLBACK TRANSACTION TO x", None),
        ("SAVEPOINT x", None),
        ("RELEASE x", None),
        ("PREPARE p AS SELECT 1", None),
        ("SELECT 'COMMIT'", None),
        ("COMMITS", None),
        ("end_x", None),
        ("-- COMMIT", None),
        ("", None),
    ],
)
def test_transaction_control_is_told_from_the_rest(statement: str, command: str | None) -> None:
    assert sql.transaction_control(statement) == command


@pytest.mark.parametrize(
    ("script", "canonical"),
    [
        ("SELECT  a ,\n b\t( c ) ;\n", "SELECT a,b(c);"),
        ("-- description: x\nSELECT/* a */1 -- b", "SELECT 1"),
        ("SELECT a [ 1 ]", "SELECT a[1]"),
        ("SELECT '  a --  b '", "SELECT '  a --  b '"),
        (r"SELECT E'\'  -- '  , 1", r"SELECT E'\'  -- ',1"),
        ("SELECT E'a'\n  'b\\'  '  , 1", "SELECT E'a'\n  'b\\'  ',1"),
        ('SELECT "a  b"  AS  "c"', 'SELECT "a  b" AS "c"'),
        ("DO $x$  a  $$ b $x$  ;", "DO $x$  a  $$ b $x$;"),
        ("SELECT a$$  b", "SELECT a$$ b"),
        ("SELECT - -1", "SELECT - -1"),
        ("SELECT U&'\\0061'  UESCAPE  '!'", "SELECT U&'\\0061' UESCAPE '!'"),
        ("/* a /* b */ c */ X", "X"),
        ("SELECT 'open  ", "SELECT 'open  "),
        ("\ufeffSELECT\r\n$$a\r\nb$$", "SELECT $$a\nb$$"),
        ("SELECT\u00a01", "SELECT\u00a01"),
    ],
)
def test_canonical_drops_only_what_means_nothing(script: str, canonical: str) -> None:
    assert sql.canonical(script) == canonical


@AT_LEISURE
@given(SCRIPTS)
def test_canonical_keeps_every_word_that_postgres_sees(script: str) -> None:
    assume(is_readable(script))
    words = words_of(script)
    assume(not any("\n" in word for word in words))
    assert words_of(sql.canonical(script)) == words


@AT_LEISURE
@given(SCRIPTS | TEXTS)
def test_canonical_of_canonical_is_itself(script: str) -> None:
    once = sql.canonical(script)
    assert sql.canonical(once) == once


def test_position_counts_lines_and_columns_from_one() -> None:
    script = "ab\ncd\n\n"
    assert [sql.position(script, at) for at in (0, 1, 3, 4, 6)] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]


@pytest.mark.parametrize(
    ("statement", "mute"),
    [
        ("CREATE TABLE t (id integer)", True),
        ("  create unique index concurrently i on t (id) ;\n", True),
        ("INSERT INTO t VALUES (1, 'a:b')", True),
        ("SAVEPOINT sa_savepoint_1", True),
        ("INSERT INTO t VALUES (1) RETURNING id", False),
        ("DELETE FROM t USING u WHERE t.x = u.x returning *", False),
        ("CREATE TABLE t (id integer); COMMIT", False),
        ("INSERT INTO t VALUES (';')", False),
        ("INSERT INTO t VALUES ('\0')", False),
        ("INSERT INTO t VALUES ('\ud800')", False),
        ("-- why\nDROP TABLE t", False),
        ("SELECT 1", False),
        ("WITH gone AS (DELETE FROM t) SELECT 1", False),
        ("CREATEX", False),
        ("SET", False),
        ("COMMIT", False),
        ("", False),
    ],
)
def test_a_mute_statement_is_surely_one_and_without_rows(statement: str, mute: bool) -> None:  # noqa: FBT001 - a parameter of the case
    assert sql.is_mute(statement) is mute
