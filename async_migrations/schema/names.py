"""Names of things in a database, as values, and how people write and read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_PART = re.compile(r'("(?:[^"]|"")*")|([^."]+)')


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A name with its schema: of a table, type or sequence."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{shown(self.schema)}.{shown(self.name)}"


def parse_name(text: str) -> tuple[str, ...]:
    """Cut `a.b."c.d"` into its names; one without quotes is taken as it is written."""
    parts = _PART.findall(text)
    return tuple(plain or quoted[1:-1].replace('""', '"') for quoted, plain in parts)


def shown(name: str) -> str:
    """Write one name for people: quoted where it is not plain."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def is_named(name: str, sql: str) -> bool:
    """Whether a name stands in SQL, with quotes or without: PostgreSQL does not set them where SQLAlchemy does."""
    inside = re.escape(name.replace('"', '""'))
    return re.search(rf"(?<![\w$]){inside}(?![\w$])", sql) is not None


def one_line(text: str) -> str:
    """Write what PostgreSQL prints on several lines, such as a CASE, on one."""
    return " ".join(text.split())
