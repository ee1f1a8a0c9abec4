"""The numbers of migration files: the next free ones, and the end of a clash."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from async_migrations.errors import ConfigurationError, DiscoveryError, MigrationsError
from async_migrations.migration import HEAD

SHORTEST_NUMBER = 3
LONGEST_FILE_NAME = 255
"""Bytes that a file's name may have, and characters that the ledger's column holds."""

NAME = re.compile(r"(?P<stem>(?P<digits>\d{3,})_[^\x00-\x1f\x7f]+?)(?P<suffix>\.down\.sql|\.py|\.sql)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Numbered:
    """The files of one migration, whether or not their folder is in order.

    Attributes:
        number: the integer NNN.
        name: the stem, `NNN_name`.
        width: digits that the number is written with.
        suffixes: `.py`, `.sql`, `.down.sql`: which of them there are.
    """

    number: int
    name: str
    width: int
    suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rename:
    """A migration that gets another number.

    Attributes:
        old: its name.
        new: its new name.
        suffixes: the suffixes of its files.
    """

    old: str
    new: str
    suffixes: tuple[str, ...]


def renumber(
    directory: Path, applied: Collection[str] = (), *, names: Sequence[str] = (), dry_run: bool = False
) -> list[Rename]:
    """Give each number to one migration only, and mend the head file.

    Of several with one number the applied one keeps it, or else the one that the head file names. The others get
    the next numbers after the last file, in their order.

    Args:
        directory: the folder.
        applied: names in the ledger, which keep their numbers.
        names: further migrations that move behind the last one: numbers or names.
        dry_run: whether to change nothing.

    Returns:
        What was renamed, or would be.

    Raises:
        DiscoveryError: it cannot be known which one keeps a number; nothing was renamed.
        ConfigurationError: one of `names` is no migration.
        MigrationsError: a file cannot be renamed.
    """
    found = scan(directory)
    renames = plan_renames(directory, found, applied, _read_head(directory), names)
    if not dry_run:
        _check_head(directory)
        try:
            _carry_out(directory, found, renames)
        except OSError as error:
            raise MigrationsError(f"{error.filename or directory} cannot be renamed: {error.strerror}.") from error
    return renames


def scan(directory: Path) -> list[Numbered]:
    """Return what the folder holds, in order; files that are no migrations are left out.

    Raises:
        DiscoveryError: it cannot be read.
    """
    try:
        matches = [match for each in directory.iterdir() if (match := NAME.fullmatch(each.name))]
    except OSError as error:
        raise DiscoveryError(directory, [f"{directory}: {error.strerror}. Name the folder of migrations."]) from None
    matches.sort(key=lambda match: (int(match["digits"]), match["stem"], match["suffix"]))
    return [
        Numbered(int(name.partition("_")[0]), name, name.index("_"), suffixes)
        for name, files in groupby(matches, key=lambda match: match["stem"])
        if (suffixes := tuple(match["suffix"] for match in files)) != (".down.sql",)
    ]


def plan_renames(
    directory: Path, found: Sequence[Numbered], applied: Collection[str], head: str, names: Sequence[str] = ()
) -> list[Rename]:
    """Decide what is renamed; see `renumber`.

    Raises:
        DiscoveryError: it cannot be known which one keeps a number.
        ConfigurationError: one of `names` is no migration.
    """
    moved = [_resolve(found, name) for name in names]
    problems = [
        f"{each.name} is applied, and an applied migration keeps its name for ever."
        for each in moved
        if each.name in applied
    ]
    for number, clash in groupby((each for each in found if each not in moved), key=lambda each: each.number):
        rivals = list(clash)
        if len(rivals) == 1:
            continue
        keepers = [each for each in rivals if each.name in applied] or [each for each in rivals if each.name == head]
        if len(keepers) == 1:
            moved += [each for each in rivals if each is not keepers[0]]
        else:
            problems.append(_undecided(number, rivals, keepers))
    if problems:
        raise DiscoveryError(directory, problems)
    return [rename for rename in _renames(found, moved) if rename.old != rename.new]


def names(directory: Path, titles: Sequence[str]) -> list[tuple[str, str]]:
    """Return the digits and the names of the next migrations of a folder, which need not exist.

    Args:
        directory: the folder.
        titles: what they do, in any spelling: `Add user settings` becomes `add_user_settings`.

    Raises:
        ConfigurationError: nothing of a title can be in a name, or it is too long.
        DiscoveryError: the folder cannot be read.
        MigrationsError: the head file is a folder.
    """
    _check_head(directory)
    found = scan(directory) if directory.exists() else []
    first = max((each.number for each in found), default=0) + 1
    digits = [_digits(first + place, found) for place in range(len(titles))]
    return [(number, _fitting(f"{number}_{_slug(title)}")) for number, title in zip(digits, titles, strict=True)]


def last_name(directory: Path) -> str:
    """Return the name of the last migration; empty without any."""
    found = scan(directory)
    return found[-1].name if found else ""


def write_head(directory: Path, name: str) -> None:
    """Name the last migration in the head file, which is never half written."""
    draft = directory / f".{HEAD}.draft"
    try:
        draft.write_text(f"{name}\n" if name else "", encoding="utf-8")
        draft.replace(directory / HEAD)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _check_head(directory: Path) -> None:
    if (directory / HEAD).is_dir():
        raise MigrationsError(
            f"{directory / HEAD} is a folder, and must be a file. Nothing was written: remove it first."
        )


def _undecided(number: int, rivals: Sequence[Numbered], keepers: Sequence[Numbered]) -> str:
    names = " and ".join(each.name for each in rivals)
    if keepers:
        both = " and ".join(each.name for each in keepers)
        return (
            f"{names} have the same number {number:03d}, and {both} are applied. Rename one by hand, and its row: "
            "UPDATE the ledger SET migration_name = … WHERE migration_name = …."
        )
    return (
        f"{names} have the same number {number:03d}, and neither the ledger nor {HEAD} says which was first. Name the "
        f"one that others do not have yet: `async-migrations renumber {rivals[-1].name}`."
    )


def _renames(found: Sequence[Numbered], moved: Sequence[Numbered]) -> Iterator[Rename]:
    last = max((each.number for each in found if each not in moved), default=0)
    for number, each in enumerate((each for each in found if each in moved), last + 1):
        words = each.name.partition("_")[2]
        yield Rename(each.name, f"{_digits(number, found)}_{words}", each.suffixes)


def _carry_out(directory: Path, found: Sequence[Numbered], renames: Sequence[Rename]) -> None:
    olds = {rename.old + suffix for rename in renames for suffix in rename.suffixes}
    news = {rename.new + suffix for rename in renames for suffix in rename.suffixes}
    taken = sorted(name for name in news - olds if (directory / name).exists())
    if taken:
        raise DiscoveryError(directory, [f"{name} is in the way: move it." for name in taken])
    # In this order no file is renamed to one that still has to go: the order of names is kept, and a move up
    # can only meet a later one, a move down an earlier one.
    up = [rename for rename in renames if _order(rename.new) > _order(rename.old)]
    for rename in [*reversed(up), *(each for each in renames if each not in up)]:
        for suffix in rename.suffixes:
            _move(directory / (rename.old + suffix), directory / (rename.new + suffix), rename)
    names = {rename.old: rename.new for rename in renames}
    if renames or (directory / HEAD).exists():
        last = max(found, key=lambda each: _order(names.get(each.name, each.name)), default=None)
        write_head(directory, names.get(last.name, last.name) if last else "")


def _move(old: Path, new: Path, rename: Rename) -> None:
    old.rename(new)
    content = new.read_bytes()
    renamed = re.sub(rb"(?<!\w)" + re.escape(os.fsencode(rename.old)) + rb"(?!\w)", os.fsencode(rename.new), content)
    if renamed != content:
        new.write_bytes(renamed)


def _order(name: str) -> tuple[int, str]:
    return int(name.partition("_")[0]), name


def _resolve(found: Sequence[Numbered], given: str) -> Numbered:
    wanted = given.removesuffix(".sql").removesuffix(".down").removesuffix(".py")
    matching = [each for each in found if each.name == wanted or (wanted.isdecimal() and each.number == int(wanted))]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = " and ".join(each.name for each in matching)
        raise ConfigurationError(f"The number {given} is that of {names}: say which, by its name.")
    raise ConfigurationError(f"There is no migration {given!r} here.")


def _digits(number: int, found: Sequence[Numbered]) -> str:
    width = max((each.width for each in found), default=SHORTEST_NUMBER)
    return f"{number:0{width}d}"


def _fitting(name: str) -> str:
    if len(os.fsencode(f"{name}.down.sql")) > LONGEST_FILE_NAME:
        raise ConfigurationError(f"{name[:40]}… is longer than a migration's name can be: say it in fewer words.")
    return name


def _slug(title: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unicodedata.normalize("NFC", title))
    slug = re.sub(r"\W+", "_", words.lower()).strip("_")
    if not slug:
        raise ConfigurationError(f"{title!r} makes no name: say in a few words what the migration does.")
    return slug


def _read_head(directory: Path) -> str:
    try:
        return (directory / HEAD).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
