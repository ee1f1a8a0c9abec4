"""What rows that exist get in a new column: the value that the application gives new ones, as SQL."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import ColumnElementColumnDefault, ScalarElementColumnDefault
from sqlalchemy.sql.visitors import iterate

from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.table import Column, Name
from async_migrations.sql import quote_literal


def value_for_rows(context: Context, table: Name, column: Column) -> Any:
    """Return the source of a default that gives rows what the models' own gives; None where only code knows it."""
    declared = context.words.column(table, column.name)
    default = declared.default if declared is not None else None
    if declared is not None and isinstance(default, ScalarElementColumnDefault):
        written = _scalar(context, declared.type, default.arg)
        return None if written is None else sql_node(written)
    if isinstance(default, ColumnElementColumnDefault) and _stands_alone(default.arg):
        return sql_node(context.words.sql(default.arg))
    return None


def _scalar(context: Context, type_: sa.types.TypeEngine[Any], value: Any) -> str | None:
    dialect = context.words.dialect
    if isinstance(value, bytes):
        return f"decode('{value.hex()}', 'hex')"
    if isinstance(value, float) and not math.isfinite(value):
        return f"'{value}'"
    if isinstance(type_.dialect_impl(dialect), sa.ARRAY) and not value:
        return "'{}'"  # an empty ARRAY[] has no type
    try:
        # The driver encodes documents itself, so that its dialect has no way to write one.
        if isinstance(type_.dialect_impl(dialect), sa.JSON):
            return quote_literal(json.dumps(value, ensure_ascii=False))
        processor = type_.dialect_impl(dialect).literal_processor(dialect)
        return None if processor is None else str(processor(value))
    except Exception:
        # A value that only the application's own code can write: the two steps remain.
        return None


def _stands_alone(clause: ClauseElement) -> bool:
    """Whether an expression may be a DEFAULT, in which PostgreSQL allows neither a query nor a column."""
    if isinstance(clause, sa.TextClause):
        return re.search(r"\bselect\b", clause.text, re.IGNORECASE) is None
    made = isinstance(clause, FunctionElement | sa.Cast | sa.BindParameter | sa.BinaryExpression)
    return made and not any(
        isinstance(each, sa.SelectBase | sa.TableClause | sa.ColumnClause) for each in iterate(clause)
    )
