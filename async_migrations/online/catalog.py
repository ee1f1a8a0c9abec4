"""What the server says about an index: whether it is there, what it is, and who is building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from async_migrations.online.looks import relation_schema
from async_migrations.online.wire import Wire
from async_migrations.online.written import Wanted, WrittenIndex
from async_migrations.sql import qualified, quote_literal

INDEX_KINDS = frozenset("iI")
"""Of `pg_class.relkind`: an index, and one of a partitioned table."""

REPARSED = 2
"""How often the server's own text is given back to it; later it stays the same."""

# pg_locks shows every session's locks, and the pid in the progress view is shown to everybody too, while what
# is being built is shown to few. Whoever builds any index on the table holds a lock on it all the time; a
# vacuum does too, but has no row in the view, and must not be waited for.
BUILDER = """SELECT min(l.pid) FROM pg_locks AS l JOIN pg_stat_progress_create_index AS p ON p.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND l.relation = {table}
 AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())"""

FACTS = """i.relname AS name, i.relkind AS kind, x.indisvalid AS valid, pg_get_indexdef(x.indexrelid) AS definition,
 quote_ident(i.relname) AS index_part, quote_ident(o.relname) AS table_part, quote_ident(n.nspname) AS schema_part"""

FIND_ON_TABLE = f"""SELECT s.nspname AS schema, t.relname AS table, x.indrelid = t.oid AS here, {FACTS},
 ({BUILDER.format(table="t.oid")}) AS builder
 FROM pg_class AS t JOIN pg_namespace AS s ON s.oid = t.relnamespace
 LEFT JOIN pg_class AS i ON i.relnamespace = s.oid AND i.relname = {{name}}
 LEFT JOIN pg_index AS x ON x.indexrelid = i.oid
 LEFT JOIN pg_class AS o ON o.oid = x.indrelid LEFT JOIN pg_namespace AS n ON n.oid = o.relnamespace
 WHERE t.oid = to_regclass({{table}})"""

FIND_BY_NAME = f"""SELECT s.nspname AS schema, o.relname AS table, true AS here, {FACTS},
 ({BUILDER.format(table="o.oid")}) AS builder
 FROM pg_class AS i JOIN pg_namespace AS s ON s.oid = i.relnamespace
 LEFT JOIN pg_index AS x ON x.indexrelid = i.oid
 LEFT JOIN pg_class AS o ON o.oid = x.indrelid LEFT JOIN pg_namespace AS n ON n.oid = o.relnamespace
 WHERE i.oid = to_regclass({{name}})"""

INDEXES = f"""SELECT i.relname AS name, format('%I.%I', n.nspname, i.relname) AS qualified, x.indisvalid AS valid,
 ({BUILDER.format(table="x.indrelid")}) AS builder
 FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = i.relnamespace
 WHERE x.indrelid = to_regclass({{table}})"""


@dataclass(frozen=True, slots=True)
class Found:
    """What stands where an index is, or should be.

    Attributes:
        schema: the schema in which the name was looked up.
        table: the table that is to have the index, or has it; None if what was found is no index.
        kind: `pg_class.relkind` of the relation of that name; None if there is none.
        valid: whether it is an index that PostgreSQL uses.
        here: whether it is an index of that table.
        definition: the server's CREATE INDEX; empty if it is no index.
        meaning: the definition without the names of index, table and schema.
        builder: the process that is building an index on the table right now, if any.
    """

    schema: str
    table: str | None
    kind: str | None
    valid: bool
    here: bool
    definition: str
    meaning: str
    builder: int | None

    @property
    def is_index(self) -> bool:
        """Whether there is an index of this name."""
        return self.kind is not None and self.kind in INDEX_KINDS

    @property
    def is_left_over(self) -> bool:
        """Whether it is an INVALID index of the table that nobody is building."""
        return self.is_index and self.here and not self.valid and self.builder is None


async def find_on_table(wire: Wire, wanted: Wanted) -> Found | None:
    """Look for an index by name in the schema of its table; None if the table does not exist."""
    name, table = quote_literal(wanted.name), quote_literal(wanted.qualified_table)
    rows = await wire.read(FIND_ON_TABLE.format(name=name, table=table))
    return found_in(rows[0]) if rows else None


async def find_by_name(wire: Wire, name: str, schema: str | None) -> Found | None:
    """Look for an index in a schema, or on `search_path`; None if nothing has that name."""
    rows = await wire.read(FIND_BY_NAME.format(name=quote_literal(qualified(schema, name))))
    return found_in(rows[0]) if rows else None


async def is_same(wire: Wire, wanted: Wanted, found: Found) -> bool:
    """Tell whether an index is the wanted one, by letting the server write out both.

    The wanted one is made on an empty table of the same columns, in a transaction that is rolled back. The server's
    text is no fixed point: a dump restored may print other casts than its original. So the text is parsed anew and
    every form that comes up counts.
    """
    scratch = wanted.within("pg_temp")
    original = qualified(found.schema, wanted.table)
    statement = scratch.statement(wire.connection.dialect)
    index = qualified("pg_temp", wanted.name)
    async with wire.scratch():
        await wire.run(f"CREATE TABLE {scratch.qualified_table} (LIKE {original})")
        for _ in range(1 + REPARSED):
            await wire.run(statement)
            made = await find_by_name(wire, wanted.name, "pg_temp")
            if made is None or made.meaning == found.meaning:
                return made is not None
            statement = made.definition
            await wire.run(f"DROP INDEX {index}")
    return False


async def choose_name(wire: Wire, wanted: WrittenIndex) -> WrittenIndex | None:
    """Give an index without a name the one that PostgreSQL chooses, or chose at an earlier try; None without its table.

    It is made on an empty table of the same name and columns, in a transaction that is rolled back, until a choice
    comes up that is free, or has been made for this very index, or is that of an INVALID one of the table.
    """
    schema = await relation_schema(wire, wanted.schema, wanted.table)
    if schema is None:
        return None
    scratch, names = wanted.within("pg_temp"), set[str]()
    async with wire.scratch():
        await wire.run(f"CREATE TABLE {scratch.qualified_table} (LIKE {qualified(schema, wanted.table)})")
        while True:
            await wire.run(scratch.text)
            made = await wire.read(INDEXES.format(table=quote_literal(scratch.qualified_table)))
            (name,) = {row["name"] for row in made} - names
            names.add(name)
            there = await find_on_table(wire, replace(wanted, name=name, schema=schema))
            twin = await find_by_name(wire, name, "pg_temp")
            if there is None or there.kind is None or there.is_left_over or is_like(there, twin):
                return wanted.called(name)


def is_like(there: Found, twin: Found | None) -> bool:
    """Tell whether an index of the table has the definition of the one that was made of it."""
    return twin is not None and there.here and there.meaning == twin.meaning


async def find_invalid(wire: Wire, table: str) -> list[str]:
    """Return the quoted names of a table's INVALID indexes, by its quoted name, unless somebody is building one."""
    rows = await wire.read(INDEXES.format(table=quote_literal(table)))
    return [row["qualified"] for row in rows if not row["valid"] and row["builder"] is None]


def found_in(row: Mapping[str, Any]) -> Found:
    """Read one row of the queries above."""
    return Found(
        schema=row["schema"],
        table=row["table"],
        kind=row["kind"],
        valid=bool(row["valid"]),
        here=bool(row["here"]),
        definition=row["definition"] or "",
        meaning=meaning_of(row),
        builder=row["builder"],
    )


def meaning_of(row: Mapping[str, Any]) -> str:
    """Cut the names out of the server's CREATE INDEX; they are told by length, since they may hold anything."""
    head, _, rest = (row["definition"] or "").partition("INDEX ")
    rest = rest.removeprefix(f"{row['index_part']} ON ").removeprefix("ONLY ")
    for schema in (row["schema_part"], "pg_temp"):
        rest = rest.removeprefix(f"{schema}.{row['table_part']} ")
    return f"{head}{rest}"
