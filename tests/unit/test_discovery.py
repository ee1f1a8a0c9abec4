"""Discovery: each folder under `tests/histories/discovery/` is named for what is odd about it."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore
from types import SimpleNamespace

import pytest

from async_migrations.base import BaseMigration
from async_migrations.discovery import (
    LONGEST_NAME,
    _name_problem,
    changed,
    checksum,
    discover,
    head_text,
)
from async_migrations.errors import DiscoveryError
from async_migrations.loading import Loaded, load
from async_migrations.migration import HEAD, AppliedRow
from async_migrations.script import Script

HISTORIES = Path(__file__).parents[1] / "histories" / "discovery"
SQL = "CREATE TABLE users (id integer PRIMARY KEY);\n"
PYTHON = """\
from async_migrations import BaseMigration


class Migration(BaseMigration):
    async def upgrade(self):
        await self.execute("SELECT 1")
"""

# What is wrong, by folder, and what the sentence says: the file, and the fix.
BAD_NAMES = ["users", "1_users", "01_users", "001users", "001-users", "001_", "v001_users"]
PROBLEMS: list[tuple[str, list[list[str]]]] = [
    ("duplicate_number", [["002_invoices.sql", "002_settings.sql", "same number 002", "`async-migrations renumber`"]]),
    ("duplicate_after_padding", [["001_users.sql", "0001_settings.sql", "same number", "renumber"]]),
    (
        "bad_name",
        [
            [f"'{name}.sql'", "three or more digits, an underscore and a name", "001_create_users.py", "Rename it"]
            for name in sorted(BAD_NAMES, key=lambda name: f"{name}.sql")
        ],
    ),
    ("no_migration_class", [["001_users.py", "no class Migration(BaseMigration)", "add one"]]),
    ("not_a_base_migration", [["001_users.py", "no class Migration(BaseMigration)", "import BaseMigration"]]),
    ("no_upgrade", [["001_users.py", "no upgrade()", "Add `async def upgrade(self)`"]]),
    ("syntax_error", [["001_users.py, line 5", "expected ':'", "Correct the syntax"]]),
    ("blocking_upgrade", [["001_users.py, line 8", "Migration.upgrade() is not async", "`async def upgrade(self)`"]]),
    ("blocking_downgrade", [["001_users.py, line 10", "Migration.downgrade()", "`async def downgrade(self)`"]]),
    ("name_mismatch", [["001_users.py", "'001_accounts'", "'001_users'", "Make them the same, or leave `name` out"]]),
    ("name_is_no_text", [["001_users.py", "name and description must be texts"]]),
    (
        "import_error",
        [["001_users.py, line 4", "ModuleNotFoundError: No module named 'no_such_service'", "Nothing but imports"]],
    ),
    ("error_at_import", [["001_users.py, line 6", "SystemExit: usage", "Nothing but imports"]]),
    ("error_in_name", [["001_users.py", "AuthorError", "is not running"]]),
    ("orphan_down", [["002_settings.down.sql", "add 002_settings.sql beside it, or remove it"]]),
    ("two_languages", [["001_users.py", "001_users.sql", "remove one"]]),
    (
        "transaction_control",
        [["001_users.sql, line 2", "BEGIN", "Remove it", "`-- transactional: false`"]],
    ),
    ("transaction_control_in_down", [["001_users.down.sql, line 3", "COMMIT", "Remove it"]]),
    ("header_not_a_flag", [["001_users.sql", "`-- transactional: no`", "must be true or false"]]),
    ("header_twice", [["001_users.sql", "`-- description:` twice", "keep one"]]),
    (
        "not_utf8",
        [
            ["001_users.sql", "not UTF-8 at byte 19", "save it as UTF-8"],
            ["002_settings.py, line 1", "'utf-8' codec", "Correct the syntax"],
        ],
    ),
    (
        "several_problems",
        [["tokens.sql", "Rename it"], ["003_logins.down.sql", "add 003_logins.sql"], ["001_settings.sql", "renumber"]],
    ),
]


def read(directory: Path) -> list[Loaded]:
    return load(discover(directory).files, directory)


def problems(directory: Path) -> tuple[str, ...]:
    with pytest.raises(DiscoveryError) as failed:
        read(directory)
    assert str(failed.value).startswith("Nothing was touched: the migrations in ")
    assert str(directory) in str(failed.value)
    assert all(problem in str(failed.value) for problem in failed.value.problems)
    return failed.value.problems


def write(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("case", "expected"), PROBLEMS, ids=[case for case, _ in PROBLEMS])
def test_what_is_wrong_is_a_sentence_with_the_file_and_the_fix(case: str, expected: list[list[str]]) -> None:
    found = problems(HISTORIES / case)
    assert len(found) == len(expected)
    for sentence, words in zip(found, expected, strict=True):
        assert [word for word in words if word not in sentence] == [], sentence
        assert sentence.endswith(".")


def test_every_case_folder_has_its_test() -> None:
    healthy = {
        "down_beside_python",
        "gap",
        "head_agrees",
        "head_disagrees",
        "in_order",
        "seed",
        "thousand",
        "words_of_transactions",
    }
    assert {path.name for path in HISTORIES.iterdir()} == healthy | {case for case, _ in PROBLEMS}


def test_a_folder_in_order_is_read_without_what_is_no_migration() -> None:
    folder = discover(HISTORIES / "in_order")
    assert [(f.number, f.name) for f in folder.files] == [
        (1, "001_users"),
        (2, "002_settings"),
        (10, "010_settings_theme"),
    ]
    assert [f.is_sql for f in folder.files] == [False, True, True]
    assert folder.files[1].down_path == HISTORIES / "in_order" / "002_settings.down.sql"


def test_what_is_loaded_knows_what_the_log_and_the_frame_need() -> None:
    users, settings, theme = read(HISTORIES / "in_order")
    assert (users.description, users.transactional, users.is_reversible) == ("Create users", True, False)
    assert (settings.description, settings.is_reversible) == ("Keep what each user prefers", True)
    assert (theme.description, theme.transactional) == ("Find settings by theme", False)
    assert isinstance(users.body, type)
    assert issubclass(users.body, BaseMigration)
    assert isinstance(settings.body, Script)
    assert [s.line for s in settings.body.statements] == [2]


def test_a_gap_is_a_warning_that_names_its_edges() -> None:
    files, warnings = discover(HISTORIES / "gap").files, discover(HISTORIES / "gap").warnings
    assert [f.number for f in files] == [1, 2, 5]
    assert warnings == ("There is a gap in the numbers between 002_settings and 005_tokens: is a file missing?",)


def test_a_history_may_begin_anywhere() -> None:
    assert discover(HISTORIES / "thousand").warnings == ()


def test_numbers_are_compared_as_numbers() -> None:
    assert [f.name for f in discover(HISTORIES / "thousand").files] == [
        "998_users",
        "999_settings",
        "1000_tokens",
        "1001_logins",
    ]


def test_nothing_is_imported_to_discover() -> None:
    folder = HISTORIES / "error_at_import"
    assert [f.name for f in discover(folder).files] == ["001_users"]


def test_words_of_transactions_in_texts_bodies_and_savepoints_are_no_transaction_control() -> None:
    (loaded,) = read(HISTORIES / "words_of_transactions")
    assert isinstance(loaded.body, Script)
    assert len(loaded.body.statements) == 4


def test_a_file_without_a_transaction_may_control_its_own(tmp_path: Path) -> None:
    write(tmp_path, "001_users.sql", f"-- transactional: false\nBEGIN;\n{SQL}COMMIT;\n")
    (loaded,) = read(tmp_path)
    assert not loaded.transactional


def test_a_migration_in_the_style_of_the_seed_loads_as_it_is() -> None:
    (loaded,) = read(HISTORIES / "seed")
    assert loaded.description == "Add audit_logs table for tracking user activities and system events"


@pytest.mark.parametrize(
    ("module_doc", "class_doc", "expected"),
    [
        ('"""Of the module\n\nMore."""\n', '"""Of the class\n\n    More."""', "Of the class"),
        ('"""Of the module\n\nMore."""\n', "", "Of the module"),
        ('"""\nOn the second line\n"""\n', "", "On the second line"),
        ("", "", ""),
    ],
)
def test_the_description_is_the_first_line_of_a_docstring(
    tmp_path: Path, module_doc: str, class_doc: str, expected: str
) -> None:
    body = f"    {class_doc}\n" if class_doc else ""
    write(
        tmp_path,
        "001_users.py",
        f"{module_doc}from async_migrations import BaseMigration\n\n\nclass Migration(BaseMigration):\n{body}"
        "    async def upgrade(self):\n        pass\n",
    )
    (loaded,) = read(tmp_path)
    assert loaded.description == expected


def test_a_head_file_that_agrees_says_nothing() -> None:
    folder = discover(HISTORIES / "head_agrees")
    assert folder.warnings == ()
    assert head_text(folder.files) == (HISTORIES / "head_agrees" / HEAD).read_text()


def test_a_head_file_that_disagrees_is_a_warning_with_the_fix() -> None:
    (warning,) = discover(HISTORIES / "head_disagrees").warnings
    assert "head.txt" in warning
    assert "'001_users'" in warning
    assert "'002_settings'" in warning
    assert "`async-migrations renumber`" in warning


def test_two_branches_that_add_a_migration_conflict_in_the_head_file(tmp_path: Path) -> None:
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], capture_output=True, text=True)  # noqa: PLW1510 - a conflict is exit code 1

    def add(name: str) -> None:
        write(tmp_path, f"{name}.sql", SQL)
        write(tmp_path, HEAD, head_text(discover(tmp_path).files))
        git("add", ".")
        assert git("commit", "-m", name).returncode == 0

    git("init", "-b", "main")
    add("001_users")
    git("checkout", "-b", "feature")
    add("002_settings")
    git("checkout", "main")
    add("002_invoices")
    assert git("merge", "feature").returncode == 1
    assert "<<<<<<<" in (tmp_path / HEAD).read_text()
    assert problems(tmp_path)


def test_an_empty_folder_has_no_migrations(tmp_path: Path) -> None:
    assert discover(tmp_path).files == ()
    assert head_text(()) == ""


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    (sentence,) = problems(tmp_path / "nowhere")
    assert "No such file or directory" in sentence
    assert "`async-migrations new`" in sentence
    assert "name another folder" in sentence


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (sentence,) = problems(write(tmp_path, "migrations", ""))
    assert "Not a directory. It is a file: name the folder of migrations." in sentence


@pytest.mark.parametrize("length", [LONGEST_NAME - 5, LONGEST_NAME])
def test_a_name_that_the_ledger_holds_is_fine(length: int) -> None:
    assert _name_problem(Path("001_" + "é" * (length - 4) + ".py")) is None


def test_a_name_over_255_characters_is_told_its_length() -> None:
    sentence = _name_problem(Path("001_" + "a" * 252 + ".sql"))
    assert sentence is not None
    assert "001_aaa" in sentence
    assert "has 256 characters, and the ledger holds 255: shorten it." in sentence


@pytest.mark.parametrize("name", ["001_it's", '001_"users"', "001_a b", "001_straße", "001_$a$;--", "001_50%"])
def test_quotes_and_the_like_in_a_name_are_letters(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}.py", PYTHON)
    (loaded,) = read(tmp_path)
    assert loaded.file.name == name


@pytest.mark.parametrize("name", ["001_a\nb", "001_a\tb", "001_\x7f", "001_a\x1b[31m"])
def test_control_characters_in_a_name_are_refused_and_shown_escaped(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}.sql", SQL)
    (sentence,) = problems(tmp_path)
    assert repr(f"{name}.sql") in sentence
    assert sentence.isprintable()


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/001_caf\xe9.sql"
    try:
        descriptor = os.open(path, os.O_CREAT)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    os.close(descriptor)
    (sentence,) = problems(tmp_path)
    assert "is not UTF-8: rename it." in sentence
    assert sentence.isprintable()


def test_a_nul_in_an_sql_file_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "001_users.sql", "SELECT '\0';")
    (sentence,) = problems(tmp_path)
    assert sentence == "001_users.sql holds a NUL character, which PostgreSQL cannot take: remove it."


def test_a_nul_in_a_python_file_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON + "x = '\0'\n")
    (sentence,) = problems(tmp_path)
    assert sentence.startswith("001_users.py")
    assert "null bytes" in sentence
    assert "line None" not in sentence


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, "001_users.sql", "-- description: Create users\nCREATE TABLE users ();\n")
    (plain,) = read(tmp_path)
    write(tmp_path, "001_users.sql", "\ufeff-- description: Create users\r\nCREATE TABLE users ();\r\n")
    (windows,) = read(tmp_path)
    assert windows.description == plain.description
    assert windows.checksum() == plain.checksum() == checksum(windows.file)
    write(tmp_path, "002_settings.py", b"\xef\xbb\xbf" + PYTHON.replace("\n", "\r\n").encode())
    assert read(tmp_path)[1].file.name == "002_settings"


@pytest.mark.parametrize("text", ["", "-- nothing yet\n", "/* nothing */ ;;\n"])
def test_an_empty_sql_file_is_a_migration_of_no_statements(tmp_path: Path, text: str) -> None:
    write(tmp_path, "001_placeholder.sql", text)
    (loaded,) = read(tmp_path)
    assert isinstance(loaded.body, Script)
    assert loaded.body.statements == ()
    assert loaded.description == ""


def test_headers_are_read_whatever_their_case_and_only_at_the_top(tmp_path: Path) -> None:
    write(
        tmp_path,
        "001_users.sql",
        "\n-- Some words first\n--TRANSACTIONAL:False\n  --  Description :  Create: users  \n"
        "SELECT 1;\n-- description: too late\n-- transactional: nonsense\n",
    )
    (loaded,) = read(tmp_path)
    assert (loaded.transactional, loaded.description) == (False, "Create: users")


def test_the_stems_own_name_may_be_said_again(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON + "\n    name = '001_users'\n")
    assert [each.file.name for each in read(tmp_path)] == ["001_users"]


def test_every_mistake_is_found_at_once_and_good_files_are_not_named(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON)
    write(tmp_path, "002_settings.py", "raise ValueError('no')\n")
    write(tmp_path, "003_tokens.sql", "COMMIT;\n")
    found = problems(tmp_path)
    assert [re.match(r"\d+_\w+", sentence)[0] for sentence in found] == ["002_settings", "003_tokens"]  # type: ignore[index] # each begins so


def test_a_file_saved_twice_in_one_second_is_read_anew(tmp_path: Path) -> None:
    first, second = PYTHON.replace("class", "X = 1\n\n\nclass"), PYTHON.replace("class", "X = 2\n\n\nclass")
    for content, expected in ((first, 1), (second, 2)):
        path = write(tmp_path, "001_users.py", content)
        os.utime(path, (0, 0))
        (loaded,) = read(tmp_path)
        assert isinstance(loaded.body, type)
        assert loaded.body.upgrade.__globals__["X"] == expected
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_file_is_imported_once_by_whatever_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "001_users.py", PYTHON)
    monkeypatch.chdir(tmp_path)
    (by_full_path,), (by_short_path,) = read(tmp_path), read(Path())
    assert by_short_path.body is by_full_path.body


@pytest.mark.parametrize("broken", ["raise ValueError('no')\n", "def\n", "raise SystemExit\n"])
def test_an_import_that_fails_leaves_the_module_of_before(tmp_path: Path, broken: str) -> None:
    before = set(sys.modules)
    write(tmp_path, "001_users.py", broken)
    assert "001_users.py" in problems(tmp_path)[0]
    assert "001_users.py" in problems(tmp_path)[0]
    assert not [name for name in set(sys.modules) - before if "001_users" in name]
    write(tmp_path, "001_users.py", PYTHON)
    (loaded,) = read(tmp_path)
    write(tmp_path, "001_users.py", broken)
    assert "001_users.py" in problems(tmp_path)[0]
    assert isinstance(loaded.body, type)
    assert loaded.body().name == "001_users"
    write(tmp_path, "001_users.py", PYTHON)
    (again,) = read(tmp_path)
    assert again.body is loaded.body


SLOW = "import a_slow_import\na_slow_import.began.release()\na_slow_import.may_end.wait(20)\n"


def test_two_threads_import_a_file_once_and_others_are_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = Semaphore(0), Event()
    monkeypatch.setitem(sys.modules, "a_slow_import", SimpleNamespace(began=began, may_end=may_end))
    write(tmp_path, "001_slow.py", SLOW + PYTHON)
    write(tmp_path, "002_quick.py", PYTHON)
    slow, quick = ([file] for file in discover(tmp_path).files)
    with ThreadPoolExecutor() as threads:
        try:
            loading = [threads.submit(load, slow, tmp_path) for _ in range(2)]
            assert began.acquire(timeout=20)
            assert len(load(quick, tmp_path)) == 1
        finally:
            may_end.set()
        (one,), (other,) = (each.result(20) for each in loading)
    assert one.body is other.body
    assert not began.acquire(blocking=False)


def test_two_folders_with_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    bodies = []
    for service in ("users", "billing"):
        (tmp_path / service).mkdir()
        write(tmp_path / service, "001_start.py", PYTHON)
        (loaded,) = read(tmp_path / service)
        bodies.append(loaded.body)
    assert bodies[0] is not bodies[1]
    assert [body().name for body in bodies if isinstance(body, type)] == ["001_start", "001_start"]


def test_dataclasses_and_annotations_in_a_migration_find_their_module(tmp_path: Path) -> None:
    write(
        tmp_path,
        "001_users.py",
        "from __future__ import annotations\n\nfrom dataclasses import dataclass\n\n"
        "from async_migrations import BaseMigration\n\n\n@dataclass\nclass Row:\n    id: int\n"
        "    kind: Row | None = None\n\n\nclass Migration(BaseMigration):\n    async def upgrade(self):\n"
        "        return None\n",
    )
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize(
    "statement", ["async def upgrade(self):\n        yield", "upgrade = staticmethod(print)", "upgrade = 1"]
)
def test_what_cannot_be_awaited_is_no_upgrade(tmp_path: Path, statement: str) -> None:
    write(
        tmp_path,
        "001_users.py",
        f"from async_migrations import BaseMigration\n\n\nclass Migration(BaseMigration):\n    {statement}\n",
    )
    (sentence,) = problems(tmp_path)
    assert "001_users.py" in sentence
    assert "async def upgrade(self)" in sentence


def applied(directory: Path) -> list[AppliedRow]:
    return [
        AppliedRow(each.file.name, checksum=each.checksum(), raw_checksum=each.file.raw_checksum)
        for each in read(directory)
    ]


def test_only_a_change_of_meaning_counts_as_changed(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON)
    write(tmp_path, "002_settings.sql", SQL)
    rows = applied(tmp_path)
    assert changed(discover(tmp_path).files, rows) == {}
    write(tmp_path, "001_users.py", "# a licence\n" + PYTHON.replace("\n\n\n", "\n\n"))
    write(tmp_path, "002_settings.sql", f"-- a licence\n\n{SQL.replace(' (', '  (')}")
    assert changed(discover(tmp_path).files, rows) == {}
    write(tmp_path, "001_users.py", PYTHON.replace("SELECT 1", "SELECT 2"))
    write(tmp_path, "002_settings.sql", SQL.replace("users", "people"))
    assert list(changed(discover(tmp_path).files, rows)) == ["001_users", "002_settings"]


def test_an_applied_file_that_cannot_be_read_any_more_is_changed(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON)
    write(tmp_path, "002_settings.sql", SQL)
    rows = applied(tmp_path)
    write(tmp_path, "001_users.py", "<<<<<<< HEAD\n")
    write(tmp_path, "002_settings.sql", b"\xff")
    assert list(changed(discover(tmp_path).files, rows)) == ["001_users", "002_settings"]


def test_rows_without_a_checksum_or_unfinished_are_never_changed(tmp_path: Path) -> None:
    write(tmp_path, "001_users.py", PYTHON)
    write(tmp_path, "002_settings.sql", SQL)
    rows = [AppliedRow("001_users"), AppliedRow("002_settings", checksum="x", raw_checksum="y", dirty=True)]
    assert changed(discover(tmp_path).files, rows) == {}


@pytest.mark.parametrize("name", ["001_users.sql", "001_users.py"])
def test_a_directory_with_a_migrations_name_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert name in problems(tmp_path)[0]


def test_a_dangling_link_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "001_users.sql").symlink_to(tmp_path / "gone.sql")
    assert "001_users.sql" in problems(tmp_path)[0]


@pytest.mark.parametrize(("kind", "reason"), [("directory", "Is a directory"), ("link", "No such file")])
def test_a_way_back_that_cannot_be_read_is_a_sentence(tmp_path: Path, kind: str, reason: str) -> None:
    write(tmp_path, "001_users.sql", SQL)
    down = tmp_path / "001_users.down.sql"
    down.mkdir() if kind == "directory" else down.symlink_to("gone.sql")
    (sentence,) = problems(tmp_path)
    assert sentence.startswith(f"001_users.down.sql cannot be read: {reason}")
    assert sentence.endswith(" or remove it.")


@pytest.mark.parametrize("name", ["001_users.sql", "001_users.py"])
def test_files_that_go_after_they_were_found_are_sentences(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, SQL if name.endswith(".sql") else PYTHON)
    files = discover(tmp_path).files
    path.unlink()
    for look in (lambda: load(files, tmp_path), lambda: checksum(files[0])):
        with pytest.raises(DiscoveryError, match=f"{name} cannot be read: No such file.*Restore or remove it"):
            look()


def test_a_head_file_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / HEAD).mkdir()
    assert discover(tmp_path).warnings == (
        f"{HEAD} cannot be read: Is a directory. Remove it; `async-migrations new` writes it again.",
    )


def test_a_head_file_that_is_not_text_is_no_traceback(tmp_path: Path) -> None:
    write(tmp_path, "001_users.sql", SQL)
    write(tmp_path, HEAD, b"\xff\xfe")
    (warning,) = discover(tmp_path).warnings
    assert HEAD in warning


def test_a_down_file_beside_a_python_migration_is_not_left_unused() -> None:
    try:
        (loaded,) = read(HISTORIES / "down_beside_python")
    except DiscoveryError as error:
        assert "001_users.down.sql" in str(error)  # noqa: PT017 - either way is right
    else:
        assert loaded.is_reversible


def test_a_syntax_error_in_an_imported_module_is_not_blamed_on_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, folder = tmp_path / "library", tmp_path / "migrations"
    library.mkdir()
    folder.mkdir()
    monkeypatch.syspath_prepend(library)
    write(library, "broken_library.py", "\n" * 40 + "def f(:\n")
    write(folder, "001_users.py", f"import broken_library\n{PYTHON}")
    (sentence,) = problems(folder)
    assert f"line 41 of {library / 'broken_library.py'}" in sentence


def test_transactional_as_a_property_is_honoured_or_refused(tmp_path: Path) -> None:
    write(
        tmp_path,
        "001_users.py",
        PYTHON + "\n    @property\n    def transactional(self) -> bool:\n        return False\n",
    )
    try:
        (loaded,) = read(tmp_path)
    except DiscoveryError as error:
        assert "transactional" in str(error)  # noqa: PT017 - either way is right
    else:
        assert not loaded.transactional
