"""Both sides of a comparison, and what is known of them by name."""

from __future__ import annotations

from collections.abc import Mapping

from async_migrations.schema.forms import Forms
from async_migrations.schema.scope import Scope, removable
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Name, Table


class Sides:
    """Both sides.

    Attributes:
        here: live tables.
        there: wanted tables that are compared.
        removed: live tables that the metadata lacks.
        kept: live tables that are nobody's business here.
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
