"""What auto schema works on: one connection, the models, and whoever is told of each step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Dialect, ForeignKeyConstraint, MetaData, Table

from async_migrations.errors import AutoSchemaError
from async_migrations.events import Say

LEDGER = "schema_migrations"
"""The ledger's name where nobody says which one it is: outside a migration."""


class Name(NamedTuple):
    """Where a table, sequence, index or type stands in the database."""

    schema: str
    name: str


class Named(Protocol):
    """A table, sequence or type of the models."""

    @property
    def name(self) -> str | None:
        """Its name, unquoted."""

    @property
    def schema(self) -> str | None:
        """The schema that the models give it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One connection, the models that its database shall follow, and whoever is told of each step.

    Attributes:
        connection: the synchronous face of the connection, inside a transaction.
        metadata: the models.
        say: takes a logging level and a sentence.
        default_schema: where an unqualified name is created: the first schema of `search_path` that exists.
        ledger: the engine's own table, which is nobody's model.
        refused: what could not be created, and why was told.
        elsewhere: types that the models leave to `search_path`, and where it finds them.
        waiting: foreign keys that were left out until what they refer to is there.
    """

    connection: Connection
    metadata: MetaData
    say: Say
    default_schema: str | None
    ledger: Name
    refused: set[Name] = field(default_factory=set)
    elsewhere: dict[Name, Name] = field(default_factory=dict)
    waiting: list[ForeignKeyConstraint] = field(default_factory=list)

    @property
    def dialect(self) -> Dialect:
        """How SQL is written for this connection."""
        return self.connection.dialect

    @property
    def tables(self) -> list[Table]:
        """The tables of the models, the ledger aside: that one is the engine's own."""
        return [table for table in self.metadata.tables.values() if not self._is_ledger(table)]

    def _is_ledger(self, table: Table) -> bool:
        return (self.declared_schema(table) or self.default_schema, table.name) == self.ledger

    def declared_schema(self, item: Named) -> str | None:
        """Return the schema that the models give `item`, `schema_translate_map` considered."""
        return self.connection.schema_for_object(item)  # type: ignore[arg-type]  # it only reads the attribute

    def name_of(self, item: Named) -> Name:
        """Return the full name of `item` in the database.

        Raises:
            AutoSchemaError: it names no schema, and no schema of `search_path` exists.
        """
        schema = self.declared_schema(item) or self.default_schema
        if schema is None:
            raise AutoSchemaError(
                f"{item.name} has no place: the models name no schema for it, and no schema of search_path exists. "
                "Create one (CREATE SCHEMA public), or set search_path for this role."
            )
        return Name(str(schema), str(item.name))

    def shown(self, item: Named) -> str:
        """Return how `item` is called in the log."""
        schema = self.declared_schema(item)
        return f"{schema}.{item.name}" if schema else str(item.name)

    def info(self, sentence: str) -> None:
        """Tell of a step."""
        self.say(logging.INFO, sentence)

    def warn(self, sentence: str) -> None:
        """Tell of something that was seen and left as it is."""
        self.say(logging.WARNING, sentence)

    def refuse(self, name: Name, sentence: str) -> None:
        """Tell why something cannot be created."""
        self.refused.add(name)
        self.warn(sentence)

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Tell that a step begins and, unless it fails, that it is done."""
        self.info(doing)
        yield
        self.info(f"✓ {done}")
