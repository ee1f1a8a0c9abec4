"""Plans for snapshots that a test writes down, without a server: what would stand in which file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import MetaData

from async_migrations.schema import difference as d
from async_migrations.schema.compare import compare
from async_migrations.schema.forms import Forms
from async_migrations.schema.generate.context import Context
from async_migrations.schema.generate.plan import FilePlan, plan
from async_migrations.schema.generate.selection import followed
from async_migrations.schema.generate.source import Group, flat
from async_migrations.schema.generate.step import Stage
from async_migrations.schema.generate.words import Words, dialect_of
from async_migrations.schema.hints import parse
from async_migrations.schema.resolution import resolve
from async_migrations.schema.scope import Scope
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Index, IndexKey, Name, Table, TableKind

VERSION = 180000


def snapshot(*tables: Table, **parts: Any) -> Snapshot:
    """Return a picture of the schema public."""
    return replace(Snapshot(VERSION, "public", ("public",), tables), **parts)


def table(name: str, *parts: Column | Constraint | Index, **facts: Any) -> Table:
    """Return a table of public."""
    columns = tuple(each for each in parts if isinstance(each, Column))
    constraints = tuple(each for each in parts if isinstance(each, Constraint))
    indexes = tuple(each for each in parts if isinstance(each, Index))
    return replace(Table(Name("public", name), TableKind.TABLE, columns, constraints, indexes), **facts)


def column(name: str, type_: str = "integer", **facts: Any) -> Column:
    """Return a column."""
    return replace(Column(name, type_), **facts)


def index(name: str, *columns: str, unique: bool = False) -> Index:
    """Return an index over columns."""
    keys = tuple(IndexKey(each, each) for each in columns)
    return Index(name, f"btree ({', '.join(columns)})", unique=unique, keys=keys)


def key(name: str, *columns: str, kind: ConstraintKind = ConstraintKind.PRIMARY_KEY, **facts: Any) -> Constraint:
    """Return a primary or unique key."""
    word = "PRIMARY KEY" if kind is ConstraintKind.PRIMARY_KEY else "UNIQUE"
    return replace(Constraint(name, kind, f"{word} ({', '.join(columns)})", columns), **facts)


def reference(name: str, own: str, target: str, there: str = "id", **facts: Any) -> Constraint:
    """Return a foreign key of one column."""
    definition = f"FOREIGN KEY ({own}) REFERENCES public.{target}({there})"
    kind = ConstraintKind.FOREIGN_KEY
    return replace(Constraint(name, kind, definition, (own,), Name("public", target), (there,)), **facts)


def check(name: str, condition: str, *columns: str, **facts: Any) -> Constraint:
    """Return a CHECK."""
    return replace(Constraint(name, ConstraintKind.CHECK, f"CHECK ({condition})", columns), **facts)


def compared(live: Snapshot, wanted: Snapshot, renames: Iterable[Sequence[str]] = ()) -> tuple[d.Difference, ...]:
    """Return the differences."""
    renaming = resolve(parse(renames, "public"), live, wanted)
    return compare(live, wanted, Scope(frozenset({"public"})), renaming, Forms()).differences


@dataclass(frozen=True)
class Planned:
    """What a plan says, as source.

    Attributes:
        files: of each stage, the calls of `upgrade`, without "await self.op.".
        back: of each stage, the calls of `downgrade` in their order; None if there is none.
        left_out: the differences that are not followed.
        plans: the plan itself.
    """

    files: Mapping[str, list[str]]
    back: Mapping[str, list[str] | None]
    left_out: tuple[d.Difference, ...]
    plans: tuple[FilePlan, ...]

    @property
    def calls(self) -> list[str]:
        """All calls, in the order in which they run."""
        return [each for calls in self.files.values() for each in calls]

    def place(self, beginning: str) -> int:
        """Return the place of the one call that begins so."""
        (found,) = [place for place, each in enumerate(self.calls) if each.startswith(beginning)]
        return found


def planned(
    live: Snapshot,
    wanted: Snapshot,
    *,
    renames: Iterable[Sequence[str]] = (),
    allow_destructive: bool = False,
    metadata: MetaData | None = None,
) -> Planned:
    """Plan what leads from one snapshot to another."""
    return plan_of(
        compared(live, wanted, renames), live, wanted, allow_destructive=allow_destructive, metadata=metadata
    )


def plan_of(
    operations: Sequence[d.Difference],
    live: Snapshot,
    wanted: Snapshot,
    *,
    allow_destructive: bool = False,
    metadata: MetaData | None = None,
) -> Planned:
    """Plan what follows some differences."""
    kept, left_out = followed(operations, live, wanted, allow_destructive=allow_destructive)
    words = Words(metadata or MetaData(), wanted, dialect_of(VERSION))
    plans = plan(Context(kept, live, wanted, words, left_out, allow_destructive))
    return Planned(
        {_stage(each.stage): [_said(call) for step in each.steps for call in step.up] for each in plans},
        {_stage(each.stage): _back(each) for each in plans},
        left_out,
        plans,
    )


def _back(file: FilePlan) -> list[str] | None:
    if any(step.down is None for step in file.steps):
        return None
    return [_said(call) for step in reversed(file.steps) for call in step.down or ()]


def _stage(stage: Stage) -> str:
    return stage.name.lower()


def _said(call: Group) -> str:
    return flat(call).removeprefix("await self.op.")
