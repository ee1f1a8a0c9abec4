"""Pairs of metadata, as data: what is before, what is after, which rows, which hints.

A case says how the live schema came to be (`before`, or `sql` for what SQLAlchemy cannot say) and what is wanted
(`after`). Where nothing changes there is no `before`: the live schema is made from `after`, or from `sql`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData

Build = Callable[[MetaData], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        name: a few words.
        after: fills the MetaData that is wanted.
        before: fills the MetaData that the live schema is made from.
        tags: what it is about.
        setup: SQL before anything is created, on the live side: schemas, extensions, functions.
        sql: SQL that makes the live schema, after `before` where there is one.
        rows: SQL that fills it.
        renames: hints.
        expected: names of the differences, sorted, with one for each.
        since: the oldest server that has what it uses.
        alchemy: the oldest SQLAlchemy that has.
        convention: the MetaData's naming convention.
        extensions: are created before `setup`; where a server lacks one, the case is left out.
        kept: a query and its rows, after the way to `after`.
    """

    name: str
    after: Build
    before: Build | None = None
    tags: tuple[str, ...] = ()
    setup: str = ""
    sql: str = ""
    rows: str = ""
    renames: tuple[tuple[str, str, str], ...] = ()
    expected: tuple[str, ...] = ()
    since: int = 14
    alchemy: tuple[int, int] = (2, 0)
    convention: dict[str, str] | None = None
    extensions: tuple[str, ...] = ()
    kept: tuple[str, list[tuple[Any, ...]]] | None = None

    def metadata(self, build: Build) -> MetaData:
        """Return a MetaData that `build` has filled."""
        metadata = MetaData(naming_convention=self.convention)
        build(metadata)
        return metadata

    def __str__(self) -> str:
        return self.name.replace(" ", "_")
