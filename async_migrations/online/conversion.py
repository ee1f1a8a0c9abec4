"""Another set of values for an enum: a new type, and every column of the old one converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from async_migrations.online.dependents import Dependents, Place, dependents_on
from async_migrations.online.looks import TypeFacts
from async_migrations.online.wire import Wire
from async_migrations.sql import qualified, quote_identifier, quote_literal

# A column that is inherited changes with its parent's.
USERS = """SELECT c.oid::bigint AS relation, a.attnum AS number, format('%I.%I', n.nspname, c.relname) AS table,
 a.attname AS name, a.atttypid = t.typarray AS is_array, a.attgenerated AS generated, a.attnotnull AS not_null,
 pg_get_expr(d.adbin, d.adrelid) AS "default", col_description(c.oid, a.attnum) AS comment
 FROM pg_type AS t JOIN pg_attribute AS a ON a.atttypid IN (t.oid, t.typarray)
 JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
 JOIN pg_namespace AS n ON n.oid = c.relnamespace
 LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE t.oid = to_regtype({name}) AND a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0
 ORDER BY 3, a.attnum"""

# Generated columns of other types whose expressions read a column of the enum's.
READERS = """SELECT DISTINCT a.attrelid::bigint AS relation, a.attnum AS number,
 format('%I.%I', n.nspname, c.relname) AS table,
 a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
 pg_get_expr(d.adbin, d.adrelid) AS "default", col_description(a.attrelid, a.attnum) AS comment,
 a.attgenerated AS generated
 FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 JOIN pg_depend AS p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
  AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid <> a.attnum
 WHERE a.attgenerated <> '' AND a.attinhcount = 0 AND (p.refobjid, p.refobjsubid) IN (VALUES {columns})
 ORDER BY 3, 2"""

OWNER = """SELECT quote_ident(r.rolname) AS owner, r.rolname = current_user AS ours FROM pg_type AS t
 JOIN pg_roles AS r ON r.oid = t.typowner WHERE t.oid = to_regtype({name})"""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The conversion of an enum.

    Args:
        enum: the type as it is.
        values: its labels then.
        replace: for labels that go: the label that their rows get.
    """

    enum: TypeFacts
    values: Sequence[str]
    replace: Mapping[str, str]

    @property
    def name(self) -> str:
        """The type as SQL names it."""
        return qualified(self.enum.schema, self.enum.name)

    async def statements(self, wire: Wire) -> list[str]:
        """Write the whole conversion; the server is asked for who uses the type."""
        users = await wire.read(USERS.format(name=quote_literal(self.name)))
        stored = [user for user in users if user["generated"]]
        plain = [user for user in users if not user["generated"]]
        readers = [*stored, *await self._readers(wire, plain)]
        places = [*(_place(user, whole=False) for user in plain), *(_place(user, whole=True) for user in readers)]
        dependents = await dependents_on(wire, places)
        owner = await wire.read(OWNER.format(name=quote_literal(self.name)))
        return self._written(plain, _distinct(readers), dependents, owner)

    async def _readers(self, wire: Wire, users: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if not users:
            return []
        columns = ", ".join(f"({user['relation']:d}::oid, {user['number']:d})" for user in users)
        return await wire.read(READERS.format(columns=columns))

    def _written(
        self,
        users: Sequence[Mapping[str, Any]],
        readers: Sequence[Mapping[str, Any]],
        dependents: Dependents,
        owner: Sequence[Mapping[str, Any]],
    ) -> list[str]:
        old = qualified(self.enum.schema, OLD)
        labels = ", ".join(quote_literal(value) for value in self.values)
        comment = f"COMMENT ON TYPE {self.name} IS {quote_literal(self.enum.comment)}"
        return [
            *dependents.before,
            *(f"ALTER TABLE {each['table']} DROP COLUMN {quote_identifier(each['name'])}" for each in readers),
            f"ALTER TYPE {self.name} RENAME TO {quote_identifier(OLD)}",
            f"CREATE TYPE {self.name} AS ENUM ({labels})",
            *(f"ALTER TYPE {self.name} OWNER TO {row['owner']}" for row in owner if not row["ours"]),
            *self._conversions(users),
            *(statement for each in readers for statement in self._generated(each)),
            *dependents.after,
            *([comment] if self.enum.comment is not None else []),
            f"DROP TYPE {old}",
        ]

    def _conversions(self, users: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Write one ALTER TABLE a table, so that each is rewritten once."""
        for table, columns in groupby(users, key=lambda user: user["table"]):
            actions = [action for column in columns for action in self._actions(column)]
            yield f"ALTER TABLE {table} {', '.join(actions)}"

    def _actions(self, column: Mapping[str, Any]) -> Iterator[str]:
        name = quote_identifier(column["name"])
        if column["default"] is not None:
            yield f"ALTER COLUMN {name} DROP DEFAULT"
        yield f"ALTER COLUMN {name} TYPE {self._type(column)} USING {self._using(name, is_array=column['is_array'])}"
        if column["default"] is not None:
            yield f"ALTER COLUMN {name} SET DEFAULT {self._default(column['default'])}"

    def _type(self, column: Mapping[str, Any]) -> str:
        if "is_array" not in column:
            return str(column["type"])
        return f"{self.name}[]" if column["is_array"] else self.name

    def _using(self, name: str, *, is_array: bool) -> str:
        if is_array:
            text = f"{name}::text[]"
            for gone, kept in self.replace.items():
                text = f"array_replace({text}, {quote_literal(gone)}, {quote_literal(kept)})"
            return f"{text}::{self.name}[]"
        whens = "".join(f" WHEN {quote_literal(gone)} THEN {quote_literal(k)}" for gone, k in self.replace.items())
        text = f"{name}::text"
        return f"(CASE {text}{whens} ELSE {text} END)::{self.name}" if whens else f"{text}::{self.name}"

    def _default(self, default: str) -> str:
        """Return the default with a label that goes replaced, if it is nothing but the label."""
        for gone, kept in self.replace.items():
            if default.startswith(f"{quote_literal(gone)}::"):
                return quote_literal(kept)
        return default

    def _generated(self, column: Mapping[str, Any]) -> Iterator[str]:
        """Write what adds a generated column again, at the table's end."""
        name = quote_identifier(column["name"])
        kind = "STORED" if column["generated"] == "s" else "VIRTUAL"
        definition = f"{self._type(column)} GENERATED ALWAYS AS ({column['default']}) {kind}"
        not_null = " NOT NULL" if column["not_null"] else ""
        yield f"ALTER TABLE {column['table']} ADD COLUMN {name} {definition}{not_null}"
        if column["comment"] is not None:
            yield f"COMMENT ON COLUMN {column['table']}.{name} IS {quote_literal(column['comment'])}"


OLD = "async_migrations_old_enum"
"""What the old type is called while its columns are converted; nobody else sees it."""


def _place(user: Mapping[str, Any], *, whole: bool) -> Place:
    return Place(user["relation"], user["number"], whole)


def _distinct(users: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({(user["relation"], user["number"]): user for user in users}.values())
