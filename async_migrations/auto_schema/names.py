"""Names that PostgreSQL would cut short or refuse, found before anything is created."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Constraint, Table
from sqlalchemy.exc import IdentifierError
from sqlalchemy.schema import conv

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
        _check(f"the models of {table.fullname!r} have", _names(target, table))
    for sequence in ddl.sequences(target.metadata):
        _check("a sequence of the models has", [sequence.name, *filter(None, [sequence.schema])])


def _check(whose: str, names: Iterable[str]) -> None:
    try:
        for name in names:
            quote_identifier(name)
    except (ValueError, IdentifierError) as error:
        raise AutoSchemaError(f"Nothing was added: {whose} a bad name. {error}") from None


def _names(target: Target, table: Table) -> Iterator[str]:
    yield table.name
    if table.schema is not None:
        yield table.schema
    for column in table.columns:
        yield column.name
        for type_ in ddl.named_types(column.type, target.dialect):
            yield from filter(None, [type_.name, type_.schema])
    yield from (ddl.plain_name(target.dialect, index) or "" for index in table.indexes)
    for constraint in table.constraints:
        name = _constraint_name(target, constraint)
        if name is not None:
            yield name


def _constraint_name(target: Target, constraint: Constraint) -> str | None:
    # SQLAlchemy shortens what a naming convention has made, and refuses a name that is an author's own.
    if isinstance(constraint.name, conv):
        return ddl.plain_name(target.dialect, constraint)
    return constraint.name if isinstance(constraint.name, str) else None
