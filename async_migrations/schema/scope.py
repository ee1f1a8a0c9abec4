"""What of a live schema the metadata owns, and what is left alone whatever the metadata says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name, Table, TableKind, parse_name

Include = Callable[[str, Name], bool]
"""Told the kind ("table", "enum", "domain", "sequence") and the name, says whether a thing is compared."""

OWN_LEDGER = frozenset({"migration_name", "applied_at", "execution_time_ms"})
OTHER_LEDGERS: Mapping[str, frozenset[str]] = {
    "alembic_version": frozenset({"version_num"}),
    "aerich": frozenset({"version", "app", "content"}),
    "ar_internal_metadata": frozenset({"key", "value"}),
    "atlas_schema_revisions": frozenset({"version", "hash"}),
    "databasechangelog": frozenset({"id", "author", "filename", "dateexecuted"}),
    "databasechangeloglock": frozenset({"id", "locked", "lockgranted"}),
    "django_migrations": frozenset({"app", "name", "applied"}),
    "doctrine_migration_versions": frozenset({"version", "executed_at"}),
    "flyway_schema_history": frozenset({"installed_rank", "script", "checksum"}),
    "goose_db_version": frozenset({"version_id", "is_applied"}),
    "knex_migrations": frozenset({"name", "batch"}),
    "knex_migrations_lock": frozenset({"is_locked"}),
    "migration": frozenset({"name", "app_name", "ran_on"}),
    "migrations": frozenset({"migration", "batch"}),
    "pgmigrations": frozenset({"name", "run_on"}),
    "refinery_schema_history": frozenset({"version", "applied_on", "checksum"}),
    "schema_migrations": frozenset({"version"}),
    "schema_version": frozenset({"version"}),
    "SequelizeMeta": frozenset({"name"}),
    "_prisma_migrations": frozenset({"migration_name", "checksum"}),
    "_sqlx_migrations": frozenset({"version", "checksum"}),
    "_yoyo_log": frozenset({"migration_hash"}),
    "_yoyo_migration": frozenset({"migration_hash"}),
    "_yoyo_version": frozenset({"version"}),
    "yoyo_lock": frozenset({"locked", "pid"}),
    "__EFMigrationsHistory": frozenset({"MigrationId", "ProductVersion"}),
}
"""Tables by which other tools remember what they did, and columns by which they are known."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared.

    Attributes:
        schemas: only things in these.
        ledger: the engine's own table, `name` or `schema.name`.
        include: has the last word on what is in it.
    """

    schemas: frozenset[str]
    ledger: str = "schema_migrations"
    include: Include | None = None

    def holds(self, kind: str, name: Name) -> bool:
        """Whether a thing is compared, on either side."""
        return name.schema in self.schemas and (self.include is None or self.include(kind, name))


def excluding(patterns: Collection[str]) -> Include | None:
    """Return what leaves out things by their names.

    Args:
        patterns: as a shell matches file names, `audit.*` or `celery_*`: against `schema.name`, and where there is no
            dot in it against the bare name as well.
    """
    if not patterns:
        return None

    def include(_kind: str, name: Name) -> bool:
        whole = f"{name.schema}.{name.name}"
        return not any(
            fnmatchcase(whole, each) or ("." not in each and fnmatchcase(name.name, each)) for each in patterns
        )

    return include


def is_anything_compared(scope: Scope, *sides: Snapshot) -> bool:
    """Whether a scope leaves anything of either side; also True where there is nothing."""
    kinds = [
        (kind, each.name)
        for side in sides
        for kind, things in (
            ("table", side.tables),
            ("enum", side.enums),
            ("domain", side.domains),
            ("sequence", side.sequences),
        )
        for each in things
    ]
    return not kinds or any(scope.holds(*each) for each in kinds)


def is_ledger(table: Table, ledger: str) -> bool:
    """Whether a table is this engine's ledger or another tool's."""
    columns = {column.name for column in table.columns}
    if (table.name.schema, table.name.name)[-len(parse_name(ledger)) :] == parse_name(ledger):
        return True
    marks = OTHER_LEDGERS.get(table.name.name)
    return columns >= OWN_LEDGER or (marks is not None and columns >= marks)


def removable(live: Snapshot, wanted: Collection[Name], scope: Scope) -> tuple[Table, ...]:
    """Return the tables that the metadata lacks and that may be named for it.

    Left out are members of extensions, foreign tables, ledgers, and every partition: what a partitioned table is
    cut into is the database's business, and goes with it.

    Args:
        live: the schema as it is, after the renames.
        wanted: the tables of the metadata.
        scope: what is compared.
    """
    return tuple(
        table
        for table in live.tables
        if table.name not in wanted
        and scope.holds("table", table.name)
        and table.extension is None
        and table.kind in {TableKind.TABLE, TableKind.PARTITIONED}
        and not is_ledger(table, scope.ledger)
    )
