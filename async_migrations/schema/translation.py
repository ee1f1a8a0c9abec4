"""Names of scratch schemas in the live database, there and back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from async_migrations.schema.answers import Answers, Row

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Translation:
    """Which scratch schema stands for which of the metadata's; nothing in a scratch database.

    Attributes:
        names: real name -> scratch name.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def outward(self, sql: str) -> str:
        """Return a statement for the scratch schemas."""
        for real, scratch in self.names.items():
            quoted = '"' + real.replace('"', '""') + '"'
            sql = sql.replace(f"{quoted}.", f'"{scratch}".').replace(f"SCHEMA {quoted}", f'SCHEMA "{scratch}"')
            sql = re.sub(rf'(?<![\w".$]){re.escape(real)}\.(?=[\w"])', f'"{scratch}".', sql)
        return sql

    def inward(self, text: str) -> str:
        """Return what was printed of scratch schemas as it prints of the real ones."""
        for real, scratch in self.names.items():
            text = text.replace(scratch, real)
        return text

    def path(self, search_path: Collection[str]) -> list[str]:
        """Return a search path that finds scratch things first."""
        return [*(self.names[each] for each in search_path if each in self.names), *search_path]

    def answers(self, answers: Answers) -> Answers:
        """Return what is in the scratch schemas, and only that, as if it were in the real ones."""
        if not self.names:
            return answers
        ours = frozenset(self.names.values())
        kept = replace(
            answers,
            relations=[row for row in answers.relations if row[1] in ours],
            types=[row for row in answers.types if row[1] in ours],
            sequences=[row for row in answers.sequences if row[0] in ours],
            indexes=[_cut(row) for row in answers.indexes],
        )
        names = ("relations", "columns", "constraints", "indexes", "types", "sequences")
        return replace(kept, **{name: [self._row(row) for row in getattr(kept, name)] for name in names})

    def _row(self, row: Row) -> Row:
        return [None if each is None else self.inward(each) for each in row]


def _cut(row: Row) -> Row:
    """Return the row of an index without what its definition begins with, whose length changes with the names."""
    definition, skip = row[5] or "", int(row[6] or 0)
    return [*row[:5], definition[skip:], "0", *row[7:]]


def translation(schemas: Collection[str]) -> Translation:
    """Choose names for scratch schemas, unlike any other; they need quotes where the real names do.

    Args:
        schemas: the real names.
    """
    token = secrets.token_hex(6)
    return Translation(
        {
            real: f"{'am' if _PLAIN.fullmatch(real) else 'AM'}_scratch_{token}_{number}"
            for number, real in enumerate(sorted(schemas))
        }
    )
