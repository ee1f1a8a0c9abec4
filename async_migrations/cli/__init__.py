"""The command line: each command is one method of the runner, or looks at the schema."""

from async_migrations.cli import schema
from async_migrations.cli.commands import main

__all__ = ["main", "schema"]
