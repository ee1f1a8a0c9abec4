"""Statements on what all databases of a server share, which no replay may send to a server that is not its own."""

from __future__ import annotations

import re

from async_migrations.sql import canonical, split

_THINGS = r"(?:ROLE|USER(?!\s+MAPPING)|GROUP|TABLESPACE|DATABASE|SUBSCRIPTION)\b"
_SHARED = (
    rf"(?:CREATE|ALTER|DROP)\s+{_THINGS}",
    r"ALTER\s+SYSTEM\b",
    rf"(?:COMMENT|SECURITY\s+LABEL\b[^;]*?)\s+ON\s+{_THINGS}",
    # Of a role where there is no ON; ON a table it stays in the database.
    r"(?:GRANT|REVOKE)\s(?:(?!\bON\b)[^;])*?\s(?:TO|FROM)\s",
    r"(?:GRANT|REVOKE)\s[^;]*?\sON\s+(?:DATABASE|TABLESPACE|PARAMETER)\b",
    r"(?:DROP|REASSIGN)\s+OWNED\b",
)
_ANY = re.compile("|".join(_SHARED), re.IGNORECASE)
_BLOCK = re.compile(r"DO\b", re.IGNORECASE)
_WORDS = re.compile(r"GRANT|REVOKE|\w+\s+\w+", re.IGNORECASE)


def reaches_others(script: str) -> tuple[int, str] | None:
    """Return line and first words of the first statement that changes what all databases of a server share.

    A `DO` is searched as a whole, since what is in it runs at once; a function's body does not.

    Args:
        script: SQL of any number of statements.
    """
    if not _ANY.search(canonical(script)):
        return None  # most of them; to cut a script takes the parser
    for statement in split(script):
        text = canonical(statement.text)
        found = _ANY.search(text) if _BLOCK.match(text) else _ANY.match(text)
        if found and (words := _WORDS.match(found[0])):
            return statement.line, words[0].upper()
    return None
