"""What a test suite needs: private servers and databases."""

from async_migrations.testing.given import GivenServer
from async_migrations.testing.recipe import Recipe
from async_migrations.testing.server import Server, ServerError, find_binaries, temporary_server
from async_migrations.testing.single import BeforeMigration

__all__ = ["BeforeMigration", "GivenServer", "Recipe", "Server", "ServerError", "find_binaries", "temporary_server"]
