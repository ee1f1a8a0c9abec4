"""Drafts: migrations that are written for their author, all or none of them."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from async_migrations import numbering
from async_migrations.errors import MigrationsError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # looked at before it is used

PATIENCE = 5.0
"""Seconds to wait for another process that writes into the same folder."""
PAUSE = 0.01

PYTHON = '''"""Migration {digits}: {description}."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """{description}"""

    async def upgrade(self) -> dict[str, int]:
        raise NotImplementedError("{name} is not written yet")
        # Option 1: add what the models have gained
        # (needs `from async_migrations import AutoSchemaMigration` and the models as base)
        # return await AutoSchemaMigration(self.engine, self.base).run()

        # Option 2: SQL
        # await self.execute("ALTER TABLE users ADD COLUMN last_login TIMESTAMP WITH TIME ZONE")
        # return {{"tables_created": 0, "columns_added": 1, "indexes_created": 0}}
'''
SQL = """-- description: {description}

-- The file runs as one transaction. Put the statements in the place of this one:
DO $$ BEGIN RAISE EXCEPTION '{name} is not written yet'; END $$;
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A migration that is to be written.

    Attributes:
        title: what it does, in any spelling, for its name.
        text: writes the file when it is told the digits of its number, and its name.
        suffix: that of the file.
    """

    title: str
    text: Callable[[str, str], str]
    suffix: str = ".py"


def create(directory: Path, title: str, *, sql: bool = False) -> Path:
    """Write the next migration, and name it in the head file.

    The file fails until its author has written it: a service that restarts by itself, as in development, would
    record an empty one as applied.

    Args:
        directory: the folder; made if it is missing.
        title: what the migration does, in any spelling: `Add user settings` becomes `add_user_settings`.
        sql: whether to write plain SQL.

    Returns:
        The file.

    Raises:
        ConfigurationError: nothing of the title can be in a name, or it is too long.
        MigrationsError: the file exists, or cannot be written.
    """
    description = sentence(title) if sql else _escaped(sentence(title))

    def text(digits: str, name: str) -> str:
        return (SQL if sql else PYTHON).format(digits=digits, name=name, description=description)

    (path,) = write(directory, [Draft(title, text, ".sql" if sql else ".py")])
    return path


def write(directory: Path, drafts: Sequence[Draft]) -> list[Path]:
    """Write migrations under the next numbers, all or none of them, and name the last in the head file.

    No file is ever seen half written, and two processes at one moment get different numbers.

    Args:
        directory: the folder; made if it is missing.
        drafts: in their order.

    Returns:
        The files.

    Raises:
        ConfigurationError: nothing of a title can be in a name, or it is too long.
        DiscoveryError: the folder cannot be read.
        MigrationsError: a file exists, or cannot be written; none is left.
    """
    titles = [each.title for each in drafts]
    numbering.names(directory, titles)  # before anything is made
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory):
            names = numbering.names(directory, titles)
            paths = [directory / f"{name}{each.suffix}" for (_, name), each in zip(names, drafts, strict=True)]
            texts = [each.text(*name) for name, each in zip(names, drafts, strict=True)]
            _write(directory, dict(zip(paths, texts, strict=True)))
    except OSError as error:
        raise MigrationsError(f"{error.filename or directory} cannot be written: {error.strerror}.") from error
    return paths


def sentence(title: str) -> str:
    """Return a title as a description says it: `add_user_settings` becomes `Add user settings`."""
    words = " ".join(re.sub(r"[_\x00-\x1f\x7f\ud800-\udfff]+", " ", title).split()).rstrip(".")
    return words[:1].upper() + words[1:]


def _write(directory: Path, texts: dict[Path, str]) -> None:
    made: list[Path] = []
    try:
        for path, text in texts.items():
            made.append(_aside(path))
            made[-1].write_text(text, encoding="utf-8")
        for path in texts:
            _place(path)
            made.append(path)
        if texts:
            numbering.write_head(directory, [*texts][-1].stem)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _place(path: Path) -> None:
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    _aside(path).rename(path)


def _aside(path: Path) -> Path:
    # Nothing that looks for migrations takes it for one.
    return path.with_name(f".{path.name.partition('_')[0]}.draft")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep others from taking the same numbers; the lock goes with the process."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise MigrationsError(
                    f"Another process has been writing into {directory} for {PATIENCE:g} s. Nothing was written; try "
                    "again when it has ended."
                ) from None
            time.sleep(PAUSE)
        except OSError:  # a file system without locks
            return
        else:
            return


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
