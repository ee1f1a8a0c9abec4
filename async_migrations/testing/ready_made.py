"""Tests that every project with migrations wants: `from async_migrations.testing.ready_made import *` in a test file.

They need the pytest plugin's fixtures and no event loop of their own. Who wants some of them imports those by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec
from unittest import SkipTest

from async_migrations.errors import MigrationsError
from async_migrations.testing import checks, process_checks
from async_migrations.testing.checks import NothingToCheckError
from async_migrations.testing.databases import Databases
from async_migrations.testing.recipe import Recipe

__all__ = [
    "test_a_killed_leader_is_replaced",
    "test_data_survives",
    "test_downgrade_and_upgrade_give_the_same_schema",
    "test_downgrade_leads_back",
    "test_each_migration_applies_from_empty",
    "test_models_equal_migrations",
    "test_numbers_are_in_order",
    "test_replicas_apply_each_migration_once",
]

REPLICAS = 4

P = ParamSpec("P")


def _told(test: Callable[P, None]) -> Callable[P, None]:
    """Let a failure be its sentence, without the way that it came; a test about nothing is skipped."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        __tracebackhide__ = True
        try:
            test(*args, **kwargs)
        except NothingToCheckError as reason:
            raise SkipTest(str(reason)) from None
        except (AssertionError, MigrationsError) as error:
            raise AssertionError(str(error)) from None

    return wrapped


@_told
def test_numbers_are_in_order(migration_recipe: Recipe) -> None:
    """No number is there twice, and none is missing."""
    checks.numbers_are_in_order(migration_recipe)


@_told
def test_each_migration_applies_from_empty(
    migration_recipe: Recipe, migrated_databases: Databases, empty_database_url: str
) -> None:
    """Each migration applies by itself, in order, on an empty database."""
    migrated_databases.portal.call(checks.each_applies_from_empty, migration_recipe, empty_database_url)


@_told
def test_models_equal_migrations(
    migration_recipe: Recipe, migrated_databases: Databases, migrated_database_url: str, empty_database_url: str
) -> None:
    """The migrations lead to what the models say."""
    check = checks.models_equal_migrations
    migrated_databases.portal.call(check, migration_recipe, migrated_database_url, empty_database_url)


@_told
def test_downgrade_and_upgrade_give_the_same_schema(
    migration_recipe: Recipe, migrated_databases: Databases, empty_database_url: str
) -> None:
    """What is reverted and applied again leads to the same schema."""
    migrated_databases.portal.call(checks.down_and_up_is_the_same, migration_recipe, empty_database_url)


@_told
def test_downgrade_leads_back(migration_recipe: Recipe, migrated_databases: Databases, empty_database_url: str) -> None:
    """What is reverted leaves the schema as it was before."""
    migrated_databases.portal.call(checks.down_leads_back, migration_recipe, empty_database_url)


@_told
def test_data_survives(migration_recipe: Recipe, migrated_databases: Databases, migration_samples: Path) -> None:
    """Rows that were there once are there after all later migrations."""
    for sample in checks.samples(migration_samples):
        name = migrated_databases.take().result()
        url = migrated_databases.server.url(name)
        rows = sample.read_text("utf-8")
        migrated_databases.portal.call(checks.sample_survives, migration_recipe, url, sample.name, rows)
        migrated_databases.drop(name)


@_told
def test_replicas_apply_each_migration_once(migration_recipe: Recipe, empty_database_url: str) -> None:
    """Replicas that start together apply each migration once."""
    process_checks.replicas_apply_once(migration_recipe, empty_database_url, REPLICAS)


@_told
def test_a_killed_leader_is_replaced(
    migration_recipe: Recipe, migrated_databases: Databases, empty_database_url: str
) -> None:
    """A replica that is killed inside a migration leaves nothing by half, and the next one goes on."""
    process_checks.killed_leader_is_replaced(migration_recipe, empty_database_url, migrated_databases.portal)
