"""Each error: a sentence about what is true now, and what to do next."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from async_migrations import errors
from async_migrations.errors import (
    AuthorError,
    DatabaseUnavailableError,
    DiscoveryError,
    ForeignLedgerError,
    HistoryError,
    IrreversibleError,
    LockWaitError,
    MigrationFailedError,
    MigrationsError,
    NotCurrentError,
    shorten,
)

FOLDER = Path("migrations")
TROUBLESHOOTING = Path(__file__).parents[2] / "docs" / "troubleshooting.md"


def classes(module: ModuleType) -> list[type[Exception]]:
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, Exception)]


def test_one_except_catches_all() -> None:
    assert all(issubclass(each, MigrationsError) for each in classes(errors))


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^( {4}[│├└─ ]*)([A-Z]\w+)", line):
            depth, name = len(found[1]), found[2]
            stack = [each for each in stack if each[0] < depth]
            drawn[name] = stack[-1][1] if stack else "Exception"
            stack.append((depth, name))
    assert drawn == {each.__name__: each.__base__.__name__ for each in classes(errors) if each.__base__}


def test_a_discovery_error_lists_its_problems() -> None:
    error = DiscoveryError(FOLDER, ["a.py is odd.", "b.py is odder."])
    assert error.problems == ("a.py is odd.", "b.py is odder.")
    assert str(error) == (
        "Nothing was touched: the migrations in migrations are not in order.\n  - a.py is odd.\n  - b.py is odder."
    )


def test_a_history_error_lists_its_problems() -> None:
    error = HistoryError(["001_a was changed."])
    assert error.problems == ("001_a was changed.",)
    assert str(error) == "Nothing was applied: the files and the ledger disagree.\n  - 001_a was changed."


def test_an_unavailable_database_is_named_with_the_reason_and_the_advice() -> None:
    error = DatabaseUnavailableError("db:5432/shop", "connection refused", "See that it runs.")
    assert (error.where, error.reason) == ("db:5432/shop", "connection refused")
    assert str(error) == "No connection to db:5432/shop: connection refused. See that it runs."


def test_a_foreign_ledger_is_refused_by_the_name_of_its_owner() -> None:
    text = str(ForeignLedgerError('"schema_migrations"', "Rails, Ecto or dbmate", ["version"]))
    for words in ('"schema_migrations"', "has the columns version", "as Rails, Ecto or dbmate makes them"):
        assert words in text
    assert "Nothing was touched" in text
    assert 'table="async_schema_migrations"' in text
    assert "[tool.async_migrations] in pyproject.toml" in text


def test_a_wait_without_end_names_the_holder_and_what_would_end_it() -> None:
    error = LockWaitError(600.4, "The lock is held by pid 4711.", "SELECT pg_terminate_backend(4711);")
    assert (error.waited, error.holder) == (600.4, "The lock is held by pid 4711.")
    assert str(error) == (
        "Waited 600 s for the migration lock and applied nothing. The lock is held by pid 4711. "
        "SELECT pg_terminate_backend(4711);"
    )
    assert str(LockWaitError(1, "", "")) == "Waited 1 s for the migration lock and applied nothing."
    assert "and applied nothing after 002_b. Who" in str(LockWaitError(1, "Who", "", ["001_a", "002_b"]))


def test_not_current_names_the_next_migration_and_who_should_apply_it() -> None:
    error = NotCurrentError(2.5, ["003_c", "004_d"])
    assert error.pending == ("003_c", "004_d")
    assert str(error).startswith("After 2.5 s the database still lacks 2 migration(s), the next is 003_c.")
    assert "`async-migrations upgrade`" in str(error)


def test_not_current_names_who_is_at_work() -> None:
    error = NotCurrentError(2.5, ["003_c"], "The lock is held by pid 4711.")
    assert error.holder == "The lock is held by pid 4711."
    assert "003_c. The lock is held by pid 4711. If it is at work, wait longer" in str(error)
    assert "Nobody" not in str(error)


def test_irreversible_names_every_migration_and_both_ways_out() -> None:
    error = IrreversibleError(["003_c", "002_b"])
    assert error.names == ("003_c", "002_b")
    assert str(error).startswith("Nothing was reverted: 003_c, 002_b cannot be downgraded.")
    assert all(words in str(error) for words in ("downgrade() method", ".down.sql file", "a new migration"))


FAILED = MigrationFailedError(
    "003_tokens",
    FOLDER / "003_tokens.sql",
    'column "nmae" does not exist',
    statement="SELECT nmae\n  FROM users",
    line=12,
    sqlstate="42703",
    applied=["001_users", "002_settings"],
)


def test_a_failed_migration_tells_the_whole_state() -> None:
    assert str(FAILED).splitlines() == [
        'The upgrade of 003_tokens failed: column "nmae" does not exist (SQLSTATE 42703). Nothing of it stays.',
        "  file: migrations/003_tokens.sql, line 12",
        "  statement: SELECT nmae FROM users",
        "  applied before it in this run: 001_users, 002_settings (stays so)",
        "  next: Mend the file and start again: it runs from its beginning.",
    ]


def test_a_failed_migration_has_its_facts_as_attributes() -> None:
    facts = (FAILED.migration, FAILED.path, FAILED.line, FAILED.sqlstate, FAILED.applied, FAILED.statement)
    assert facts == (
        "003_tokens",
        FOLDER / "003_tokens.sql",
        12,
        "42703",
        ("001_users", "002_settings"),
        "SELECT nmae\n  FROM users",
    )


def test_a_failed_downgrade_of_what_is_not_transactional_says_other_words() -> None:
    error = MigrationFailedError(
        "004_index", FOLDER / "004_index.py", "no", verb="downgrade", left="Its steps stay.", advice="Go on."
    )
    assert str(error).splitlines() == [
        "The downgrade of 004_index failed: no. Its steps stay.",
        "  file: migrations/004_index.py",
        "  reverted before it in this run: nothing",
        "  next: Go on.",
    ]


def test_a_long_statement_is_cut_in_the_sentence_and_whole_in_the_attribute() -> None:
    statement = "INSERT INTO t VALUES " + ", ".join(["(1)"] * 5000)
    error = MigrationFailedError("001_a", FOLDER / "001_a.sql", "no", statement=statement)
    assert len(str(error)) < 700
    assert error.statement == statement


@pytest.mark.parametrize("error", [each for each in classes(errors) if issubclass(each, AuthorError)])
def test_what_an_author_did_wrong_is_a_sentence_of_its_own(error: type[AuthorError]) -> None:
    assert str(error("Say what to do.")) == "Say what to do."


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("a\n  b\t c ", 300, "a b c"),
        ("x" * 300, 300, "x" * 300),
        ("x" * 301, 300, "x" * 299 + "…"),
        ("", 10, ""),
        ("abcdef", 3, "ab…"),
    ],
)
def test_shorten_gives_one_line_of_a_length(text: str, limit: int, expected: str) -> None:
    assert shorten(text, limit) == expected


def test_every_error_has_its_words_in_the_chapter_on_trouble() -> None:
    page = TROUBLESHOOTING.read_text()
    assert [each.__name__ for each in classes(errors) if each.__name__ not in page] == []


def test_the_chapter_on_trouble_quotes_what_the_errors_say() -> None:
    page = TROUBLESHOOTING.read_text()
    failed = MigrationFailedError(
        "004_display_names",
        FOLDER / "004_display_names.py",
        'column "emial" does not exist',
        line=14,
        sqlstate="42703",
        statement="UPDATE users SET display_name = emial",
        applied=["003_trigram_search"],
    )
    for error in (failed, NotCurrentError(60, ["012_invoices"]), IrreversibleError(["006_logins"])):
        assert str(error) in page


def test_every_link_inside_the_chapter_on_trouble_leads_somewhere() -> None:
    page = TROUBLESHOOTING.read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= headings
