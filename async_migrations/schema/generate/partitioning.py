"""Steps for a table that is partitioned otherwise: a new one takes its place and its rows."""

from __future__ import annotations

from collections.abc import Iterator

from async_migrations.schema import difference as d
from async_migrations.schema.generate import constraint_source, index_source, tables
from async_migrations.schema.generate.context import Context, shortened
from async_migrations.schema.generate.source import Group, literal
from async_migrations.schema.generate.step import Phase, Stage, Step, op
from async_migrations.schema.table import ConstraintKind, Name, Table
from async_migrations.sql import quote_literal

_BY_HAND = """DO $$ DECLARE found text; BEGIN
SELECT string_agg(what, ', ') INTO found FROM (
SELECT 'row security' AS what FROM pg_class WHERE oid = {table}::regclass AND (relrowsecurity OR relforcerowsecurity)
UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = {table}::regclass
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = {table}::regclass AND NOT tgisinternal
UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = {table}::regclass
UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid = {table}::regclass
UNION ALL SELECT 'publication ' || p.pubname FROM pg_publication_rel AS r
JOIN pg_publication AS p ON p.oid = r.prpubid WHERE r.prrelid = {table}::regclass
UNION ALL SELECT DISTINCT 'privileges of ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END
FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = {table}::regclass AND a.grantee <> c.relowner
UNION ALL SELECT 'privileges on column ' || attname FROM pg_attribute
WHERE attrelid = {table}::regclass AND attacl IS NOT NULL) AS hand;
IF found IS NOT NULL THEN RAISE 'The new table would be without what was made by hand on the old one: %', found
USING HINT = 'Make it on the new table in this file, and take this check away.'; END IF; END $$"""
"""Ends the migration where the old table has what no snapshot knows, so that nobody can read or write more or less."""


def changed(context: Context, it: d.PartitioningChanged) -> Iterator[Step]:
    """Make the table anew, and copy the rows; where one has no partition to go to, everything is taken back."""
    live = context.standing.table(it.table)
    if live is None:
        return
    remark = (
        "Every row is copied while nobody reads or writes; a row without a partition ends it, and nothing changes. So "
        "does what was made by hand on the table (row security, policies, triggers, rules, privileges, publications)."
    )
    away = _away(context, it.table)
    up = (_looked_at(context, it.table), *_out_of_the_way(context, it.table, live, away))
    up += (*_made(context, it.table, live, away),)
    yield Step(Stage.MAIN, Phase.TABLES, up, None, reason="the table was made anew", remarks=(remark,))


def _looked_at(context: Context, name: Name) -> Group:
    return op("execute", _BY_HAND.format(table=quote_literal(context.sql_name(name))))


def _out_of_the_way(context: Context, name: Name, live: Table, away: str) -> Iterator[Group]:
    own = context.schema(name)
    for table, key in context.references():
        if key.target == name and table != name:
            yield op("drop_constraint", key.name, table.name, schema=context.schema(table))
    yield op("rename_table", name.name, away, schema=own)
    keys = sorted(live.constraints, key=lambda each: each.kind is not ConstraintKind.FOREIGN_KEY)
    for constraint in keys:
        yield op("drop_constraint", constraint.name, away, schema=own)
    for index in live.indexes:
        yield op("drop_index", index.name, away, schema=own)
    for column in live.columns:
        if column.identity is not None or column.sequence is not None:
            yield op("alter_column", away, column.name, server_default=literal(None), schema=own)
        if column.sequence is not None:
            yield op("drop_sequence", column.sequence.name, schema=context.schema(column.sequence))


def _made(context: Context, name: Name, live: Table, away: str) -> Iterator[Group]:
    own, wanted = context.schema(name), context.tables[name]
    yield tables.creation(context, wanted, [e for e in wanted.constraints if e.kind is ConstraintKind.FOREIGN_KEY])
    for each in context.of(d.TableAdded):
        if name in each.table.parents:
            yield tables.creation(context, each.table)
    for index in wanted.indexes:
        yield index_source.creation(context, name, index)
    there = {each.name for each in live.columns}
    kept = ", ".join(context.quote(e.name) for e in wanted.columns if e.name in there and e.computed is None)
    old = context.sql_name(Name(name.schema, away))
    always = any(each.identity and each.identity.always for each in wanted.columns)
    yield op(
        "execute",
        f"INSERT INTO {context.sql_name(name)} ({kept}){' OVERRIDING SYSTEM VALUE' if always else ''} "
        f"SELECT {kept} FROM {old}",
    )
    for column in wanted.columns:
        if column.identity is not None or column.sequence is not None:
            yield op("restart_identity", name.name, column.name, schema=own)
    yield op("drop_table", away, schema=own)
    for table, key in context.references():
        if key.target == name and table != name:
            yield constraint_source.creation(context, table, key)


def _away(context: Context, name: Name) -> str:
    return context.free(name.schema, f"{shortened(name.name)}_old")
