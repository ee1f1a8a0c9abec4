"""A folder of `NNN_*.py` and `NNN_*.sql` -> sorted migrations, with checksums."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from async_migrations.checksum import python_checksum, raw_checksum, sql_checksum
from async_migrations.errors import DiscoveryError, unreadable
from async_migrations.migration import HEAD, AppliedRow, MigrationFile

PATTERN = re.compile(r"(?P<number>\d{3,})_(?P<slug>[^\x00-\x1f\x7f]+)", re.DOTALL)
UNREADABLE: dict[type[OSError], str] = {
    NotADirectoryError: "It is a file: name the folder of migrations.",
    PermissionError: "Let this process read it, or name another folder.",
}
LONGEST_NAME = 255
"""Characters that the ledger's column holds."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds.

    Attributes:
        files: the migrations, in numeric order.
        warnings: what is odd and does not stop a run.
    """

    files: tuple[MigrationFile, ...]
    warnings: tuple[str, ...] = ()


def discover(directory: Path) -> Folder:
    """Read the folder: names, order and checksums; nothing is imported.

    Raises:
        DiscoveryError: a file's name cannot be right, or two files claim one number.
    """
    problems: list[str] = []
    found: dict[str, Path] = {}
    downs: dict[str, Path] = {}
    for path in _entries(directory):
        problem = _name_problem(path)
        if problem:
            problems.append(problem)
        elif path.name.endswith(".down.sql"):
            downs[path.name.removesuffix(".down.sql")] = path
        else:
            twin = found.setdefault(path.stem, path)
            if twin is not path:
                problems.append(f"{twin.name} and {path.name} are one migration in two languages: remove one.")
    files = sorted(_files(found.values(), downs, problems), key=_order)
    problems += [
        f"{orphan.name} takes back a migration that is not there: add {stem}.sql beside it, or remove it."
        for stem, orphan in downs.items()
    ]
    problems += _duplicates(files)
    if problems:
        raise DiscoveryError(directory, problems)
    return Folder(tuple(files), (*_gaps(files), *_head(directory, files)))


def changed(files: Sequence[MigrationFile], rows: Sequence[AppliedRow]) -> dict[str, MigrationFile]:
    """Return the applied files whose meaning is another now; only those whose bytes changed are parsed."""
    by_name: Mapping[str, AppliedRow] = {row.name: row for row in rows if row.checksum and not row.dirty}
    return {
        file.name: file
        for file in files
        if (row := by_name.get(file.name)) and row.raw_checksum != file.raw_checksum and row.checksum != checksum(file)
    }


def checksum(file: MigrationFile) -> str:
    """Hash what the file means; a file that cannot be parsed means nothing that was ever applied.

    Raises:
        DiscoveryError: the file is gone, or cannot be read any more.
    """
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise DiscoveryError(file.path.parent, [unreadable(file.path, error)]) from error
    try:
        if file.is_sql:
            return sql_checksum(content.decode())
        return python_checksum(content, str(file.path))
    except (SyntaxError, ValueError):
        return f"unreadable:{file.raw_checksum}"


def head_text(files: Sequence[MigrationFile]) -> str:
    """Return what the head file should hold."""
    return f"{files[-1].name}\n" if files else ""


def _entries(directory: Path) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            names = sorted(e.name for e in entries if e.name.endswith((".py", ".sql")) and e.name[0] not in "_.")
    except OSError as error:
        advice = UNREADABLE.get(type(error), "Create it with `async-migrations new`, or name another folder.")
        raise DiscoveryError(directory, [f"{directory}: {error.strerror}. {advice}"]) from None
    return (directory / name for name in names)


def _name_problem(path: Path) -> str | None:
    stem = path.name.removesuffix(".down.sql") if path.name.endswith(".down.sql") else path.stem
    if not PATTERN.fullmatch(stem):
        return (
            f"{path.name!r} is no migration's name: it needs three or more digits, an underscore and a name, such "
            "as 001_create_users.py. Rename it; a helper module begins with an underscore."
        )
    if len(stem) > LONGEST_NAME:
        return f"{stem[:40]}… has {len(stem)} characters, and the ledger holds {LONGEST_NAME}: shorten it."
    if not stem.isprintable() and not _is_utf8(stem):
        return f"{stem!r} is not UTF-8: rename it."
    return None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files(paths: Iterable[Path], downs: dict[str, Path], problems: list[str]) -> Iterator[MigrationFile]:
    for path in paths:
        down = downs.pop(path.stem, None)
        if down and path.suffix == ".py":
            problems.append(f"{down.name} stands beside {path.name}, whose way back is async def downgrade(self).")
        try:
            yield _file(path, down)
        except OSError as error:
            problems.append(unreadable(path, error))


def _file(path: Path, down: Path | None) -> MigrationFile:
    number = path.name.partition("_")[0]
    with open(path, "rb") as stream:  # noqa: PTH123 - a thousand files at every start; pathlib's costs twice this
        return MigrationFile(int(number), path.stem, path, raw_checksum(stream.read()), down)


def _order(file: MigrationFile) -> tuple[int, str]:
    return file.number, file.name


def _duplicates(files: Sequence[MigrationFile]) -> list[str]:
    return [
        f"{a.path.name} and {b.path.name} have the same number {a.number:03d}. Give the one that is not applied "
        "yet the next free number: `async-migrations renumber` does it."
        for a, b in pairwise(files)
        if a.number == b.number
    ]


def _gaps(files: Sequence[MigrationFile]) -> list[str]:
    return [
        f"There is a gap in the numbers between {a.name} and {b.name}: is a file missing?"
        for a, b in pairwise(files)
        if b.number > a.number + 1
    ]


def _head(directory: Path, files: Sequence[MigrationFile]) -> list[str]:
    try:
        said = (directory / HEAD).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{HEAD} cannot be read: {error.strerror}. Remove it; `async-migrations new` writes it again."]
    last = files[-1].name if files else ""
    if said == last:
        return []
    return [
        f"{HEAD} says that the last migration is {said!r}, and it is {last!r}: `async-migrations renumber` mends it."
    ]
