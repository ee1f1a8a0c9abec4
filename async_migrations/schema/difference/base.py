"""What all differences have in common."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from async_migrations.schema.table import Name


class Verb(StrEnum):
    """What has to be done about a difference, by the sign that people see."""

    ADD = "+"
    REMOVE = "-"
    CHANGE = "~"
    RENAME = ">"


@dataclass(frozen=True, slots=True)
class Difference:
    """The base of all differences; `str()` is one line for people."""

    verb: ClassVar[Verb] = Verb.CHANGE

    @property
    def destructive(self) -> bool:
        """Whether following the metadata loses something that cannot be made again."""
        return False

    @property
    def group(self) -> Name | str:
        """What a list for people is grouped by: the table, else the object itself."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class OfTable(Difference):
    """A difference inside one table, which exists on both sides."""

    table: Name

    @property
    def group(self) -> Name:
        """The table."""
        return self.table
