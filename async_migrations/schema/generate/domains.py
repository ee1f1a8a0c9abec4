"""Steps for domains."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Any

from sqlalchemy.dialects.postgresql import DOMAIN

from async_migrations import ddl
from async_migrations.schema import difference as d
from async_migrations.schema.generate.column_source import type_node
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.conversion import uncut, using
from async_migrations.schema.generate.source import Group, Node, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.generate.type_source import raw_type, type_source
from async_migrations.schema.generate.words import sql_node
from async_migrations.schema.snapshot import Domain, DomainCheck
from async_migrations.schema.table import Column, Name, Table


def added(context: Context) -> Iterator[Step]:
    """Create all new domains: what others are made of first."""
    for domain in ordered([each.domain for each in context.of(d.DomainAdded)]):
        if not _comes_along(context, domain.name):
            up = tuple(_create_domain(context, domain, told=False))
            yield Step(Stage.MAIN, Phase.DOMAINS, up, (_drop(context, domain.name, domain.name.name),))


def removed(context: Context, stage: Stage) -> Iterator[Step]:
    """Drop domains after their last users: those that are made of others first."""
    for domain in reversed(ordered([each.domain for each in context.of(d.DomainRemoved)])):
        up, down = _drop(context, domain.name, domain.name.name), tuple(_create_domain(context, domain, told=True))
        told = (domain.type, *(check.definition for check in domain.checks))
        yield Step(stage, Phase.DROP_DOMAINS, (up,), down, told=told)


def ordered(domains: Collection[Domain]) -> list[Domain]:
    """Return domains so that each comes after the one that it is made of."""
    named = {each.name: each for each in domains}
    graph = {name: [other.name for other in domains if _is_made_of(named[name], other)] for name in sorted(named)}
    return [named[name] for name in TopologicalSorter(graph).static_order()]


def _is_made_of(domain: Domain, other: Domain) -> bool:
    return domain.type.partition("[")[0] == str(other.name)


def changed(context: Context, it: d.DomainChanged) -> Iterator[Step]:
    """Alter a domain; one of another type or collation is made anew, or one in arrays that looks at its rows."""
    if _comes_along(context, it.name):
        return
    if _is_remade(context, it):
        yield _remade(context, it)
        return
    up, down = _altered(context, it.before, it.after, told=False), _altered(context, it.after, it.before, told=True)
    told = tuple(check.definition for check in it.before.checks)
    refused = it.before.nullable and not it.after.nullable
    remarks = ("All columns of it are looked at while nobody writes to their tables.",) if refused else ()
    yield Step(Stage.MAIN, Phase.CONVERT, tuple(up), tuple(down), told=told, remarks=remarks)
    for check in it.after.checks:
        if check not in it.before.checks:
            look = op("validate_domain_constraint", check.name, it.name.name, schema=context.schema(it.name))
            yield Step(Stage.VALIDATE, Phase.VALIDATION, (look,))


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
            condition = _condition(context, after, check, told=told)
            later = None if told else True
            yield op("create_domain_constraint", check.name, name, condition, schema=own, not_valid=later)


def _is_remade(context: Context, it: d.DomainChanged) -> bool:
    in_arrays = any(column.type.endswith("]") for _, column in _users(context, it.name))
    return bool({"type", "collation"} & {*it.parts} or (in_arrays and {"nullable", "checks"} & {*it.parts}))


def _comes_along(context: Context, name: Name) -> bool:
    """Whether a domain is made of one that is made anew, which makes it anew too."""
    return any(
        name == heir.name
        for it in context.of(d.DomainChanged)
        if it.name != name and _is_remade(context, it)
        for heir in _heirs(context, it.after)
    )


def _heirs(context: Context, domain: Domain) -> list[Domain]:
    """Return the domains that are made of another, however far away, in their order."""
    found = [domain]
    for each in ordered(context.wanted.domains):
        if any(_is_made_of(each, other) for other in found):
            found.append(each)
    return found[1:]


_Pair = tuple[Domain | None, Domain | None]


def _remade(context: Context, it: d.DomainChanged) -> Step:
    old = {each.name: each for each in context.live.domains}
    pairs: list[_Pair] = [(it.before, it.after), *((old.get(each.name), each) for each in _heirs(context, it.after))]
    up = tuple(_replaced(context, pairs, told=False))
    down = tuple(_replaced(context, [(after, before) for before, after in pairs], told=True))
    told = (it.before.type, *(check.definition for before, _ in pairs if before for check in before.checks))
    lost = "the conversion has rounded or cut values"
    return Step(Stage.MAIN, Phase.CONVERT, up, None if it.destructive else down, reason=lost, told=told)


def _replaced(context: Context, pairs: Sequence[_Pair], *, told: bool) -> Iterator[Group]:
    """Make domains under their names, move their columns to them, and drop the old ones.

    Args:
        context: all differences.
        pairs: a domain, and those that are made of it: before and after.
        told: whether the server's words are all that is known of them.
    """
    for before, after in reversed(pairs):
        if before is not None and after is None:
            yield _drop(context, before.name, before.name.name)
    both = [(before, after) for before, after in pairs if before is not None and after is not None]
    for _, after in both:
        yield op("rename_domain", after.name.name, _away(after.name), schema=context.schema(after.name))
    for _, made in pairs:
        if made is not None:
            yield from _create_domain(context, made, told=told)
    (first, last), *_ = both
    for _, after in both:
        yield from _moved(context, after, first.stored, last.stored)
    for _, after in reversed(both):
        yield _drop(context, after.name, _away(after.name))


def _moved(context: Context, domain: Domain, before: str, after: str) -> Iterator[Group]:
    for table, column in _users(context, domain.name):
        sql = context.quote(column.name)
        in_array = column.type.endswith("]") or domain.type.endswith("]")
        cast = f"{sql}::{before}[]::{uncut(after)}[]" if in_array else using(sql, before, after)
        node = type_node(context, table.name, column)
        schema = context.schema(table.name)
        yield op("alter_column", table.name.name, column.name, type_=node, postgresql_using=cast, schema=schema)


def _drop(context: Context, domain: Name, name: str) -> Group:
    return op("drop_domain", name, schema=context.schema(domain))


def _away(name: Name) -> str:
    return f"{name.name[:59]}_old"


def _users(context: Context, domain: Name) -> Iterator[tuple[Table, Column]]:
    """Yield the columns of a domain, or of arrays of it, that are there before and after."""
    for table in sorted(context.wanted.tables, key=lambda each: each.name):
        if table.name not in context.new_tables:
            for column in table.columns:
                if column.type_name == domain and (table.name, column.name) not in context.new_columns:
                    yield table, column
