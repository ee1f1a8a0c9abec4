"""What a script asks for that needs to be known before it is run."""

from __future__ import annotations

import re

from async_migrations.sql import Statement, split

_COPY_IN = r"(?is)COPY\b.*\bFROM\s+STDIN\b"
_SETTING = r"(?i)(?:SET|RESET|LOAD|DISCARD)\b|SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\("


def reads_stdin(script: str) -> Statement | None:
    """Return the first COPY … FROM STDIN: the server would wait for data that nobody sends, and no timeout ends that.

    Args:
        script: SQL of any number of statements.
    """
    if re.search(_COPY_IN, script) is None:
        return None
    return next((each for each in split(script) if re.match(_COPY_IN, each.text)), None)


def is_setting(statement: str) -> bool:
    """Tell whether a statement does no more than set up its session, which a later session has to be told again.

    Args:
        statement: one statement, with nothing before it.
    """
    return re.match(_SETTING, statement) is not None
