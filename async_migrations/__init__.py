"""Migrations for asyncio services on PostgreSQL: numbered, awaited, exactly once across replicas."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_migrations.auto_schema import AutoSchemaMigration
    from async_migrations.base import BaseMigration
    from async_migrations.errors import MigrationFailedError, MigrationsError
    from async_migrations.events import Event, Observer
    from async_migrations.migration import MigrationStatus, RepairReport, Report, State, Statistics
    from async_migrations.online.raw_type import RawType
    from async_migrations.plan import Finding, Plan
    from async_migrations.reporting import StartupLog
    from async_migrations.runner import MigrationRunner
    from async_migrations.schema.answer import SchemaDifference
    from async_migrations.schema.comparison import compare_schema

_HOMES = {
    "AutoSchemaMigration": "auto_schema",
    "BaseMigration": "base",
    "Event": "events",
    "Finding": "plan",
    "MigrationFailedError": "errors",
    "MigrationRunner": "runner",
    "MigrationStatus": "migration",
    "MigrationsError": "errors",
    "Observer": "events",
    "Plan": "plan",
    "RawType": "online.raw_type",
    "RepairReport": "migration",
    "Report": "migration",
    "SchemaDifference": "schema.answer",
    "StartupLog": "reporting",
    "State": "migration",
    "Statistics": "migration",
    "compare_schema": "schema.comparison",
}

__all__ = [
    "AutoSchemaMigration",
    "BaseMigration",
    "Event",
    "Finding",
    "MigrationFailedError",
    "MigrationRunner",
    "MigrationStatus",
    "MigrationsError",
    "Observer",
    "Plan",
    "RawType",
    "RepairReport",
    "Report",
    "SchemaDifference",
    "StartupLog",
    "State",
    "Statistics",
    "compare_schema",
]


def __getattr__(name: str) -> object:
    # Loaded when first named: the command line answers --help without SQLAlchemy.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
