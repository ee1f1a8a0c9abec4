"""The command line: each command is one method of the runner."""

from async_migrations.cli.commands import main

__all__ = ["main"]
