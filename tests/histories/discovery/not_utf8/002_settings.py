"""Café"""

from async_migrations import BaseMigration
