"""A constraint as its author wants it, and the clause that adds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    UniqueConstraint,
)
from sqlalchemy import literal_column as verbatim
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from async_migrations import ddl
from async_migrations.online.table_definition import column_names
from async_migrations.online.texts import Expression, expression_text, stand_in
from async_migrations.sql import qualified, quote_identifier, quote_literal

ACTIONS = {"NO ACTION": "a", "RESTRICT": "r", "CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d"}
"""How `pg_constraint` writes what ON DELETE and ON UPDATE say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintDefinition:
    """A constraint of a table.

    Attributes:
        name: its name; None lets PostgreSQL choose.
        table: its table.
        schema: the table's schema; None looks along `search_path`.
        clause: what stands behind ADD CONSTRAINT and its name, without NOT VALID.
        comment: its comment.
        facts: of a foreign key: what `pg_constraint` holds of it.
        referent: of a foreign key: the quoted name of the table that it refers to.
    """

    name: str | None
    table: str
    schema: str | None
    clause: str
    comment: str | None = None
    facts: Mapping[str, Any] | None = None
    referent: str = ""

    @property
    def where(self) -> str:
        """The table as SQL names it."""
        return qualified(self.schema, self.table)

    def statements(self, clause: str | None = None, *, not_valid: bool = False) -> list[str]:
        """Write ALTER TABLE ... ADD, and the comment."""
        named = "" if self.name is None else f"CONSTRAINT {quote_identifier(self.name)} "
        added = f"ALTER TABLE {self.where} ADD {named}{clause or self.clause}{' NOT VALID' if not_valid else ''}"
        return [added, *self._comment()]

    def _comment(self) -> list[str]:
        if self.comment is None or self.name is None:
            return []
        subject = f"CONSTRAINT {quote_identifier(self.name)} ON {self.where}"
        return [f"COMMENT ON {subject} IS {quote_literal(self.comment)}"]

    @property
    def validation(self) -> str:
        """The ALTER TABLE that looks at the rows."""
        return f"ALTER TABLE {self.where} VALIDATE CONSTRAINT {quote_identifier(self.name or '')}"

    def is_foreign_key(self, found: Mapping[str, Any]) -> bool:
        """Tell whether what `looks.constraint` found is this foreign key."""
        return self.facts is not None and all(found[key] == value for key, value in self.facts.items())


def check(condition: str | Expression, dialect: Dialect, *, no_inherit: bool = False) -> str:
    """Write CHECK (...); `%` and `:` of a text stay as they are."""
    constraint = CheckConstraint(verbatim(expression_text(condition, dialect)))
    return _clause(constraint, dialect) + (" NO INHERIT" if no_inherit else "")


def unique(columns: Sequence[str], dialect: Dialect, *, nulls_not_distinct: bool = False, **options: Any) -> str:
    """Write UNIQUE (...)."""
    include = options["postgresql_include"] = list(options.pop("include"))
    constraint = UniqueConstraint(*columns, postgresql_nulls_not_distinct=nulls_not_distinct or None, **options)
    return _clause(constraint, dialect, *columns, *include)


def primary_key(columns: Sequence[str], dialect: Dialect, **options: Any) -> str:
    """Write PRIMARY KEY (...)."""
    include = options["postgresql_include"] = list(options.pop("include"))
    return _clause(PrimaryKeyConstraint(*columns, **options), dialect, *columns, *include)


def using_index(kind: str, index: str, *, deferrable: bool | None, initially: str | None) -> str:
    """Write UNIQUE or PRIMARY KEY over an index that exists."""
    return f"{kind} USING INDEX {quote_identifier(index)}{deferral(deferrable, initially)}"


def exclude(
    elements: Sequence[tuple[str | Expression, str]], dialect: Dialect, where: str | Expression | None, **options: Any
) -> str:
    """Write EXCLUDE USING ... (...)."""
    pairs: list[tuple[Any, str]] = [
        (column if isinstance(column, str) else verbatim(expression_text(column, dialect)), operator)
        for column, operator in elements
    ]
    condition: Any = None if where is None else verbatim(expression_text(where, dialect))
    names = [column for column, _ in pairs if isinstance(column, str)]
    return _clause(ExcludeConstraint(*pairs, where=condition, **options), dialect, *names)


def foreign_key(
    local: Sequence[str],
    remote: Sequence[str],
    referent: str,
    *,
    ondelete: str | None,
    onupdate: str | None,
    deferrable: bool | None,
    initially: str | None,
    match: str | None,
) -> tuple[str, dict[str, Any]]:
    """Write FOREIGN KEY ... REFERENCES, and what the catalog holds of it."""
    deferred = (initially or "").upper() == "DEFERRED"
    clause = f"FOREIGN KEY ({_listed(local)}) REFERENCES {referent} ({_listed(remote)})"
    clause += f" MATCH {match}" if match else ""
    clause += f" ON DELETE {ondelete}" if ondelete else ""
    clause += f" ON UPDATE {onupdate}" if onupdate else ""
    return clause + deferral(deferrable, initially), {
        "kind": "f",
        "referent": True,
        "columns": [*local],
        "remote": [*remote],
        "ondelete": _action(ondelete),
        "onupdate": _action(onupdate),
        "match": "f" if (match or "").upper() == "FULL" else "s",
        "deferrable": bool(deferrable) or deferred,
        "deferred": deferred,
    }


def deferral(deferrable: bool | None, initially: str | None) -> str:  # noqa: FBT001 - SQLAlchemy's own three values
    """Write when a constraint is checked."""
    words = {True: " DEFERRABLE", False: " NOT DEFERRABLE", None: ""}[deferrable]
    return words + (f" INITIALLY {initially}" if initially else "")


def of_construct(constraint: Constraint, table: str, schema: str | None, dialect: Dialect) -> ConstraintDefinition:
    """Read a constraint of SQLAlchemy's, one of a column to add."""
    referent, clause, facts = "", "", None
    if isinstance(constraint, ForeignKeyConstraint):
        referent, clause, facts = _of_key(constraint)
    return ConstraintDefinition(
        name=ddl.plain_name(dialect, constraint),
        table=table,
        schema=schema,
        clause=clause or _nameless(constraint, dialect),
        comment=constraint.comment,
        facts=facts,
        referent=referent,
    )


def _of_key(key: ForeignKeyConstraint) -> tuple[str, str, Mapping[str, Any]]:
    """Return the quoted name of the table that a foreign key refers to, its clause, and what the catalog holds."""
    referred = key.elements[0].column.table
    referent = qualified(referred.schema, referred.name)
    clause, facts = foreign_key(
        column_names(key),
        [each.column.name for each in key.elements],
        referent,
        ondelete=key.ondelete,
        onupdate=key.onupdate,
        deferrable=key.deferrable,
        initially=key.initially,
        match=key.match,
    )
    return referent, clause, facts


def _action(text: str | None) -> str:
    words = (text or "NO ACTION").upper().partition("(")[0].split()
    return ACTIONS.get(" ".join(words), "?")


def _clause(constraint: Constraint, dialect: Dialect, *columns: str) -> str:
    table = stand_in(None, "t", *columns)
    table.append_constraint(constraint)
    return _nameless(constraint, dialect)


def _nameless(constraint: Constraint, dialect: Dialect) -> str:
    """Write what stands behind ADD, of a constraint whose name stands elsewhere."""
    name, constraint.name = constraint.name, None
    try:
        return str(dialect.ddl_compiler(dialect, None).process(constraint))  # type: ignore[arg-type]  # see ddl.applies
    finally:
        constraint.name = name


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quote_identifier(column) for column in columns)
