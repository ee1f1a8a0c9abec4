"""Steps for domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.dialects.postgresql import DOMAIN

from async_migrations import ddl
from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import type_node
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.conversion import using
from async_migrations.schema.generate.source import Group, Node, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import raw_type, type_source
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.snapshot import Domain, DomainCheck
from async_migrations.schema.table import Column, Name, Table


def added(context: Context, it: d.DomainAdded) -> Iterator[Step]:
    """Create a domain."""
    up = tuple(_create_domain(context, it.domain, told=False))
    yield Step(Stage.MAIN, Phase.DOMAINS, up, (op("drop_domain", it.name.name, schema=context.schema(it.name)),))


def removed(context: Context, it: d.DomainRemoved, stage: Stage) -> Iterator[Step]:
    """Drop a domain after its last user."""
    down = tuple(_create_domain(context, it.domain, told=True))
    told = (it.domain.type, *(check.definition for check in it.domain.checks))
    yield Step(
        stage, Phase.DROP_DOMAINS, (op("drop_domain", it.name.name, schema=context.schema(it.name)),), down, told=told
    )


def changed(context: Context, it: d.DomainChanged) -> Iterator[Step]:
    """Alter a domain; one of another type or collation is made anew, or one in arrays that looks at its rows."""
    in_arrays = any(column.type.endswith("]") for _, column in _users(context, it.name))
    if {"type", "collation"} & {*it.parts} or (in_arrays and {"nullable", "checks"} & {*it.parts}):
        yield _remade(context, it)
        return
    up, down = _altered(context, it.before, it.after, told=False), _altered(context, it.after, it.before, told=True)
    told = tuple(check.definition for check in it.before.checks)
    yield Step(Stage.MAIN, Phase.CONVERT, tuple(up), tuple(down), told=told)


def _declared(context: Context, name: Name) -> DOMAIN | None:
    default = context.wanted.default_schema
    for table in context.words.tables.values():
        for column in table.columns:
            for found in ddl.named_types(column.type, context.words.dialect):
                if isinstance(found, DOMAIN) and Name(found.schema or default or "", found.name or "") == name:
                    return found
    return None


def _create_domain(context: Context, domain: Domain, *, told: bool) -> Iterator[Group]:
    own, name = context.schema(domain.name), domain.name.name
    first, *others = domain.checks or (None,)
    options: dict[str, Any] = {"nullable": None if domain.nullable else False}
    options["server_default"] = _domain_default(context, domain, told=told)
    options["collation"] = _bare(domain.collation)
    if first is not None:
        options |= {"check": _condition(context, domain, first, told=told), "constraint_name": first.name}
    yield op("create_domain", name, _domain_type(context, domain, told=told), schema=own, **options)
    for check in others:
        yield op("create_domain_constraint", check.name, name, _checked(check), schema=own)


def _domain_type(context: Context, domain: Domain, *, told: bool) -> Node:
    declared = None if told else _declared(context, domain.name)
    return raw_type(domain.type) if declared is None else type_source(declared.data_type, context.words.dialect)


def _domain_default(context: Context, domain: Domain, *, told: bool) -> Any:
    if domain.default is None:
        return None
    declared = None if told else _declared(context, domain.name)
    if declared is None or declared.default is None:
        return sql_node(domain.default)
    return declared.default if isinstance(declared.default, str) else sql_node(context.words.sql(declared.default))


def _condition(context: Context, domain: Domain, check: DomainCheck, *, told: bool) -> str:
    declared = None if told else _declared(context, domain.name)
    if declared is None or declared.check is None or len(domain.checks) > 1:
        return _checked(check)
    return context.words.sql(declared.check)


def _checked(check: DomainCheck) -> str:
    inside = check.definition.removeprefix("CHECK ").strip()
    return inside[1:-1] if inside.startswith("(") and inside.endswith(")") else inside


def _bare(collation: str | None) -> str | None:
    return collation.rpartition(".")[2].strip('"') if collation else None


def _altered(context: Context, before: Domain, after: Domain, *, told: bool) -> Iterator[Group]:
    name, own = after.name.name, context.schema(after.name)
    here, there = {each.name: each for each in before.checks}, {each.name: each for each in after.checks}
    for check in before.checks:
        if there.get(check.name) != check:
            yield op("drop_domain_constraint", check.name, name, schema=own)
    changed: dict[str, Any] = {}
    if before.default != after.default:
        default = _domain_default(context, after, told=told)
        changed["server_default"] = literal(None) if default is None else default
    if before.nullable != after.nullable:
        changed["nullable"] = after.nullable
    if changed:
        yield op("alter_domain", name, **changed, schema=own)
    for check in after.checks:
        if here.get(check.name) != check:
            yield op(
                "create_domain_constraint", check.name, name, _condition(context, after, check, told=told), schema=own
            )


def _remade(context: Context, it: d.DomainChanged) -> Step:
    up = tuple(_replaced(context, it.before, it.after, told=False))
    down = tuple(_replaced(context, it.after, it.before, told=True))
    told = (it.before.type, *(check.definition for check in it.before.checks))
    return Step(Stage.MAIN, Phase.CONVERT, up, down, told=told)


def _replaced(context: Context, before: Domain, after: Domain, *, told: bool) -> Iterator[Group]:
    """Make a domain under its name, move its columns to it, and drop the old one."""
    name, own, away = after.name.name, context.schema(after.name), f"{after.name.name[:59]}_old"
    yield op("rename_domain", name, away, schema=own)
    yield from _create_domain(context, after, told=told)
    for table, column in _users(context, after.name):
        sql, shape = context.quote(column.name), "[]" if column.type.endswith("]") else ""
        cast = f"{sql}::{before.type}[]::{after.type}[]" if shape else using(sql, before.type, after.type)
        node = type_node(context, table.name, column)
        schema = context.schema(table.name)
        yield op("alter_column", table.name.name, column.name, type_=node, postgresql_using=cast, schema=schema)
    yield op("drop_domain", away, schema=own)


def _users(context: Context, domain: Name) -> Iterator[tuple[Table, Column]]:
    """Yield the columns of a domain, or of arrays of it, that are there before and after."""
    for table in context.wanted.tables:
        if table.name not in context.new_tables:
            for column in table.columns:
                if column.type_name == domain and (table.name, column.name) not in context.new_columns:
                    yield table, column
