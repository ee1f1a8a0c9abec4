"""Numbers: the next one for a new file, and the end of a clash."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from async_migrations import discovery, drafts, loading, numbering
from async_migrations.drafts import create
from async_migrations.errors import ConfigurationError, DiscoveryError, MigrationsError
from async_migrations.migration import HEAD
from async_migrations.numbering import Rename, renumber

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(*names: str, head: str | None = None) -> Path:
        for name in names:
            (tmp_path / name).write_text(f"-- {name}\n")
        if head is not None:
            (tmp_path / HEAD).write_text(head)
        return tmp_path

    return make


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != HEAD)


def head_of(directory: Path) -> str:
    return (directory / HEAD).read_text()


# new


def test_the_first_migration_is_001_in_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    path = create(tmp_path / "a" / "migrations", "Add user settings")

    assert path == tmp_path / "a" / "migrations" / "001_add_user_settings.py"
    assert head_of(path.parent) == "001_add_user_settings\n"


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["001_a.py", "002_b.sql", "002_b.down.sql"], "003_x.py"),
        (["0007_a.py"], "0008_x.py"),
        (["999_a.py"], "1000_x.py"),
        (["001_a.py", "001_b.py"], "002_x.py"),
        (["012_a.py", "_helper.py", "notes.txt", "5_no.py", "x.sql"], "013_x.py"),
    ],
)
def test_the_number_is_the_next_one_as_wide_as_the_others(folder: Folder, there: list[str], expected: str) -> None:
    assert create(folder(*there), "x").name == expected


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Add user settings", "add_user_settings"),
        ("add_user_settings", "add_user_settings"),
        ("AddUserSettings", "add_user_settings"),
        ("  add -- user's settings! ", "add_user_s_settings"),
        ("../../etc/passwd", "etc_passwd"),
        ("Größe ändern", "größe_ändern"),
        ('a"""\\b', "a_b"),
        ("nul\0and\nlines", "nul_and_lines"),
    ],
)
def test_any_title_makes_a_name(folder: Folder, title: str, slug: str) -> None:
    assert create(folder(), title).name == f"001_{slug}.py"


@pytest.mark.parametrize("title", ["", "---", "_", "x" * 300])
def test_a_title_that_makes_no_name_is_refused(folder: Folder, title: str) -> None:
    with pytest.raises(ConfigurationError, match="words"):
        create(folder(), title)
    assert names_in(folder()) == []


@pytest.mark.parametrize("title", ["Add user settings", 'a"""\\b {name}', "nul\0and\nlines", "ends with \\"])
def test_what_is_written_is_a_migration(folder: Folder, title: str) -> None:
    path = create(folder(), title)

    tree = ast.parse(path.read_text())
    (migration,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]

    assert migration.name == "Migration"
    (loaded,) = loading.load(discovery.discover(path.parent).files, path.parent)
    assert loaded.description == drafts.sentence(title)


def test_a_plain_sql_one_has_its_description(folder: Folder) -> None:
    path = create(folder(), "add_user_settings", sql=True)

    assert path.name == "001_add_user_settings.sql"
    (loaded,) = loading.load(discovery.discover(path.parent).files, path.parent)
    assert loaded.description == "Add user settings"


def test_a_file_in_the_way_stays(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = folder("001_a.py")
    monkeypatch.setattr(numbering, "scan", lambda _: [])

    with pytest.raises(MigrationsError, match=r"001_a\.py cannot be written: File exists"):
        create(directory, "a")
    assert (directory / "001_a.py").read_text() == "-- 001_a.py\n"


# renumber


def test_the_applied_one_keeps_its_number(folder: Folder) -> None:
    directory = folder("001_a.py", "002_b.py", "002_c.py", "003_d.py")

    renames = renumber(directory, {"001_a", "002_c"})

    assert renames == [Rename("002_b", "004_b", (".py",))]
    assert names_in(directory) == ["001_a.py", "002_c.py", "003_d.py", "004_b.py"]
    assert head_of(directory) == "004_b\n"


def test_without_a_ledger_the_one_in_the_head_file_keeps_it(folder: Folder) -> None:
    directory = folder("001_a.py", "002_b.py", "002_c.py", head="002_c\n")

    assert [rename.new for rename in renumber(directory)] == ["003_b"]
    assert head_of(directory) == "003_b\n"


@pytest.mark.parametrize("head", [None, "<<<<<<< HEAD\n002_b\n=======\n002_c\n>>>>>>> main\n", "001_a"])
def test_when_nothing_decides_the_author_does(folder: Folder, head: str | None) -> None:
    directory = folder("001_a.py", "002_b.py", "002_c.py", head=head)

    with pytest.raises(DiscoveryError, match=r"002_b and 002_c have the same number 002.*renumber 002_c"):
        renumber(directory)
    assert names_in(directory) == ["001_a.py", "002_b.py", "002_c.py"]
    renumber(directory, names=["002_b"])
    assert names_in(directory) == ["001_a.py", "002_c.py", "003_b.py"]
    assert head_of(directory) == "003_b\n"


def test_several_clashes_keep_their_order(folder: Folder) -> None:
    directory = folder("001_a.sql", "001_b.sql", "001_c.sql", "002_d.py", "002_e.py", "003_f.py")

    renames = renumber(directory, {"001_b", "002_d"})

    assert [(rename.old, rename.new) for rename in renames] == [
        ("001_a", "004_a"),
        ("001_c", "005_c"),
        ("002_e", "006_e"),
    ]


def test_the_way_back_goes_along_and_the_name_inside_changes(folder: Folder) -> None:
    directory = folder("001_a.sql", "001_b.sql", "001_b.down.sql", "001_c.py")
    (directory / "001_c.py").write_bytes(b'\xff return "001_c" or "001_c_too"\r\n')

    renumber(directory, {"001_a"})

    assert names_in(directory) == ["001_a.sql", "002_b.down.sql", "002_b.sql", "003_c.py"]
    assert (directory / "003_c.py").read_bytes() == b'\xff return "003_c" or "001_c_too"\r\n'


def test_two_applied_ones_are_an_error(folder: Folder) -> None:
    directory = folder("001_a.py", "001_b.py")

    with pytest.raises(DiscoveryError, match="001_a and 001_b are applied"):
        renumber(directory, {"001_a", "001_b"})
    assert names_in(directory) == ["001_a.py", "001_b.py"]


def test_an_applied_one_is_never_moved(folder: Folder) -> None:
    with pytest.raises(DiscoveryError, match="001_a is applied"):
        renumber(folder("001_a.py", "002_b.py"), {"001_a"}, names=["001_a"])


def test_a_chain_of_ones_own_moves_behind_the_others(folder: Folder) -> None:
    directory = folder("001_a.py", "002_mine.py", "002_theirs.py", "003_mine.py", head="002_theirs")

    renumber(directory, names=["002_mine", "003"])

    assert names_in(directory) == ["001_a.py", "002_theirs.py", "003_mine.py", "004_mine.py"]
    assert (directory / "003_mine.py").read_text() == "-- 003_mine.py\n"
    assert (directory / "004_mine.py").read_text() == "-- 004_mine.py\n"
    assert head_of(directory) == "004_mine\n"


def test_moves_down_do_not_meet_either(folder: Folder) -> None:
    directory = folder("001_a.py", "003_x.py", "004_x.py")

    renumber(directory, names=["003", "004"])

    assert names_in(directory) == ["001_a.py", "002_x.py", "003_x.py"]
    assert (directory / "002_x.py").read_text() == "-- 002_x.py\n"


def test_beyond_999_the_order_is_still_that_of_numbers(folder: Folder) -> None:
    directory = folder("998_a.py", "998_x.py", "999_x.py")

    renumber(directory, {"998_a"}, names=["998_x", "999_x"])

    assert names_in(directory) == ["1000_x.py", "998_a.py", "999_x.py"]
    assert (directory / "1000_x.py").read_text() == "-- 1000_x.py\n"
    assert head_of(directory) == "1000_x\n"


@pytest.mark.parametrize(
    ("given", "message"), [("007", "no migration '007'"), ("002", "the number 002 is that of 002_b and 002_c")]
)
def test_a_name_that_is_none_is_refused(folder: Folder, given: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?i){message}"):
        renumber(folder("001_a.py", "002_b.py", "002_c.py"), names=[given])


def test_a_dry_run_changes_nothing(folder: Folder) -> None:
    directory = folder("001_a.py", "001_b.py")

    assert renumber(directory, {"001_a"}, dry_run=True) == [Rename("001_b", "002_b", (".py",))]
    assert names_in(directory) == ["001_a.py", "001_b.py"]
    assert not (directory / HEAD).exists()


def test_a_stale_head_file_is_mended(folder: Folder) -> None:
    directory = folder("001_a.py", "002_b.py", head="<<<<<<< HEAD\n")

    assert renumber(directory) == []
    assert discovery.discover(directory).warnings == ()


def test_without_a_head_file_nothing_to_do_is_nothing_done(folder: Folder) -> None:
    directory = folder("001_a.py", "002_b.py")

    assert renumber(directory) == []
    assert not (directory / HEAD).exists()


def test_a_file_in_the_way_is_not_written_over(folder: Folder) -> None:
    directory = folder("001_a.sql", "001_b.sql", "001_b.down.sql", "002_b.down.sql")

    with pytest.raises(DiscoveryError, match=r"002_b\.down\.sql is in the way"):
        renumber(directory, {"001_a"})
    assert (directory / "001_b.sql").exists()


def test_the_folder_is_in_order_afterwards(folder: Folder) -> None:
    directory = folder("001_a.sql", "001_b.sql", "001_b.down.sql", "002_c.sql", head="002_c")

    renumber(directory, {"001_a"})

    found = discovery.discover(directory)
    assert [file.name for file in found.files] == ["001_a", "002_c", "003_b"]
    assert found.warnings == ()


def test_a_folder_in_the_head_files_place_is_found_before_anything_is_written(folder: Folder) -> None:
    directory = folder("001_a.sql", "001_b.sql")
    (directory / HEAD).mkdir()
    for work in (lambda: renumber(directory, names=["001_b"]), lambda: create(directory, "c")):
        with pytest.raises(MigrationsError, match=r"head\.txt is a folder, and must be a file"):
            work()
    assert names_in(directory) == ["001_a.sql", "001_b.sql"]
    assert renumber(directory, names=["001_b"], dry_run=True) == [Rename("001_b", "002_b", (".sql",))]


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="No such file or directory"):
        renumber(tmp_path / "nowhere")
