"""A migration's file, read or imported: every mistake in it is found before anything is applied."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from async_migrations.base import BaseMigration
from async_migrations.checksum import python_checksum, sql_checksum
from async_migrations.errors import DiscoveryError
from async_migrations.migration import MigrationFile
from async_migrations.module import import_file, said
from async_migrations.script import Script, read_script, refuse_transaction_control
from async_migrations.source import FileProblem, read_file


@dataclass(frozen=True, slots=True)
class Loaded:
    """A migration that is ready to run.

    Attributes:
        file: where it comes from.
        description: for the log and the ledger.
        transactional: whether it runs inside a transaction.
        source: the file's bytes, of a Python file.
        body: the class to instantiate, or the SQL.
        down: the SQL that takes a plain SQL migration back.
    """

    file: MigrationFile
    description: str
    transactional: bool
    source: bytes
    body: type[BaseMigration] | Script
    down: Script | None = None

    def checksum(self) -> str:
        """Hash what the file means; done when it is needed, since the client has time while the server works."""
        if isinstance(self.body, Script):
            return sql_checksum(self.body.text)
        return python_checksum(self.source, str(self.file.path))

    def is_transactional(self, verb: str) -> bool:
        """Whether `verb` runs inside a transaction; a `.down.sql` file may say otherwise than its `.sql`."""
        own = self.down.transactional if verb == "downgrade" and self.down else None
        return self.transactional if own is None else own

    def script(self, verb: str) -> Script | None:
        """Return the SQL for `verb`, if this is plain SQL."""
        if verb == "downgrade":
            return self.down
        return self.body if isinstance(self.body, Script) else None

    @property
    def is_reversible(self) -> bool:
        """Whether a downgrade exists."""
        if isinstance(self.body, Script):
            return self.down is not None
        return self.body.downgrade is not BaseMigration.downgrade


def load(files: Sequence[MigrationFile], directory: Path) -> list[Loaded]:
    """Import or read `files`, so that every mistake in any of them is found before one is applied.

    Raises:
        DiscoveryError: a file is no migration.
    """
    loaded: list[Loaded] = []
    problems: list[str] = []
    for file in files:
        try:
            loaded.append(_load_sql(file) if file.is_sql else _load_python(file))
        except FileProblem as problem:
            problems.append(str(problem))
    if problems:
        raise DiscoveryError(directory, problems)
    return loaded


class Loader:
    """Loads the files of one run, each once: what was looked at before the run waited for the lock is what runs.

    Args:
        directory: where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: dict[str, Loaded] = {}

    async def load(self, files: Sequence[MigrationFile]) -> list[Loaded]:
        """Return `files`, loaded.

        In a thread, since importing many takes long enough to stall a service's other tasks; a file that does not
        come to an end does not keep its run from being cancelled.

        Raises:
            DiscoveryError: a file is no migration.
        """
        if missing := [file for file in files if file.name not in self._loaded]:
            for each in await anyio.to_thread.run_sync(load, missing, self._directory, abandon_on_cancel=True):
                self._loaded[each.file.name] = each
        return [self._loaded[file.name] for file in files]


def _load_sql(file: MigrationFile) -> Loaded:
    script = read_script(file.path)
    down = read_script(file.down_path) if file.down_path else None
    transactional = script.transactional is not False
    description = script.headers.get("description", "")
    loaded = Loaded(file, description, transactional, b"", script, down)
    if loaded.is_transactional("upgrade"):
        refuse_transaction_control(script)
    if down and loaded.is_transactional("downgrade"):
        refuse_transaction_control(down)
    return loaded


def _load_python(file: MigrationFile) -> Loaded:
    source = read_file(file.path)
    module = import_file(file.path, source)
    found = getattr(module, "Migration", None)
    if not (isinstance(found, type) and issubclass(found, BaseMigration)):
        raise FileProblem(
            f"{file.path.name} has no class Migration(BaseMigration): add one, "
            "with `from async_migrations import BaseMigration`."
        )
    _refuse_blocking(file.path, found, found.upgrade, "upgrade")
    _refuse_blocking(file.path, found, found.downgrade, "downgrade")
    if found.upgrade is BaseMigration.upgrade:
        raise FileProblem(f"{file.path.name}: Migration has no upgrade(). Add `async def upgrade(self)`.")
    name, description, transactional = _said_of(file, found)
    if name != file.name:
        raise FileProblem(
            f"{file.path.name} calls its migration {name!r}, and the file's stem is {file.name!r}. Make them the "
            "same, or leave `name` out: it is the stem unless overridden."
        )
    return Loaded(file, description, transactional, source, found)


def _said_of(file: MigrationFile, found: type[BaseMigration]) -> tuple[str, str, bool]:
    try:
        migration: Any = found()
        name, description, transactional = migration.name, migration.description, migration.transactional
    except Exception as error:
        raise FileProblem(f"{file.path.name}: Migration() failed with {said(error)}.") from error
    if not isinstance(name, str) or not isinstance(description, str):
        raise FileProblem(f"{file.path.name}: name and description must be texts, or properties that return one.")
    if not isinstance(transactional, bool):
        raise FileProblem(f"{file.path.name}: transactional is {transactional!r}; it must be True or False.")
    return name, description.replace("\0", ""), transactional


def _refuse_blocking(path: Path, owner: type, function: Callable[..., object], verb: str) -> None:
    if inspect.iscoroutinefunction(function):
        return
    code = getattr(function, "__code__", None)
    line = f", line {code.co_firstlineno}" if code else ""
    raise FileProblem(
        f"{path.name}{line}: {owner.__name__}.{verb}() is not async, so it would block the event loop. Write "
        f"`async def {verb}(self)` and await what it calls: `async with self.engine.connect() as connection`, "
        "`await connection.execute(...)`."
    )
