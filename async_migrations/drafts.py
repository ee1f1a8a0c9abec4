"""Files that get their names when they are complete, all of them or none."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path


def write_all(texts: Mapping[Path, str]) -> None:
    """Write files in their order; whenever this process dies, a file that has its name is complete.

    Args:
        texts: what each file shall hold.

    Raises:
        OSError: one cannot be written, or there is a file of its name; then none is left.
    """
    unnamed = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in texts}
    named: list[Path] = []
    try:
        for path, text in texts.items():
            unnamed[path].write_text(text, encoding="utf-8")
        for path in texts:
            _name(unnamed[path], path)
            named.append(path)
    except BaseException:
        for path in named:
            path.unlink(missing_ok=True)
        raise
    finally:
        for path in unnamed.values():
            path.unlink(missing_ok=True)


def _name(unnamed: Path, path: Path) -> None:
    try:
        # Unlike a rename it fails where there is a file of that name.
        path.hardlink_to(unnamed)
    except FileExistsError as error:
        raise _there_is(path) from error
    except OSError as error:  # a file system without hard links
        if path.exists():
            raise _there_is(path) from error
        unnamed.rename(path)


def _there_is(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
