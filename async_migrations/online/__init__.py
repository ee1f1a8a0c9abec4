"""What `self.op` offers: operations that do not stop a running service."""

from async_migrations.online.bench import KEEP
from async_migrations.online.operations import Operations

__all__ = ["KEEP", "Operations"]
