"""What a test suite needs: private servers and databases."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_migrations.testing.binaries import ServerError, find_binaries
    from async_migrations.testing.given import GivenServer
    from async_migrations.testing.recipe import Recipe
    from async_migrations.testing.server import Server, temporary_server
    from async_migrations.testing.single import BeforeMigration

_HOMES = {
    "BeforeMigration": "single",
    "GivenServer": "given",
    "Recipe": "recipe",
    "Server": "server",
    "ServerError": "binaries",
    "find_binaries": "binaries",
    "temporary_server": "server",
}

__all__ = ["BeforeMigration", "GivenServer", "Recipe", "Server", "ServerError", "find_binaries", "temporary_server"]


def __getattr__(name: str) -> object:
    # Loaded when first named: who runs a server needs no thread that makes databases.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
