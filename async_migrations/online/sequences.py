"""Sequences: created, altered, renamed, dropped."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeEngine

from async_migrations.online.bench import KEEP, Bench, Keep


class SequenceOperations(Bench):
    """Sequences that are not made by a column."""

    async def create_sequence(  # noqa: PLR0913 - the options are those of CREATE SEQUENCE
        self,
        name: str,
        *,
        schema: str | None = None,
        type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None,
        start: int | None = None,
        increment: int | None = None,
        minvalue: int | None = None,
        maxvalue: int | None = None,
        cache: int | None = None,
        cycle: bool = False,
        owned_by: tuple[str, str] | None = None,
        comment: str | None = None,
    ) -> None:
        """Create a sequence.

        Args:
            name: its name, exactly.
            schema: its schema; None takes the first of `search_path`.
            type_: SmallInteger, Integer or BigInteger, which is the default.
            start: its first number.
            increment: the step from one number to the next; below zero it goes down.
            minvalue: its lowest number.
            maxvalue: its highest.
            cache: how many numbers a session takes at once.
            cycle: whether it begins again at the end.
            owned_by: (table, column) of the same schema, with which it goes.
            comment: its comment.

        Raises:
            NameConflictError: outside a transaction: something else has this name; nothing was changed.
        """
        raise NotImplementedError

    async def alter_sequence(  # noqa: PLR0913 - the options are those of ALTER SEQUENCE
        self,
        name: str,
        *,
        schema: str | None = None,
        type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None,
        start: int | None = None,
        restart: int | None = None,
        increment: int | None = None,
        minvalue: int | Keep | None = KEEP,
        maxvalue: int | Keep | None = KEEP,
        cache: int | None = None,
        cycle: bool | None = None,
        owned_by: tuple[str, str] | Keep | None = KEEP,
    ) -> None:
        """Alter what is given of a sequence, and leave the rest.

        Args:
            name: its name, exactly.
            schema: its schema; None looks along `search_path`.
            type_: SmallInteger, Integer or BigInteger.
            start: where a later RESTART begins.
            restart: the next number.
            increment: the step from one number to the next.
            minvalue: its lowest number; None is the type's.
            maxvalue: its highest; None is the type's.
            cache: how many numbers a session takes at once.
            cycle: whether it begins again at the end.
            owned_by: (table, column) of the same schema, with which it goes; None sets it free.
        """
        raise NotImplementedError

    async def rename_sequence(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a sequence; defaults that draw from it follow.

        Args:
            old: its name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        raise NotImplementedError

    async def drop_sequence(
        self, name: str, *, schema: str | None = None, if_exists: bool = False, cascade: bool = False
    ) -> None:
        """Drop a sequence.

        Args:
            name: its name, exactly.
            schema: its schema; None looks along `search_path`.
            if_exists: whether a missing sequence is no error.
            cascade: whether defaults that draw from it go too.
        """
        raise NotImplementedError
