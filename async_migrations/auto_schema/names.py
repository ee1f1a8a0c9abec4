"""Names that PostgreSQL would cut short or refuse, found before anything is created."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table
from sqlalchemy.exc import IdentifierError

from async_migrations import ddl
from async_migrations.auto_schema.target import Target
from async_migrations.errors import AutoSchemaError
from async_migrations.sql import quote_identifier


def check(target: Target) -> None:
    """Look at each name of the models.

    SQLAlchemy counts characters where PostgreSQL counts bytes, and a name that is cut is missing again next time.

    Raises:
        AutoSchemaError: a name is empty, holds a NUL, or is longer than 63 bytes.
    """
    for table in target.tables:
        try:
            for name in _names(target, table):
                quote_identifier(name)
        except (ValueError, IdentifierError) as error:
            raise AutoSchemaError(
                f"Nothing was added: the models of {table.fullname!r} have a bad name. {error}"
            ) from None


def _names(target: Target, table: Table) -> Iterator[str]:
    yield table.name
    if table.schema is not None:
        yield table.schema
    yield from (column.name for column in table.columns)
    yield from (ddl.plain_name(target.dialect, index) or "" for index in table.indexes)
    yield from (constraint.name for constraint in table.constraints if isinstance(constraint.name, str))
