"""Both sides of a comparison, and what is known of them by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from async_migrations.schema.forms import Forms
from async_migrations.schema.scope import Scope, removable
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Name, Table, TableKind


class Sides:
    """Both sides.

    Attributes:
        here: live tables.
        there: wanted tables that are compared.
        removed: live tables that the metadata lacks.
        kept: live tables that are nobody's business here.
        announced: live columns that are filled as they are, since the metadata does not say how.
    """

    def __init__(self, live: Snapshot, wanted: Snapshot, scope: Scope, forms: Forms) -> None:
        self.live, self.wanted, self.scope, self.forms = live, wanted, scope, forms
        self.here: Mapping[Name, Table] = {each.name: each for each in live.tables}
        self.there: Mapping[Name, Table] = {
            each.name: each for each in wanted.tables if scope.holds("table", each.name)
        }
        self.removed = removable(live, self.there, scope)
        gone = {table.name for table in self.removed}
        self.kept = tuple(each for each in live.tables if each.name not in gone and each.name not in self.there)
        self.announced = tuple(_announced(self.here, self.there))
        self._others = {each.name: each.kind for each in live.others}

    def left_alone(self, wanted: Table) -> str | None:
        """Say what stands in the database under the name of a wanted table and is left alone; None as a rule."""
        live, name = self.here.get(wanted.name), wanted.name
        if live is None:
            kind = self._others.get(name)
            return kind and f"{name} is a {kind} in the database and a table in the metadata: left alone."
        if live.kind is not wanted.kind and live.kind in {TableKind.FOREIGN, TableKind.PARTITION}:
            kinds = f"a {live.kind.value} in the database and a {wanted.kind.value} in the metadata"
            return f"{name} is {kinds}: left alone."
        return live.extension and f"{name} belongs to the extension {live.extension}: left alone."


def _announced(here: Mapping[Name, Table], there: Mapping[Name, Table]) -> Iterator[Column]:
    for name, wanted in there.items():
        names = {each.name for each in wanted.columns if each.announced}
        if names and name in here:
            yield from (each for each in here[name].columns if each.name in names)
