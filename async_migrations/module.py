"""A Python file as a module: imported once a process, whoever asks."""

from __future__ import annotations

import hashlib
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType

from async_migrations.checksum import raw_checksum
from async_migrations.errors import masked
from async_migrations.source import FileProblem

DIGEST = "__async_migrations_digest__"
"""The attribute of a migration's module that tells of which bytes it was made."""

_LOCKS: dict[str, threading.Lock] = {}
"""By the names of modules: two runs may come upon one file at once, each in a thread of its own."""


def import_file(path: Path, source: bytes) -> ModuleType:
    """Import a migration's file.

    Args:
        path: where it is.
        source: its bytes.

    Raises:
        FileProblem: it cannot be imported.
    """
    try:
        return _module(path.absolute(), source)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        if error.filename not in {None, str(path.absolute())}:
            there = f"line {error.lineno} of {error.filename}"
            raise FileProblem(
                f"{path.name} imports a broken module, {there}: {error.msg}. Correct it there."
            ) from error
        raise FileProblem(f"{path.name}{line}: {error.msg}. Correct the syntax.") from error
    except (Exception, SystemExit) as error:
        raise FileProblem(
            f"{path.name}{_line_in(path, error)} cannot be imported: {said(error)}. Nothing but imports and "
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


def _line_in(path: Path, error: BaseException) -> str:
    there = str(path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == there]
    return f", line {lines[-1]}," if lines else ""


def said(error: BaseException) -> str:
    """Say what an author's code raised."""
    return masked(f"{type(error).__name__}: {error}")
