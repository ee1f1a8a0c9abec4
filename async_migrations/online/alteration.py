"""What ALTER COLUMN has to say: decided from what the column is and what it shall be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Computed, Dialect, Identity

from async_migrations.errors import AuthorError
from async_migrations.online.bench import KEEP, Keep
from async_migrations.online.generated import Generated
from async_migrations.online.looks import ColumnFacts
from async_migrations.online.texts import Expression, computed_text, default_text
from async_migrations.sql import quote_identifier, quote_literal

SET_EXPRESSION = 170_000
"""The first server that gives a generated column another expression."""

VIRTUAL = 180_000
"""The first server on which a generated column is virtual unless it says `persisted=True`."""

CONSTANT = re.compile(r"""(?:(?P<text>E?'(?:[^']|'')*')|(?P<number>-?[0-9.]+))(?:::[\w .,()"\[\]]+)?""")
"""A default that is a constant, with or without its cast."""

SERIAL_TYPES = frozenset({"SMALLINT", "INTEGER", "BIGINT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """What `alter_column` was asked for, in SQL.

    Attributes:
        table: the table's name, quoted.
        column: the column's name, exactly.
        type: its type then, with COLLATE; None leaves it.
        using: SQL of the new value; None is the assignment's own cast.
        default: its default then.
        nullable: whether it may be NULL; None leaves it.
        comment: its comment then.
    """

    table: str
    column: str
    type: str | None
    using: str | None
    default: str | Expression | Computed | Identity | Keep | None
    nullable: bool | None
    comment: str | Keep | None = KEEP

    def statements(self, facts: ColumnFacts, dialect: Dialect) -> list[str]:
        """Write what turns the column that there is into the one that shall be."""
        name = quote_identifier(self.column)
        actions = [f"ALTER COLUMN {name} {each}" for each in self._actions(facts, dialect)]
        altered = f"ALTER TABLE {self.table} {', '.join(actions)}"
        return [
            *self._before(facts),
            *([altered] if actions else []),
            *self._after(facts),
            *self._commented(self.comment),
        ]

    def needs_rebuild(self, facts: ColumnFacts) -> bool:
        """Tell whether the server can give a generated column another expression only as another column."""
        return isinstance(self.default, Computed) and facts.version < SET_EXPRESSION

    def rebuilt(self, there: Generated, dialect: Dialect) -> Generated:
        """Return the generated column that takes the place of the one that there is."""
        assert isinstance(self.default, Computed)  # noqa: S101 - see needs_rebuild
        return replace(
            there,
            type=self.type or there.type,
            expression=computed_text(self.default, dialect),
            not_null=there.not_null if self.nullable is None else not self.nullable,
            comment=there.comment if self.comment is KEEP else self.comment,
        )

    def _commented(self, comment: str | Keep | None) -> Iterator[str]:
        if comment is not KEEP:
            yield f"COMMENT ON COLUMN {self.table}.{quote_identifier(self.column)} IS {quote_literal(comment)}"

    def _actions(self, facts: ColumnFacts, dialect: Dialect) -> Iterator[str]:
        yield from self._endings(facts)
        if self.type is not None:
            yield f"TYPE {self.type}" + (f" USING {self.using}" if self.using else "")
        yield from self._default_actions(facts, dialect)
        if self.nullable is not None:
            yield "DROP NOT NULL" if self.nullable else "SET NOT NULL"
        elif isinstance(self.default, Identity) and not facts.identity and not facts.not_null:
            yield "SET NOT NULL"

    def _endings(self, facts: ColumnFacts) -> Iterator[str]:
        """Take away what does not go together with what comes."""
        plain = not facts.generated and not facts.identity
        if self.default is not KEEP and not isinstance(self.default, Computed) and facts.generated:
            yield "DROP EXPRESSION"
        elif self.default is not KEEP and not isinstance(self.default, Identity) and facts.identity:
            yield "DROP IDENTITY"
        elif plain and facts.default is not None and (self.type is not None or self.default is not KEEP):
            yield "DROP DEFAULT"

    def _default_actions(self, facts: ColumnFacts, dialect: Dialect) -> Iterator[str]:
        match self.default:
            case Keep.KEEP:
                if self.type is not None and facts.default is not None and not facts.generated and not facts.identity:
                    yield f"SET DEFAULT {recast(facts.default, self.type, explicitly=self.using is not None)}"
            case None:
                return
            case Identity() as identity:
                yield from identity_actions(identity, facts, dialect)
            case Computed() as computed:
                yield f"SET EXPRESSION AS ({computed_text(computed, dialect)})"
            case _:
                yield f"SET DEFAULT {default_text(self.default, dialect)}"

    def _before(self, facts: ColumnFacts) -> Iterator[str]:
        """Let go of a serial's sequence, whose name an identity column takes."""
        if isinstance(self.default, Identity) and facts.sequence and not facts.identity:
            yield f"ALTER TABLE {self.table} ALTER COLUMN {quote_identifier(self.column)} DROP DEFAULT"
            yield f"DROP SEQUENCE {facts.sequence}"

    def _after(self, facts: ColumnFacts) -> Iterator[str]:
        if facts.sequence and not facts.identity and self.type in SERIAL_TYPES and self.default is KEEP:
            yield f"ALTER SEQUENCE {facts.sequence} AS {self.type}"
        if isinstance(self.default, Identity) and not facts.identity:
            yield continued(self.table, self.column, self.default)


def alterable(facts: ColumnFacts | None, default: object, table: str, column: str) -> ColumnFacts:
    """Return what is known of a column that can be altered so.

    Raises:
        AuthorError: there is no such column, or it would have to be another one.
    """
    if facts is None:
        raise AuthorError(f"{table}.{column} is not there: see the names of table, column and schema.")
    if isinstance(default, Computed):
        virtual = facts.version >= VIRTUAL if default.persisted is None else not default.persisted
        wanted = "v" if virtual else "s"
        if facts.generated != wanted:
            there = {"s": "a stored generated", "v": "a virtual generated"}.get(facts.generated, "a plain")
            raise AuthorError(
                f"{table}.{column} is {there} column, and PostgreSQL cannot alter it into the generated one that is "
                "wanted. Drop the column and add it: await self.op.drop_column(...), await self.op.add_column(...)."
            )
    return facts


def recast(default: str, type_: str, *, explicitly: bool) -> str:
    """Write a default that the server printed so that it suits another type.

    Args:
        default: as printed. A constant loses its cast; a sequence draws for any type of number.
        type_: the other type, with COLLATE.
        explicitly: whether there is no cast on assignment.
    """
    constant = CONSTANT.fullmatch(default)
    if constant:
        return constant["text"] or f"'{constant['number']}'"
    if explicitly and not default.startswith("nextval("):
        return f"CAST({default} AS {type_.partition(' COLLATE ')[0]})"
    return default


def identity_actions(identity: Identity, facts: ColumnFacts, dialect: Dialect) -> Iterator[str]:
    """Write what makes a column an identity column, or sets the options of one."""
    kind = "ALWAYS" if identity.always else "BY DEFAULT"
    if not facts.identity:
        compiler: Any = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # as the dialect itself calls it
        options = compiler.get_identity_options(identity)
        yield f"ADD GENERATED {kind} AS IDENTITY" + (f" ({options})" if options else "")
        return
    yield " ".join([f"SET GENERATED {kind}", *(f"SET {each}" for each in all_options(identity))])


def all_options(identity: Identity) -> Iterator[str]:
    """Write every option of an identity column; one that is not given takes PostgreSQL's default."""
    yield f"INCREMENT BY {identity.increment or 1:d}"
    yield "NO MINVALUE" if identity.minvalue is None else f"MINVALUE {identity.minvalue:d}"
    yield "NO MAXVALUE" if identity.maxvalue is None else f"MAXVALUE {identity.maxvalue:d}"
    yield f"START WITH {first_number(identity):d}"
    yield f"CACHE {identity.cache or 1:d}"
    yield "CYCLE" if identity.cycle else "NO CYCLE"


def first_number(identity: Identity) -> int:
    """Return the number that an identity column begins with."""
    if identity.start is not None:
        return identity.start
    descending = (identity.increment or 1) < 0
    limit = identity.maxvalue if descending else identity.minvalue
    return limit if limit is not None else -1 if descending else 1


def continued(table: str, column: str, identity: Identity) -> str:
    """Write what lets the numbers of a new identity column go on behind those in its rows."""
    name = quote_identifier(column)
    best, sign = ("min", "<=") if (identity.increment or 1) < 0 else ("max", ">=")
    sequence = f"pg_get_serial_sequence({quote_literal(table)}, {quote_literal(column)})"
    return (
        f"SELECT setval({sequence}, {best}({name})) FROM {table} HAVING {best}({name}) {sign} {first_number(identity)}"
    )
