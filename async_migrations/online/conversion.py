"""Another set of values for an enum: a new type, and every column of the old one converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from async_migrations.online.dependents import dependents_on
from async_migrations.online.generated import find_readers
from async_migrations.online.leaning import leaning_on
from async_migrations.online.looks import TypeFacts
from async_migrations.online.places import Place
from async_migrations.online.wire import Wire
from async_migrations.sql import qualified, quote_identifier, quote_literal

USERS = """SELECT c.oid::bigint AS relation, a.attnum AS number, format('%I.%I', n.nspname, c.relname) AS table,
 a.attname AS name, a.atttypid = t.typarray AS is_array, a.attinhcount > 0 AS inherited,
 pg_get_expr(d.adbin, d.adrelid) AS default
 FROM pg_type AS t JOIN pg_attribute AS a ON a.atttypid IN (t.oid, t.typarray)
 JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
 JOIN pg_namespace AS n ON n.oid = c.relnamespace
 LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE t.oid = to_regtype({name}) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 ORDER BY 3, a.attnum"""

TYPE = """SELECT t.oid::bigint AS oid, t.typarray::bigint AS array,
 CASE WHEN r.rolname <> current_user THEN quote_ident(r.rolname) END AS owner
 FROM pg_type AS t JOIN pg_roles AS r ON r.oid = t.typowner WHERE t.oid = to_regtype({name})"""


@dataclass(frozen=True, slots=True)
class User:
    """A column of the enum, or of arrays of it, that is not generated."""

    relation: int
    number: int
    table: str
    name: str
    is_array: bool
    inherited: bool
    default: str | None


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
        name = quote_literal(self.name)
        (type_,) = await wire.read(TYPE.format(name=name))
        users = [User(**row) for row in await wire.read(USERS.format(name=name))]
        # What speaks of a label and reads no column leans on the type alone.
        changed = [Place(type_[each], 0, whole=False, catalog="pg_type") for each in ("oid", "array")]
        changed += [Place(user.relation, user.number, whole=False) for user in users]
        generated = await find_readers(wire, changed)
        places = [*changed, *(Place(each.relation, each.number) for each in generated)]
        dependents, leaning = await dependents_on(wire, places), await leaning_on(wire, places)
        return [
            *leaning.before,
            *dependents.before,
            *(each.gone for each in generated),
            *self._new_type(type_["owner"]),
            *self._conversions(users),
            *self._end(),
            *(statement for each in generated for statement in each.again()),
            *dependents.after,
            *leaning.after,
        ]

    def _new_type(self, owner: str | None) -> Iterator[str]:
        labels = ", ".join(quote_literal(value) for value in self.values)
        yield f"ALTER TYPE {self.name} RENAME TO {quote_identifier(OLD)}"
        yield f"CREATE TYPE {self.name} AS ENUM ({labels})"
        if self.enum.comment is not None:
            yield f"COMMENT ON TYPE {self.name} IS {quote_literal(self.enum.comment)}"
        if owner is not None:
            yield f"ALTER TYPE {self.name} OWNER TO {owner}"

    def _end(self) -> Iterator[str]:
        """Write what drops the old type, under its own name: the server's refusal says who still uses it."""
        schema, new = self.enum.schema, quote_identifier(NEW)
        yield f"ALTER TYPE {self.name} RENAME TO {new}"
        yield f"ALTER TYPE {qualified(schema, OLD)} RENAME TO {quote_identifier(self.enum.name)}"
        yield f"DROP TYPE {self.name}"
        yield f"ALTER TYPE {qualified(schema, NEW)} RENAME TO {quote_identifier(self.enum.name)}"

    def _conversions(self, users: Sequence[User]) -> Iterator[str]:
        """Write one ALTER TABLE a table, so that each is rewritten once; what is inherited changes with its parent.

        Defaults are set apart: each table of a family has its own.
        """
        with_default = [user for user in users if user.default is not None]
        for user in with_default:
            yield f"ALTER TABLE ONLY {user.table} ALTER COLUMN {quote_identifier(user.name)} DROP DEFAULT"
        roots = [user for user in users if not user.inherited]
        for table, columns in groupby(roots, key=lambda user: user.table):
            yield f"ALTER TABLE {table} {', '.join(map(self._change, columns))}"
        for user in with_default:
            default = self._default(user.default or "")
            yield f"ALTER TABLE ONLY {user.table} ALTER COLUMN {quote_identifier(user.name)} SET DEFAULT {default}"

    def _change(self, user: User) -> str:
        name = quote_identifier(user.name)
        return f"ALTER COLUMN {name} TYPE {self._type(user)} USING {self._using(name, is_array=user.is_array)}"

    def _type(self, user: User) -> str:
        return f"{self.name}[]" if user.is_array else self.name

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


OLD, NEW = "async_migrations_old_enum", "async_migrations_new_enum"
"""What the types are called in between; nobody else sees it."""
