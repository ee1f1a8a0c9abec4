"""Sequences: created, altered, renamed, dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect

from async_migrations.errors import AuthorError, NameConflictError
from async_migrations.online import looks
from async_migrations.online.bench import KEEP, Keep
from async_migrations.online.relations import RelationBench
from async_migrations.online.texts import AnyType, type_text
from async_migrations.online.twins import is_same_sequence
from async_migrations.sql import qualified, quote_identifier, quote_literal


class SequenceOperations(RelationBench):
    """Sequences, and the numbers of columns that have one of their own."""

    async def create_sequence(  # noqa: PLR0913 - the options are those of CREATE SEQUENCE
        self,
        name: str,
        *,
        schema: str | None = None,
        type_: AnyType | None = None,
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
        where = qualified(schema, name)
        options = _options(
            self._dialect,
            type_=type_,
            start=start,
            increment=increment,
            minvalue=KEEP if minvalue is None else minvalue,
            maxvalue=KEEP if maxvalue is None else maxvalue,
            cache=cache,
            cycle=cycle or None,
        )
        await self._do(
            f"Created sequence {name}",
            f"CREATE SEQUENCE {where} {options}",
            *([] if owned_by is None else [f"ALTER SEQUENCE {where} {_owner(schema, owned_by)}"]),
            *([] if comment is None else [f"COMMENT ON SEQUENCE {where} IS {quote_literal(comment)}"]),
            done=lambda: self._is_sequence(schema, name, options),
        )

    async def alter_sequence(  # noqa: PLR0913 - the options are those of ALTER SEQUENCE
        self,
        name: str,
        *,
        schema: str | None = None,
        type_: AnyType | None = None,
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

        PostgreSQL refuses limits that leave out the sequence's last number. Where it has given none yet, or where its
        numbers enter the new limits at their beginning, it restarts there.

        Args:
            name: its name, exactly.
            schema: its schema; None looks along `search_path`.
            type_: SmallInteger, Integer or BigInteger.
            start: where a later RESTART begins.
            restart: the next number; a second try after a failure sets it again.
            increment: the step from one number to the next.
            minvalue: its lowest number; None is the type's.
            maxvalue: its highest; None is the type's.
            cache: how many numbers a session takes at once.
            cycle: whether it begins again at the end.
            owned_by: (table, column) of the same schema, with which it goes; None sets it free.
        """
        limited = isinstance(minvalue, int) or isinstance(maxvalue, int)
        state = await self._state(qualified(schema, name)) if limited and restart is None else None
        if state is not None:
            restart = restarted(state, start, increment, minvalue, maxvalue)
        options = _options(
            self._dialect,
            type_=type_,
            start=start,
            increment=increment,
            minvalue=minvalue,
            maxvalue=maxvalue,
            cache=cache,
            cycle=cycle,
            restart=restart,
        )
        ownership = "" if owned_by is KEEP else _owner(schema, owned_by)
        if options or ownership:
            statement = f"ALTER SEQUENCE {qualified(schema, name)} {options} {ownership}".rstrip()
            await self._do(f"Altered sequence {name}", statement)

    async def rename_sequence(self, old: str, new: str, *, schema: str | None = None) -> None:
        """Rename a sequence; defaults that draw from it follow.

        Args:
            old: its name now, exactly.
            new: its name then.
            schema: its schema; None looks along `search_path`.
        """
        await self._rename("SEQUENCE", schema, old, new)

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
        await self._drop("SEQUENCE", schema, name, if_exists=if_exists, cascade=cascade)

    async def restart_identity(
        self, table: str, column: str, value: int | None = None, *, schema: str | None = None
    ) -> None:
        """Let the numbers of an identity or serial column go on from `value`.

        Args:
            table: the table's name, exactly.
            column: the column's name, exactly.
            value: the next number, which a second try after a failure sets again; None is the one behind the rows,
                or the next as it is, where the numbers are behind the rows already: none is given twice. For that
                nobody else may write to the table for a moment, in a transaction until its end.
            schema: the table's schema; None looks along `search_path`.

        Raises:
            AuthorError: the column has no numbers of its own.
        """
        where = qualified(schema, table)
        facts = await looks.column_facts(self._wire, schema, table, column)
        if facts is None or facts.sequence is None:
            raise AuthorError(f"{table}.{column} is not there, or is no identity or serial column. Correct the name.")
        if value is None:
            following = SET_BEHIND.format(column=quote_identifier(column), table=where, sequence=facts.sequence)
            # A number of a row that is not committed cannot be seen, and setval() is never taken back.
            statements = [f"LOCK TABLE {where} IN SHARE ROW EXCLUSIVE MODE", following]
        else:
            statements = [f"SELECT setval({quote_literal(facts.sequence)}, {value:d}, false)"]
        await self._do(f"Let the numbers of {table}.{column} go on", *statements)

    async def _state(self, where: str) -> State | None:
        """Read how far a sequence is; None where the server will have more to say about it than we."""
        found = await self._wire.read(SELECT_COUNTING.format(name=quote_literal(where)))
        reached = await self._wire.read(f"SELECT last_value, is_called FROM {where}") if found else []
        return State(**found[0], **reached[0]) if reached else None

    async def _is_sequence(self, schema: str | None, name: str, options: str) -> bool:
        where = qualified(schema, name)
        kind = await looks.relation_kind(self._wire, schema, name)
        if kind is None:
            return False
        if kind == "S" and await is_same_sequence(self._wire, where, options):
            return True
        raise NameConflictError(
            f"The name {where} is taken by something else than the sequence to create, which was left as it is. Drop "
            f"it first (await self.op.drop_sequence({name!r})), or give the new sequence another name."
        )


@dataclass(frozen=True, slots=True)
class State:
    """How a sequence counts and how far it is: `last_value` was given, or is given next if not `is_called`."""

    start: int
    increment: int
    last_value: int
    is_called: bool


def restarted(
    state: State,
    start: int | None,
    increment: int | None,
    minvalue: int | Keep | None,
    maxvalue: int | Keep | None,
) -> int | None:
    """Return the number to restart from, where the last one is outside of new limits; None to go on.

    No number is given twice: a sequence restarts where it has given none, or where its numbers enter the new limits
    at their beginning. Of others PostgreSQL refuses the limits.

    Args:
        state: the sequence as it is.
        start: as `alter_sequence` takes it, like the others.
        increment: the step.
        minvalue: the lowest number.
        maxvalue: the highest.
    """
    rises = (state.increment if increment is None else increment) > 0
    below = isinstance(minvalue, int) and state.last_value < minvalue
    above = isinstance(maxvalue, int) and state.last_value > maxvalue
    is_new = not state.is_called and state.last_value == state.start
    if (below if rises else above) or (is_new and (below or above)):
        return state.start if start is None else start
    return None


def _owner(schema: str | None, owned_by: tuple[str, str] | None) -> str:
    if owned_by is None:
        return "OWNED BY NONE"
    table, column = owned_by
    return f"OWNED BY {qualified(schema, table)}.{quote_identifier(column)}"


def _options(dialect: Dialect, **options: Any) -> str:
    """Write the options of a sequence; those that are None or KEEP are left out, but a limit of None is the type's."""
    type_ = options.pop("type_")
    clauses = [] if type_ is None else [f"AS {type_text(type_, dialect)}"]
    for limit in ("minvalue", "maxvalue"):
        value = options.pop(limit)
        if value is not KEEP:
            clauses.append(f"NO {limit.upper()}" if value is None else f"{limit.upper()} {value:d}")
    if (cycle := options.pop("cycle")) is not None:
        clauses.append("CYCLE" if cycle else "NO CYCLE")
    clauses += [f"{WORDS[key]} {value:d}" for key, value in options.items() if value is not None]
    return " ".join(clauses)


SELECT_COUNTING = """SELECT seqstart AS start, seqincrement AS increment FROM pg_sequence
 WHERE seqrelid = to_regclass({name}) AND has_sequence_privilege(seqrelid, 'SELECT')"""

SET_BEHIND = """SELECT setval(q.seqrelid, r.best + q.step, false) FROM (
  SELECT seqrelid, CASE WHEN seqincrement < 0 THEN -1 ELSE 1 END AS step FROM pg_sequence) AS q
 JOIN {sequence} AS s ON s.tableoid = q.seqrelid CROSS JOIN LATERAL (
  SELECT CASE WHEN q.step < 0 THEN min({column}) ELSE max({column}) END AS best FROM {table}) AS r
 WHERE (r.best - s.last_value) * q.step >= CASE WHEN s.is_called THEN 1 ELSE 0 END"""
"""Only forward: what lies before the last number may have been given to somebody who has not used it yet."""

WORDS = {"start": "START", "increment": "INCREMENT", "cache": "CACHE", "restart": "RESTART"}
"""Of the options that are one number."""
