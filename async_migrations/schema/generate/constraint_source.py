"""Constraints as Python source: as operations, and as parts of a new table."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.dialects.postgresql import ExcludeConstraint

from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.source import Group, call
from async_migrations.schema.generate.step import op
from async_migrations.schema.generate.type_source import SQLALCHEMY
from async_migrations.schema.generate.words import checked, condition_node, sql_node
from async_migrations.schema.table import Constraint, ConstraintKind, Name

_ACTION = re.compile(r" ON (DELETE|UPDATE) ((?:SET NULL|SET DEFAULT)(?: \([^)]*\))?|CASCADE|RESTRICT)")
_INCLUDE = re.compile(r"INCLUDE \((.*?)\)(?: |$)")
_PART = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')


def creation(context: Context, table: Name, constraint: Constraint, *, told: bool = False, **more: Any) -> Group:
    """Return the operation that adds a constraint to a table.

    Args:
        context: all differences.
        table: whose constraint it is.
        constraint: as PostgreSQL has read it.
        told: whether it is one of the live schema, of which there are the server's words only.
        more: further keywords, such as `not_valid` and `using_index`.
    """
    if told and constraint.definition.endswith(" NOT ENFORCED"):
        return _as_printed(context, table, constraint)
    more |= {"schema": context.schema(table), "comment": constraint.comment}
    columns = [*constraint.columns]
    match constraint.kind:
        case ConstraintKind.PRIMARY_KEY | ConstraintKind.UNIQUE:
            kind = "primary_key" if constraint.kind is ConstraintKind.PRIMARY_KEY else "unique_constraint"
            options = deferral(constraint)
            if "using_index" not in more:
                options |= key_options(constraint)
            given = [columns] if "using_index" not in more else []
            return op(f"create_{kind}", constraint.name, table.name, *given, **options, **more)
        case ConstraintKind.FOREIGN_KEY:
            assert constraint.target is not None  # noqa: S101 - each foreign key has one
            named = (constraint.name, table.name, constraint.target.name, columns, [*constraint.target_columns])
            schema = context.schema(constraint.target)
            return op("create_foreign_key", *named, referent_schema=schema, **reference_options(constraint), **more)
        case ConstraintKind.CHECK:
            condition = checked(constraint) if told else context.words.condition(table, constraint)
            inherited = {"no_inherit": True} if constraint.definition.endswith("NO INHERIT") else {}
            return op("create_check_constraint", constraint.name, table.name, condition, **inherited, **more)
    return _exclusion(context, table, constraint, told=told, **more)


def dropping(context: Context, table: Name, constraint: Constraint) -> Group:
    """Return the operation that drops a constraint."""
    return op("drop_constraint", constraint.name, table.name, schema=context.schema(table))


def element(context: Context, table: Name, constraint: Constraint) -> Group | None:
    """Return a constraint as a part of a new table; None where only an operation can say it."""
    name = {} if constraint.implicit else {"name": constraint.name}
    comment = {"comment": constraint.comment} if constraint.comment else {}
    match constraint.kind:
        case ConstraintKind.PRIMARY_KEY | ConstraintKind.UNIQUE:
            construct = "PrimaryKey" if constraint.kind is ConstraintKind.PRIMARY_KEY else "Unique"
            options = deferral(constraint) | {
                f"postgresql_{key}": each for key, each in key_options(constraint).items()
            }
            return _part(construct, *constraint.columns, **name, **options, **comment)
        case ConstraintKind.FOREIGN_KEY:
            target = constraint.target
            if target is None or "." in target.name + target.schema + "".join(constraint.target_columns):
                return None
            schema = context.schema(target)
            prefix = f"{schema}.{target.name}" if schema else target.name
            remote = [f"{prefix}.{column}" for column in constraint.target_columns]
            options = reference_options(constraint)
            return _part("ForeignKey", [*constraint.columns], remote, **name, **options, **comment)
        case ConstraintKind.CHECK if not constraint.definition.endswith("NO INHERIT"):
            condition = condition_node(context.words.condition(table, constraint))
            return _part("Check", condition, **name, **comment)
    return None


def deferral(constraint: Constraint) -> dict[str, Any]:
    """Return when a constraint is checked, as keywords."""
    found: dict[str, Any] = {"deferrable": True} if constraint.deferrable else {}
    return found | ({"initially": "DEFERRED"} if constraint.deferred else {})


def key_options(constraint: Constraint) -> dict[str, Any]:
    """Return what else a key says, as keywords of the operations."""
    found: dict[str, Any] = {"nulls_not_distinct": True} if "NULLS NOT DISTINCT" in constraint.definition else {}
    included = _INCLUDE.search(constraint.definition)
    return found | ({"include": listed(included[1])} if included else {})


def reference_options(constraint: Constraint) -> dict[str, Any]:
    """Return what else a foreign key says."""
    found: dict[str, Any] = {f"on{verb.lower()}": action for verb, action in _ACTION.findall(constraint.definition)}
    found |= {"match": "FULL"} if " MATCH FULL" in constraint.definition else {}
    return found | deferral(constraint)


def listed(text: str) -> list[str]:
    """Cut a list of names in SQL."""
    return [plain or quoted.replace('""', '"') for quoted, plain in _PART.findall(text)]


def _part(construct: str, *arguments: Any, **keywords: Any) -> Group:
    return call(f"sa.{construct}Constraint", *arguments, **keywords, imports=SQLALCHEMY)


def _as_printed(context: Context, table: Name, constraint: Constraint) -> Group:
    name = context.quote(constraint.name)
    return op("execute", f"ALTER TABLE {context.sql_name(table)} ADD CONSTRAINT {name} {constraint.definition}")


def _exclusion(context: Context, table: Name, constraint: Constraint, *, told: bool, **more: Any) -> Group:
    declared: ExcludeConstraint | None = None if told else context.words.constraint(table, constraint)
    if declared is None:
        return _as_printed(context, table, constraint)
    elements = []
    for expression, name, operator in list[Any](declared._render_exprs):  # noqa: SLF001 - the construct has no public word for it
        column = name if isinstance(expression, str) else getattr(expression, "name", None)
        is_column = getattr(expression, "table", None) is not None and column is not None
        elements.append((column if is_column else sql_node(context.words.sql(expression)), operator))
    where = None if declared.where is None else context.words.sql(declared.where)
    options = {"using": declared.using, "where": where, "opclasses": dict(declared.ops) or None}
    options |= deferral(constraint)
    return op("create_exclude_constraint", constraint.name, table.name, *elements, **options, **more)
