"""Missing tables, created as SQLAlchemy's create_all creates them, and each step told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, MetaData, Table
from sqlalchemy.sql.ddl import SchemaGenerator

from async_migrations import ddl
from async_migrations.auto_schema import constraints, indexes
from async_migrations.auto_schema.snapshot import KINDS, TABLES, VIEWS, Snapshot, read_foreign_keys, read_visible
from async_migrations.auto_schema.target import Target
from async_migrations.errors import AutoSchemaError

COLUMN_KINDS = VIEWS | {"f"}


def check(target: Target, snapshot: Snapshot) -> None:
    """Look whose name is taken by something that is no table.

    A view or foreign table under the name of a model is common and works; it is told and left as it is.

    Raises:
        AutoSchemaError: the name is taken by what no rows can be read from, or a new table would hide another one.
    """
    for table in target.tables:
        kind = snapshot.kind(target.name_of(table))
        if kind is None or kind in TABLES or (kind in VIEWS and is_view(table)):
            continue
        taken = f"{table.fullname} is {KINDS.get(kind, 'something else')} in the database and a table in the models"
        if kind not in COLUMN_KINDS:
            raise AutoSchemaError(
                f"The table {table.fullname} cannot be created: {taken}. Rename one of the two, then start again."
            )
        target.warn(f"{taken}: left as it is.")
    _check_hiding(target, snapshot)


def _check_hiding(target: Target, snapshot: Snapshot) -> None:
    # create_all would be content with the namesake, and would not add what that lacks; an empty table before it on
    # search_path would hide its rows. Which of the two is meant nobody can know.
    unqualified = {table.name for table in missing(target, snapshot) if target.declared_schema(table) is None}
    hidden = read_visible(target.connection, unqualified) if unqualified else {}
    if hidden:
        here, names = target.default_schema, sorted(hidden)
        there = ", ".join(".".join(hidden[name]) for name in names)
        raise AutoSchemaError(
            f"Nothing was created: {', '.join(names)} would be created in the schema {here}, the first of search_path, "
            f"and would hide {there}, which the service sees now. If {there} is meant, name that schema in the "
            f"models, or put it before {here} in search_path. If {here} shall have its own, name {here} in the "
            "models or in schema_translate_map, or take the other schema out of search_path."
        )


def missing(target: Target, snapshot: Snapshot) -> list[Table]:
    """Return the tables (with SQLAlchemy 2.1 also the views) of the models whose name is free."""
    return [table for table in target.tables if snapshot.kind(target.name_of(table)) is None]


def existing(target: Target, snapshot: Snapshot) -> list[Table]:
    """Return the tables of the models that the database has as tables."""
    return [table for table in target.tables if snapshot.is_table(target.name_of(table))]


def is_view(table: Table) -> bool:
    """Whether the models themselves call it a view, as they can since SQLAlchemy 2.1."""
    return bool(getattr(table, "is_view", False))


def create(
    target: Target, snapshot: Snapshot, without: Collection[ForeignKeyConstraint] = ()
) -> tuple[list[str], list[str]]:
    """Create the missing tables and their indexes, in the order of their foreign keys.

    Foreign keys that go in a circle are added once all their tables stand.

    Args:
        target: where.
        snapshot: what is there.
        without: foreign keys to leave out.

    Returns:
        The names of the tables, and of the indexes created along with them.
    """
    lacking = missing(target, snapshot)
    creator = Creator(target, snapshot, lacking, without)
    if lacking:
        creator.create(target.metadata)
        _add_set_apart(target, lacking, without)
    return creator.created_tables, creator.created_indexes


def _add_set_apart(target: Target, created: list[Table], without: Collection[ForeignKeyConstraint]) -> None:
    """Add foreign keys that CREATE TABLE left out because of what an earlier create_all did to the models."""
    keys = [key for table in created for key in table.foreign_key_constraints if key not in without]
    for key in sorted(filter(ddl.is_set_apart, keys), key=lambda key: (key.table.fullname, key.column_keys)):
        there = read_foreign_keys(target.connection, target.name_of(key.table))
        if ddl.applies(target.dialect, key) and not any(constraints.same_key(key, found) for found in there):
            target.connection.execute(ddl.add_constraint(key))


class Creator(SchemaGenerator):
    """SQLAlchemy's own create_all over tables that are known to be missing, which says what it does.

    It keeps all that hangs on create_all: events of tables and metadata, DDL() listeners, comments, views.
    """

    def __init__(
        self, target: Target, snapshot: Snapshot, tables: list[Table], without: Collection[ForeignKeyConstraint]
    ) -> None:
        super().__init__(target.dialect, target.connection, checkfirst=True, tables=tables)  # type: ignore[no-untyped-call]  # SQLAlchemy's
        self.target = target
        self.snapshot = snapshot
        self.without = without
        self.created_tables: list[str] = []
        self.created_indexes: list[str] = []

    def create(self, metadata: MetaData) -> None:
        """Create the tables."""
        self.traverse_single(metadata)

    def _can_create_table(self, table: Table) -> bool:  # noqa: ARG002 - SQLAlchemy's
        # SQLAlchemy would ask for each table.
        return True

    def visit_table(self, table: Table, *args: Any, **options: Any) -> None:
        """Create one table and what belongs to it."""
        self.target.info(f"Creating missing {_noun(table)}: {table.fullname}")
        keys = options.get("include_foreign_key_constraints") or ()
        options["include_foreign_key_constraints"] = [key for key in keys if key not in self.without]
        super().visit_table(table, *args, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's
        self._stands(table)

    def visit_index(self, index: Index, create_ok: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - SQLAlchemy's
        """Create all indexes of the table when SQLAlchemy comes with the first, in the order of their names."""
        table = index.table
        if table is not None and self._stands(table):
            self.created_indexes += indexes.create(self.target, self.snapshot, [table])

    def visit_foreign_key_constraint(self, constraint: ForeignKeyConstraint) -> None:
        """Add a foreign key of a circle."""
        if constraint not in self.without and ddl.applies(self.target.dialect, constraint):
            with self.with_ddl_events(constraint):
                self.connection.execute(ddl.add_constraint(constraint))

    def _stands(self, table: Table) -> bool:
        if table.fullname in self.created_tables:
            return False
        self.created_tables.append(table.fullname)
        self.target.info(f"✓ Created {_noun(table)}: {table.fullname}")
        return True


def _noun(table: Table) -> str:
    return "view" if is_view(table) else "table"
