"""The models of a project, imported from where it was said that they are."""

from __future__ import annotations

import importlib
import traceback
from functools import reduce
from pathlib import Path
from typing import Any

from async_migrations.errors import ConfigurationError, masked


def load_base(place: str) -> Any:
    """Import the models' base.

    Args:
        place: `module:attribute`.

    Raises:
        ConfigurationError: it is not there, its module fails, or it is something else.
    """
    name, colon, attribute = place.partition(":")
    if not (name and colon and attribute):
        raise ConfigurationError(f"base is {masked(place)!r}, and must be module:attribute, such as models:Base.")
    module = _import(name, place)
    try:
        found = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ConfigurationError(f"base is {place!r}, and {name} has no {attribute}. {_bases(module)}") from None
    if not _is_base(found):
        raise ConfigurationError(
            f"base is {place!r}, which is {type(found).__name__}: no declarative base and no MetaData. {_bases(module)}"
        )
    return found


def _import(name: str, place: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"base is {place!r}, and there is no module {error.name} in {Path.cwd()} or installed. With -C DIR "
                "another directory is the project's."
            ) from None
        raise ConfigurationError(_broken(name, place, error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_broken(name, place, error)) from error


def _broken(name: str, place: str, error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    said = masked(f"{type(error).__name__}: {error}")
    return f"base is {place!r}, and {name} cannot be imported: {said}{where}."


def _is_base(found: object) -> bool:
    from sqlalchemy import MetaData

    return isinstance(found, MetaData) or isinstance(getattr(found, "metadata", None), MetaData)


def _bases(module: Any) -> str:
    found = [name for name, value in vars(module).items() if isinstance(value, type) and _is_base(value)]
    bases = [name for name in found if not hasattr(getattr(module, name), "__table__")]
    return f"There is {' and '.join(bases)}." if bases else "It must be the class that the models inherit from."
