"""A SQL file: its headers, its statements, and what needs to be known of them before they are run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from async_migrations.source import FileProblem, read_file
from async_migrations.sql import Statement, canonical, position, split, transaction_control, unended

HEADER = re.compile(r"\s*--\s*(?P<key>description|transactional)\s*:\s*(?P<value>.*?)\s*$", re.IGNORECASE)
ALMOST = re.compile(r"\s*(?:--|/?\*+)\s*transactional\s*[:=]", re.IGNORECASE)
"""What looks like the header that decides how a file is run, and is none."""

LICENCE = re.compile(r"\s*/\*.*?\*/", re.DOTALL)

# These look at a statement's canonical form, which has no comments, and no white space beside brackets and commas.
_STDIN = r"""(?i)COPY\b(?!\()(?:"[^"]*"|[^"'])*\bFROM STDIN\b"""
_TEXT = r"(?:E'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$\$(?:(?!\$\$).)*\$\$|NULL)"
_FUNCTION = r"(?:pg_catalog ?\. ?)?%s\("
_TERM = rf"(?:{_TEXT}|{_FUNCTION % 'current_setting'}{_TEXT}(?:,true|,false)?\))(?: ?:: ?\w+)?"
_VALUE = rf"{_TERM}(?: ?\|\| ?{_TERM})*"
_SET_CONFIG = rf"{_FUNCTION % 'set_config'}{_TEXT},{_VALUE},(?:true|false|{_TERM})\)(?: ?(?:AS )?\w+)?"
_SETTING = rf"(?is)(?:SET|RESET|LOAD|DISCARD)\b.*|SELECT {_SET_CONFIG}(?:,{_SET_CONFIG})*"


@dataclass(frozen=True, slots=True)
class Script:
    """A plain SQL migration, or the way back of one."""

    text: str
    path: Path
    headers: Mapping[str, str]

    @property
    def transactional(self) -> bool | None:
        """What its header says; None if it says nothing."""
        return _flag(self.path, self.headers["transactional"]) if "transactional" in self.headers else None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements, as PostgreSQL's own parser splits them."""
        return split(self.text)


def read_script(path: Path) -> Script:
    """Read a SQL file.

    Raises:
        FileProblem: it cannot be read, or asks for what cannot be.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileProblem(f"{path.name} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
    if "\0" in text:
        raise FileProblem(f"{path.name} holds a NUL character, which PostgreSQL cannot take: remove it.")
    start = unended(text)
    # What does not end may be a line of the data.
    if copy := reads_stdin(text[:start]):
        raise FileProblem(
            f"{path.name}, line {copy.line}: COPY … FROM STDIN waits for data that a file cannot send. Write INSERTs, "
            "or a Python migration that calls copy_records_to_table on the driver's connection."
        )
    if start is not None:
        raise FileProblem(_unended(path, text, start))
    return Script(text, path, _headers(path, text))


def refuse_transaction_control(script: Script) -> None:
    """See that no statement ends the transaction that the engine holds open.

    Raises:
        FileProblem: one does.
    """
    if not re.search(r"\b(BEGIN|COMMIT|ROLLBACK|END|ABORT|START|PREPARE)\b", script.text, re.IGNORECASE):
        return
    for statement in script.statements:
        if keyword := transaction_control(statement.text):
            raise FileProblem(
                f"{script.path.name}, line {statement.line}: {keyword} would end the engine's own transaction. "
                "Remove it, since the whole file is one transaction already; or begin the file with "
                "`-- transactional: false`."
            )


def reads_stdin(script: str) -> Statement | None:
    """Return the first COPY … FROM STDIN: the server would wait for data that nobody sends, and no timeout ends that.

    Args:
        script: SQL of any number of statements.
    """
    if re.search(r"(?i)\bSTDIN\b", script) is None:
        return None
    copies = (each for each in split(script) if each.text[:4].upper() == "COPY")
    return next((each for each in copies if re.match(_STDIN, canonical(each.text))), None)


def is_setting(statement: str) -> bool:
    """Tell whether a statement does no more than set up its session, which a later session has to be told again.

    What calls another function than `set_config` and `current_setting` may do more.

    Args:
        statement: one statement, with nothing before it.
    """
    return re.fullmatch(_SETTING, canonical(statement)) is not None


def _headers(path: Path, text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    licence = LICENCE.match(text)
    # Headers may follow a comment at the top.
    for line in (text[licence.end() :] if licence else text).splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        if not HEADER.match(line) and ALMOST.match(line):
            raise FileProblem(f"{path.name} has {line.strip()!r}: the header is written `-- transactional: false`.")
        if match := HEADER.match(line):
            key = match["key"].lower()
            if key in headers:
                raise FileProblem(f"{path.name} has the header `-- {key}:` twice: keep one.")
            headers[key] = match["value"]
    return headers


def _flag(path: Path, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise FileProblem(f"{path.name} has `-- transactional: {value}`: it must be true or false.")
    return value.lower() == "true"


def _unended(path: Path, text: str, start: int) -> str:
    what = "the comment" if text.startswith("/*", start) else "a quoted text or name"
    line = position(text, start)[0]
    return f"{path.name}, line {line}: {what} that begins here does not end. End it, or take it out."
