"""A type of which only the SQL is known."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import UserDefinedType


class RawType(UserDefinedType[Any]):
    """A column's type as PostgreSQL writes it, for types that SQLAlchemy has no class for.

    Args:
        sql: the type, such as `"public.citext"` or `"vector(3)"`.
    """

    cache_ok = True

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: Any) -> str:
        """Return the SQL."""
        return self.sql
