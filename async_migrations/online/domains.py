"""Domains: created, altered, renamed, dropped."""

from __future__ import annotations

from sqlalchemy import Dialect

from async_migrations.errors import NameConflictError
from async_migrations.online import looks
from async_migrations.online.bench import KEEP, Keep
from async_migrations.online.chosen_names import ChosenNamesBench
from async_migrations.online.relations import RelationBench
from async_migrations.online.texts import AnyType, Expression, default_text, expression_text, type_text
from async_migrations.online.twins import TWIN, is_same_domain, is_same_domain_check
from async_migrations.sql import qualified, quote_identifier, quote_literal


class DomainOperations(RelationBench, ChosenNamesBench):
    """Domains and their constraints."""

    async def create_domain(  # noqa: PLR0913 - the options are those of CREATE DOMAIN
        self,
        name: str,
        type_: AnyType,
        *,
        schema: str | None = None,
        server_default: str | Expression | None = None,
        nullable: bool = True,
        check: str | Expression | None = None,
        constraint_name: str | None = None,
        collation: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Create a domain.

        Args:
            name: the type's name, exactly.
            type_: what it is made of.
            schema: its schema; None takes the first of `search_path`.
            server_default: its default; a text is a literal, `text()` is SQL.
            nullable: whether it may be NULL.
            check: a condition on VALUE, as SQL text or an expression; `create_domain_constraint` adds further ones.
            constraint_name: the name of that check.
            collation: its collation.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: another type has this name; nothing was changed.
        """
        definition = domain_definition(
            self._dialect,
            type_=type_,
            collation=collation,
            default=server_default,
            nullable=nullable,
            check=check,
            constraint_name=constraint_name,
        )
        where = qualified(schema, name)
        await self._do(
            f"Created domain {name}",
            f"CREATE DOMAIN {where} AS {definition}",
            *([] if comment is None else [f"COMMENT ON DOMAIN {where} IS {quote_literal(comment)}"]),
            done=lambda: self._is_domain(schema, name, definition),
        )

    async def alter_domain(
        self,
        name: str,
        *,
        server_default: str | Expression | Keep | None = KEEP,
        nullable: bool | None = None,
        schema: str | None = None,
    ) -> None:
        """Alter what is given of a domain, and leave the rest. NOT NULL looks at all rows of all its columns.

        Args:
            name: the type's name, exactly.
            server_default: its default; None takes it away.
            nullable: whether it may be NULL.
            schema: its schema; None looks along `search_path`.
        """
        where = qualified(schema, name)
        actions = []
        if server_default is None:
            actions.append("DROP DEFAULT")
        elif server_default is not KEEP:
            actions.append(f"SET DEFAULT {default_text(server_default, self._dialect)}")
        if nullable is not None:
            actions.append("DROP NOT NULL" if nullable else "SET NOT NULL")
        await self._do(f"Altered domain {name}", *(f"ALTER DOMAIN {where} {action}" for action in actions))

    async def create_domain_constraint(
        self,
        name: str,
        domain: str,
        condition: str | Expression,
        *,
        schema: str | None = None,
        not_valid: bool = False,
    ) -> None:
        """Add a CHECK to a domain.

        Args:
            name: the constraint's name, exactly.
            domain: the type's name, exactly.
            condition: on VALUE, as SQL text or an expression.
            schema: the type's schema; None looks along `search_path`.
            not_valid: whether the rows that exist are not looked at; `validate_domain_constraint` does it later.

        Raises:
            NameConflictError: outside a transaction: another constraint has this name; nothing was changed.
        """
        clause = f"CHECK ({expression_text(condition, self._dialect)})"
        added = f"ADD CONSTRAINT {quote_identifier(name)} {clause}{' NOT VALID' if not_valid else ''}"
        await self._do(
            f"Added constraint {name} to {domain}",
            f"ALTER DOMAIN {qualified(schema, domain)} {added}",
            done=lambda: self._is_constraint(schema, domain, name, clause),
        )

    async def validate_domain_constraint(self, name: str, domain: str, *, schema: str | None = None) -> None:
        """Look at the rows that a NOT VALID constraint has not looked at.

        Args:
            name: the constraint's name, exactly.
            domain: the type's name, exactly.
            schema: the type's schema; None looks along `search_path`.
        """
        statement = f"ALTER DOMAIN {qualified(schema, domain)} VALIDATE CONSTRAINT {quote_identifier(name)}"
        await self._do(f"Validated constraint {name} of {domain}", statement)

    async def rename_domain_constraint(self, domain: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a constraint of a domain.

        Args:
            domain: the type's name, exactly.
            old: the constraint's name now, exactly.
            new: its name then.
            schema: the type's schema; None looks along `search_path`.
        """

        async def is_renamed() -> bool:
            found = [await looks.domain_constraint(self._wire, schema, domain, name) is not None for name in (old, new)]
            return found == [False, True]

        clause = f"RENAME CONSTRAINT {quote_identifier(old)} TO {quote_identifier(new)}"
        statement = f"ALTER DOMAIN {qualified(schema, domain)} {clause}"
        await self._do(f"Renamed constraint {old} of {domain} to {new}", statement, done=self._if_again(is_renamed))

    async def drop_domain_constraint(
        self, name: str, domain: str, *, schema: str | None = None, if_exists: bool = False
    ) -> None:
        """Drop a constraint of a domain.

        Args:
            name: the constraint's name, exactly.
            domain: the type's name, exactly.
            schema: the type's schema; None looks along `search_path`.
            if_exists: whether a missing constraint is no error.
        """
        lenient = "IF EXISTS " if if_exists or self._again else ""
        statement = f"ALTER DOMAIN {qualified(schema, domain)} DROP CONSTRAINT {lenient}{quote_identifier(name)}"
        await self._do(f"Dropped constraint {name} of {domain}", statement)

    async def rename_domain(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a domain; its columns follow, and the names of its constraints that PostgreSQL chose.

        Args:
            old: the type's name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        await self._rename("DOMAIN", schema, old, new)
        await self._follow_domain(schema, old, new)

    async def drop_domain(self, name: str, *, schema: str | None = None, if_exists: bool = False) -> None:
        """Drop a domain that no column uses.

        Args:
            name: the type's name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing type is no error.
        """
        await self._drop("DOMAIN", schema, name, if_exists=if_exists)

    async def _is_domain(self, schema: str | None, name: str, definition: str) -> bool:
        where = qualified(schema, name)
        found = await looks.type_facts(self._wire, schema, name)
        if found is None:
            return False
        if found.kind == "d" and await is_same_domain(self._wire, where, f"CREATE DOMAIN {TWIN} AS {definition}"):
            return True
        raise NameConflictError(
            f"The name {where} is taken by something else than the domain to create, which was left as it is. Drop it "
            "first, or give the new domain another name."
        )

    async def _is_constraint(self, schema: str | None, domain: str, name: str, clause: str) -> bool:
        found = await looks.domain_constraint(self._wire, schema, domain, name)
        base = await looks.type_facts(self._wire, schema, domain)
        if found is None or base is None:
            return False
        if await is_same_domain_check(self._wire, qualified(schema, domain), name, base.base, clause):
            return True
        raise NameConflictError(
            f"The domain {domain} has another constraint {name}, which was left as it is: {found['definition']}. Drop "
            "it first, or give the new one another name."
        )


def domain_definition(
    dialect: Dialect,
    *,
    type_: AnyType,
    collation: str | None,
    default: str | Expression | None,
    nullable: bool,
    check: str | Expression | None,
    constraint_name: str | None,
) -> str:
    """Write what stands behind CREATE DOMAIN ... AS."""
    clauses = [type_text(type_, dialect)]
    clauses += [] if collation is None else [f"COLLATE {quote_identifier(collation)}"]
    clauses += [] if default is None else [f"DEFAULT {default_text(default, dialect)}"]
    clauses += [] if constraint_name is None or check is None else [f"CONSTRAINT {quote_identifier(constraint_name)}"]
    clauses += [] if check is None else [f"CHECK ({expression_text(check, dialect)})"]
    clauses += [] if nullable else ["NOT NULL"]
    return " ".join(clauses)
