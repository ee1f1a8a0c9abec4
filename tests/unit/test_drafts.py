"""Files that get their names when they are complete, all of them or none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from async_migrations.drafts import write_all

KILLED = """
import os, signal, sys
from pathlib import Path
from async_migrations.drafts import write_all

written, real = 0, Path.write_text
def write_text(self, text, **options):
    global written
    written += 1
    if written == 2:
        real(self, text[:5], **options)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, text, **options)
Path.write_text = write_text
write_all({Path(sys.argv[1]) / f"00{n}_x.py": "x = 1\\n" * 10_000 for n in (1, 2, 3)})
"""


def test_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    write_all({tmp_path / "001_a.py": "a", tmp_path / "002_b.py": "ü"})
    assert {each.name: each.read_text("utf-8") for each in tmp_path.iterdir()} == {"001_a.py": "a", "002_b.py": "ü"}


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_is_there_stays_and_none_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hard_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    there = tmp_path / "002_b.py"
    there.write_text("mine")
    with pytest.raises(FileExistsError) as caught:
        write_all({tmp_path / "001_a.py": "a", there: "b"})
    assert caught.value.filename == str(there)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"002_b.py": "mine"}
    write_all({tmp_path / "003_c.py": "c"})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["002_b.py", "003_c.py"]


def test_an_interrupt_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def interrupted(source: Path, target: Path) -> None:
        if "002" in Path(target).name:
            raise KeyboardInterrupt
        link(source, target)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_all({tmp_path / "001_a.py": "a", tmp_path / "002_b.py": "b"})
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".")] == []
