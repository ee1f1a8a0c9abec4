"""A migration's file, read or imported: every mistake in it is found before anything is applied."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio.to_thread

from async_migrations.base import BaseMigration
from async_migrations.checksum import python_checksum, raw_checksum, sql_checksum
from async_migrations.errors import DiscoveryError, masked, unreadable
from async_migrations.migration import MigrationFile
from async_migrations.script import reads_stdin
from async_migrations.sql import Statement, position, split, transaction_control, unended

HEADER = re.compile(r"\s*--\s*(?P<key>description|transactional)\s*:\s*(?P<value>.*?)\s*$", re.IGNORECASE)
ALMOST = re.compile(r"\s*(?:--|/?\*+)\s*transactional\s*[:=]", re.IGNORECASE)
"""What looks like the header that decides how a file is run, and is none."""

LICENCE = re.compile(r"\s*/\*.*?\*/", re.DOTALL)

DIGEST = "__async_migrations_digest__"
"""The attribute of a migration's module that tells of which bytes it was made."""

_LOCKS: dict[str, threading.Lock] = {}
"""By the names of modules: two runs may come upon one file at once, each in a thread of its own."""


@dataclass(frozen=True, slots=True)
class Script:
    """A plain SQL migration, or the way back of one."""

    text: str
    path: Path
    headers: Mapping[str, str]

    @property
    def transactional(self) -> bool | None:
        """What its header says; None if it says nothing."""
        return _flag(self.path, self.headers["transactional"]) if "transactional" in self.headers else None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements, as PostgreSQL's own parser splits them."""
        return split(self.text)


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
        except _Problem as problem:
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


class _Problem(Exception):  # noqa: N818 - a sentence on its way to a DiscoveryError
    """Why one file is no migration."""


def _load_sql(file: MigrationFile) -> Loaded:
    script = _script(file.path)
    down = _script(file.down_path) if file.down_path else None
    transactional = script.transactional is not False
    description = script.headers.get("description", "")
    loaded = Loaded(file, description, transactional, b"", script, down)
    if loaded.is_transactional("upgrade"):
        _refuse_transaction_control(script)
    if down and loaded.is_transactional("downgrade"):
        _refuse_transaction_control(down)
    return loaded


def _script(path: Path) -> Script:
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Problem(f"{path.name} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
    if "\0" in text:
        raise _Problem(f"{path.name} holds a NUL character, which PostgreSQL cannot take: remove it.")
    _refuse_unended(path, text)
    if copy := reads_stdin(text):
        raise _Problem(
            f"{path.name}, line {copy.line}: COPY … FROM STDIN waits for data that a file cannot send. Write INSERTs, "
            "or a Python migration that calls copy_records_to_table on the driver's connection."
        )
    return Script(text, path, _headers(path, text))


def _refuse_unended(path: Path, text: str) -> None:
    start = unended(text)
    if start is not None:
        what = "the comment" if text.startswith("/*", start) else "a quoted text or name"
        line = position(text, start)[0]
        raise _Problem(f"{path.name}, line {line}: {what} that begins here does not end. End it, or take it out.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # an OSError would pass for a lost connection
        raise _Problem(unreadable(path, error)) from error


def _headers(path: Path, text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    licence = LICENCE.match(text)
    # Headers may follow a comment at the top.
    for line in (text[licence.end() :] if licence else text).splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        if not HEADER.match(line) and ALMOST.match(line):
            raise _Problem(f"{path.name} has {line.strip()!r}: the header is written `-- transactional: false`.")
        if match := HEADER.match(line):
            key = match["key"].lower()
            if key in headers:
                raise _Problem(f"{path.name} has the header `-- {key}:` twice: keep one.")
            headers[key] = match["value"]
    return headers


def _flag(path: Path, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise _Problem(f"{path.name} has `-- transactional: {value}`: it must be true or false.")
    return value.lower() == "true"


def _refuse_transaction_control(script: Script) -> None:
    if not re.search(r"\b(BEGIN|COMMIT|ROLLBACK|END|ABORT|START|PREPARE)\b", script.text, re.IGNORECASE):
        return
    for statement in script.statements:
        if keyword := transaction_control(statement.text):
            raise _Problem(
                f"{script.path.name}, line {statement.line}: {keyword} would end the engine's own transaction. "
                "Remove it, since the whole file is one transaction already; or begin the file with "
                "`-- transactional: false`."
            )


def _load_python(file: MigrationFile) -> Loaded:
    source = _read(file.path)
    module = _import(file.path, source)
    found = getattr(module, "Migration", None)
    if not (isinstance(found, type) and issubclass(found, BaseMigration)):
        raise _Problem(
            f"{file.path.name} has no class Migration(BaseMigration): add one, "
            "with `from async_migrations import BaseMigration`."
        )
    _refuse_blocking(file.path, found, found.upgrade, "upgrade")
    _refuse_blocking(file.path, found, found.downgrade, "downgrade")
    if found.upgrade is BaseMigration.upgrade:
        raise _Problem(f"{file.path.name}: Migration has no upgrade(). Add `async def upgrade(self)`.")
    name, description, transactional = _said_of(file, found)
    if name != file.name:
        raise _Problem(
            f"{file.path.name} calls its migration {name!r}, and the file's stem is {file.name!r}. Make them the "
            "same, or leave `name` out: it is the stem unless overridden."
        )
    return Loaded(file, description, transactional, source, found)


def _said_of(file: MigrationFile, found: type[BaseMigration]) -> tuple[str, str, bool]:
    try:
        migration: Any = found()
        name, description, transactional = migration.name, migration.description, migration.transactional
    except Exception as error:
        raise _Problem(f"{file.path.name}: Migration() failed with {_said(error)}.") from error
    if not isinstance(name, str) or not isinstance(description, str):
        raise _Problem(f"{file.path.name}: name and description must be texts, or properties that return one.")
    if not isinstance(transactional, bool):
        raise _Problem(f"{file.path.name}: transactional is {transactional!r}; it must be True or False.")
    return name, description.replace("\0", ""), transactional


def _import(path: Path, source: bytes) -> ModuleType:
    try:
        return _module(path.absolute(), source)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        if error.filename not in {None, str(path.absolute())}:
            there = f"line {error.lineno} of {error.filename}"
            raise _Problem(f"{path.name} imports a broken module, {there}: {error.msg}. Correct it there.") from error
        raise _Problem(f"{path.name}{line}: {error.msg}. Correct the syntax.") from error
    except (Exception, SystemExit) as error:
        raise _Problem(
            f"{path.name}{_line_in(path, error)} cannot be imported: {_said(error)}. Nothing but imports and "
            "definitions belongs at the top of a migration."
        ) from error


def _module(path: Path, source: bytes) -> ModuleType:
    """Return the module that an earlier run made of this path and these bytes, or make it.

    Two modules of one file would define its tables twice on a MetaData that it shares with the service, which
    SQLAlchemy refuses: a process that migrates several databases, or two ledgers at once, has one.
    """
    name = f"_migration_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    digest = raw_checksum(source)
    # A lock for each name: a file whose import does not come to an end holds up no other.
    with _LOCKS.setdefault(name, threading.Lock()):
        earlier = sys.modules.get(name)
        if earlier is not None and vars(earlier).get(DIGEST) == digest:
            return earlier
        # Dataclasses and typing look a class's module up there.
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = str(path)
        try:
            # Compiled here, not through importlib: its bytecode cache goes by mtime and size, and a file that a
            # developer saved twice in a second would run in its old form.
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what migrations are
        except BaseException:
            _put_back(name, earlier)
            raise
        setattr(module, DIGEST, digest)
        return module


def _put_back(name: str, earlier: ModuleType | None) -> None:
    """Leave no half of a module: who ran the file as it was before still looks for that one."""
    if earlier is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = earlier


def _refuse_blocking(path: Path, owner: type, function: Callable[..., object], verb: str) -> None:
    if inspect.iscoroutinefunction(function):
        return
    code = getattr(function, "__code__", None)
    line = f", line {code.co_firstlineno}" if code else ""
    raise _Problem(
        f"{path.name}{line}: {owner.__name__}.{verb}() is not async, so it would block the event loop. Write "
        f"`async def {verb}(self)` and await what it calls: `async with self.engine.connect() as connection`, "
        "`await connection.execute(...)`."
    )


def _line_in(path: Path, error: BaseException) -> str:
    there = str(path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == there]
    return f", line {lines[-1]}," if lines else ""


def _said(error: BaseException) -> str:
    return masked(f"{type(error).__name__}: {error}")
