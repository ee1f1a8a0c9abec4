"""The command line: each command is one method of the runner, writes files, or looks at the schema."""

from async_migrations.cli import files, schema
from async_migrations.cli.commands import main

__all__ = ["files", "main", "schema"]
