"""Writing migrations into a folder: all or none of them, whatever happens meanwhile."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from async_migrations import drafts, numbering
from async_migrations.drafts import Draft, write
from async_migrations.errors import ConfigurationError, MigrationsError
from async_migrations.migration import HEAD

WRITER = """
import sys
from pathlib import Path
from async_migrations.drafts import Draft, write
directory, who = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
for turn in range(10):
    write(directory, [Draft(f"{who} {turn} {part}", lambda digits, name: name) for part in "ab"])
"""


def files(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def draft(title: str) -> Draft:
    return Draft(title, lambda digits, name: f"{digits} {name}\n")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk full for whatever is the second migration."""
    real = Path.write_text

    def write_text(path: Path, text: str, **options: Any) -> int:
        if text.startswith("002"):
            real(path, text[:3], **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, text, **options)

    monkeypatch.setattr(Path, "write_text", write_text)


def test_files_get_the_next_numbers_and_the_head_file_names_the_last(tmp_path: Path) -> None:
    (tmp_path / "007_not_applied_yet.sql").touch()
    (tmp_path / HEAD).write_text("007_not_applied_yet\n")

    paths = write(tmp_path, [draft("One"), draft("another one")])

    assert [each.name for each in paths] == ["008_one.py", "009_another_one.py"]
    assert paths[1].read_text() == "009 009_another_one\n"
    assert (tmp_path / HEAD).read_text() == "009_another_one\n"
    assert files(tmp_path) == ["007_not_applied_yet.sql", "008_one.py", "009_another_one.py", HEAD]


def test_a_folder_that_is_missing_is_made_with_those_above_it(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", [draft("x")])

    assert files(tmp_path / "a" / "b") == ["001_x.py", HEAD]


def test_nothing_to_write_makes_no_head_file(tmp_path: Path) -> None:
    assert write(tmp_path, []) == []
    assert files(tmp_path) == []


@pytest.mark.usefixtures("full")
def test_a_full_disk_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(MigrationsError, match="cannot be written: No space left on device"):
        write(tmp_path, [draft("one"), draft("two"), draft("three")])

    assert files(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_head_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write(tmp_path, [draft("one")])

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((MigrationsError, KeyboardInterrupt)):
        write(tmp_path, [draft("two"), draft("three")])

    assert files(tmp_path) == ["001_one.py", HEAD]
    assert (tmp_path / HEAD).read_text() == "001_one\n"


def test_a_text_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(_digits: str, _name: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path, [draft("one"), Draft("two", fail)])

    assert files(tmp_path) == []


def test_a_folder_that_may_not_be_written_to_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> int:
        # Root may write everywhere, so the system's answer is given by hand.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(MigrationsError, match="cannot be written: Permission denied"):
        write(tmp_path, [draft("one")])

    assert files(tmp_path) == []


def test_a_file_where_the_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MigrationsError, match="Not a directory"):
        write(tmp_path / "file", [draft("one")])


def test_a_file_in_the_way_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "002_two.py").write_text("mine")
    monkeypatch.setattr(numbering, "scan", lambda _: [])
    with pytest.raises(MigrationsError, match=r"002_two\.py cannot be written: File exists"):
        write(tmp_path, [draft("one"), draft("two")])

    assert files(tmp_path) == ["002_two.py"]
    assert (tmp_path / "002_two.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Überschriften für Zürich", "001_überschriften_für_zürich.py"),
        ("用户 设置", "001_用户_设置.py"),
        ("../../etc/passwd", "001_etc_passwd.py"),
        ("a\x00b\nc", "001_a_b_c.py"),
        ("emoji 🎉 party", "001_emoji_party.py"),
        ("half \udcff character", "001_half_character.py"),
        ("e\u0301te\u0301", "001_été.py"),
        ("%s {name} \\N", "001_s_name_n.py"),
    ],
)
def test_any_title_makes_a_name_inside_the_folder(tmp_path: Path, title: str, name: str) -> None:
    (path,) = write(tmp_path, [Draft(title, lambda _digits, _name: drafts.sentence(title))])

    assert path == tmp_path / name
    assert path.read_text(encoding="utf-8") == drafts.sentence(title)


@pytest.mark.parametrize("title", ["", "🎉", "...", "x" * 300, "é" * 130])
def test_a_title_that_makes_no_name_makes_no_folder_either(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigurationError):
        write(tmp_path / "folder", [draft("fine"), draft(title)])

    assert files(tmp_path) == []


def test_processes_that_write_at_one_moment_get_different_numbers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, who], stdin=subprocess.PIPE) for who in ("ada", "bob", "eve")]
    for each in writers:
        each.communicate(b"\n", timeout=60)

    assert [each.returncode for each in writers] == [0, 0, 0]
    found = numbering.scan(tmp_path)
    assert [each.number for each in found] == [*range(1, 61)]
    # The files of one call stand together.
    assert all(one.name[4:-1] == other.name[4:-1] for one, other in zip(found[::2], found[1::2], strict=True))
    assert (tmp_path / HEAD).read_text().strip() == found[-1].name


def test_a_writer_that_hangs_is_waited_for_with_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "PATIENCE", 0.05)
    with drafts._alone(tmp_path), pytest.raises(MigrationsError, match="Another process has been writing into"):
        write(tmp_path, [draft("one")])

    assert files(tmp_path) == []


def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)

    assert [each.name for each in write(tmp_path, [draft("one")])] == ["001_one.py"]
