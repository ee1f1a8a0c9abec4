"""Domains: created, altered, renamed, dropped."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeEngine

from async_migrations.online.bench import KEEP, Bench, Expression, Keep


class DomainOperations(Bench):
    """Domains and their constraints."""

    async def create_domain(  # noqa: PLR0913 - the options are those of CREATE DOMAIN
        self,
        name: str,
        type_: TypeEngine[Any] | type[TypeEngine[Any]],
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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    async def validate_domain_constraint(self, name: str, domain: str, *, schema: str | None = None) -> None:
        """Look at the rows that a NOT VALID constraint has not looked at.

        Args:
            name: the constraint's name, exactly.
            domain: the type's name, exactly.
            schema: the type's schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def rename_domain_constraint(self, domain: str, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a constraint of a domain.

        Args:
            domain: the type's name, exactly.
            old: the constraint's name now, exactly.
            new: its name then.
            schema: the type's schema; None looks along `search_path`.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def rename_domain(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a domain; its columns follow.

        Args:
            old: the type's name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def drop_domain(self, name: str, *, schema: str | None = None, if_exists: bool = False) -> None:
        """Drop a domain that no column uses.

        Args:
            name: the type's name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing type is no error.
        """
        raise NotImplementedError
