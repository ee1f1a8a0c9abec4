"""What a test suite needs: private servers and databases."""

from async_migrations.testing.server import Server, ServerError, find_binaries, temporary_server

__all__ = ["Server", "ServerError", "find_binaries", "temporary_server"]
