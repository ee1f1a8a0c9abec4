"""SQL text: quoted, split into statements by PostgreSQL's own parser, and brought to its canonical form."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice

_MAX_IDENTIFIER_BYTES = 63
_SPACE = " \t\n\r\f\v"
_BETWEEN = frozenset(_SPACE + ";")
_PLAIN = re.compile(r"[ -&(-\[\]-~]*")  # ASCII without quote and backslash

# Our own lexer and not a library's: checksums in a ledger must stay true for ever, and a library may cut a
# text differently one version later. Character classes are spelled out, since \s and \w follow the Unicode
# tables of the running Python. A literal may end with the script, so that a broken one has a checksum too.
# Groups that give nothing back are written (?>...), never (...)*+, which Python matches wrongly before 3.11.5
# (https://github.com/python/cpython/issues/106052).
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_ESCAPED = r"'(?>(?:[^'\\]++|''|\\.)*)(?:'|\Z)"
_NEXT_LINE = r"[ \t\f\v]*+(?:--[^\n\r]*+)?[\n\r](?>(?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*)"
_COMMENT_EDGE = r"/\*|\*/"
_TIGHT = frozenset("(),;[]")

# Compiled when first used: together they take longer than a query, and most commands cut no script.
_CONTROL = rf"(?ai)(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|PREPARE)(?![{_LETTER}0-9$])"
_MUTE = (
    r"(?ai)\s*(?:ALTER|ANALYZE|CLUSTER|COMMENT|CREATE|DELETE|DO|DROP|GRANT|INSERT|LOCK|MERGE|REFRESH|REINDEX|RELEASE"
    r"|RESET|REVOKE|SAVEPOINT|SET|TRUNCATE|UPDATE|VACUUM)\s[^;\0\ud800-\udfff]*;?\s*"
)
_RETURNING = "(?ai)returning"
_AFTER_WORD = "(?s)[^A-Za-z].*"
_TWO_WORDS = frozenset({"START TRANSACTION", "PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script.

    Attributes:
        text: The statement without what stands before it, its semicolon and the white space after it.
        offset: Where it begins in the script, in characters: ``script[offset:][:len(text)] == text``.
        line: The line of its first character, counted from 1.
    """

    text: str
    offset: int
    line: int


@lru_cache
def quote_identifier(name: str) -> str:
    """Quote one name of a table, column, schema or role.

    Args:
        name: The name exactly as the catalog holds it.

    Raises:
        ValueError: The name is empty, holds a NUL, is no valid text, or is longer than PostgreSQL keeps.
    """
    if not name:
        raise ValueError("An identifier is empty; PostgreSQL has no empty names. Give it a name.")
    # PostgreSQL cuts without an error, and two names could become one.
    if (size := len(_encodable(name, "identifier"))) > _MAX_IDENTIFIER_BYTES:
        raise ValueError(f"The identifier {name!r} has {size} bytes, PostgreSQL keeps 63. Shorten it.")
    return '"' + name.replace('"', '""') + '"'


@lru_cache
def qualified(schema: str | None, name: str) -> str:
    """Quote a name and, when one is given, the schema before it.

    Args:
        schema: The schema, or None to leave the choice to ``search_path``.
        name: The name of the object.

    Raises:
        ValueError: As in `quote_identifier`.
    """
    return ".".join(quote_identifier(part) for part in (schema, name) if part is not None)


def timeout(seconds: float | None) -> str:
    """Write seconds as PostgreSQL's timeouts take them, in whole milliseconds; None is no timeout, and 0 the least.

    Args:
        seconds: What the timeout is to be.
    """
    return "0" if seconds is None else str(min(max(1, round(seconds * 1000)), 2**31 - 1))


def lock_timeout_unless_set(limit: str) -> str:
    """Write the statement that gives the transaction a lock_timeout, unless the session has one.

    Args:
        limit: As PostgreSQL takes it: ``5000ms``, ``0``.
    """
    own = "nullif(current_setting('lock_timeout'), '0')"
    return f"SELECT set_config('lock_timeout', coalesce({own}, {quote_literal(limit)}), true)"


def quote_literal(value: str | int | None) -> str:
    """Write a value as an SQL literal that means the same whatever ``standard_conforming_strings`` says.

    Args:
        value: What the literal stands for.

    Raises:
        ValueError: The text holds a NUL or is no valid text.
        TypeError: The value is of another type.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return f"'{value}'"
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            # "1-" and "-1" side by side would begin a comment.
            return f" {value:d}" if value < 0 else f"{value:d}"
        case str():
            _encodable(value, "text value")
            body = value.replace("'", "''")
            return "E'" + body.replace("\\", "\\\\") + "'" if "\\" in body else f"'{body}'"
    raise TypeError(f"No SQL literal for a {type(value).__name__}; pass a str, an int, a bool or None.")


def split(script: str) -> tuple[Statement, ...]:
    """Cut a script into its statements; empty ones and comments vanish.

    PostgreSQL's parser decides. Syntax that it does not know yet is cut by PostgreSQL's scanner and psql's
    rule instead, and a text that not even the scanner can read is one statement, for the server to judge.

    Args:
        script: SQL of any number of statements.

    Raises:
        ValueError: The script holds a NUL or is no valid text.
    """
    _encodable(script, "SQL script")
    # The parser is as quick as our look for a single statement, once it is loaded.
    finders = (_parsed, _scanned) if "postgast" in sys.modules else (_single, _parsed, _scanned)
    for find in finders:
        if (spans := find(script)) is not None:
            return _statements(script, spans)
    return _statements(script, [(0, len(script))])


def transaction_control(statement_text: str) -> str | None:
    """Name the command by which a statement would begin or end the transaction it runs in.

    Args:
        statement_text: One statement; comments may stand before it.

    Returns:
        ``"COMMIT"``, ``"START TRANSACTION"`` and so on, or None for any other statement, among them
        SAVEPOINT, RELEASE and ROLLBACK TO.
    """
    start = _skip(statement_text, 0)
    if re.compile(_CONTROL).match(statement_text, start) is None:
        return None
    texts = (statement_text[at:end] for kind, at, end in _tokens(statement_text, start) if kind == "text")
    words = (re.sub(_AFTER_WORD, "", text).upper() for text in texts)
    first, second, third = (*islice(words, 3), "", "")[:3]
    if (pair := f"{first} {second}") in _TWO_WORDS:
        return pair
    to_savepoint = (third if second in {"WORK", "TRANSACTION"} else second) == "TO"
    return None if to_savepoint or first in {"START", "PREPARE"} else first


def is_mute(statement_text: str) -> bool:
    """Tell whether a text is certainly one statement that answers with no rows; False where it takes a parser.

    Args:
        statement_text: What is about to be sent.
    """
    return (
        re.compile(_MUTE).fullmatch(statement_text) is not None
        and re.compile(_RETURNING).search(statement_text) is None
    )


def unended(script: str) -> int | None:
    """Return the offset of what begins and does not end: a comment, a quoted text or name; None if all is well.

    Args:
        script: SQL of any number of statements.
    """
    quotes = [script.count(mark) for mark in "'\""]
    if not any(mark in script for mark in ("--", "/*", "$", "\\")) and not all(quotes) and not sum(quotes) % 2:
        return None  # most files, in a fraction of the time
    # What is open swallows the semicolon.
    *_, (kind, start, _) = _tokens(f"{script}\n;")
    return None if kind == "stop" else start


def canonical(script: str) -> str:
    """Remove what means nothing to the server: comments, and white space outside literals and names.

    The answer never changes from one release to the next, because ledgers keep its hash. A byte order mark
    goes too, and line ends are the same on each system, so that a checkout on Windows does not differ.

    Args:
        script: SQL of any number of statements, also a broken one.
    """
    pieces: list[str] = []
    blank, last = False, ";"
    script = script.removeprefix("\ufeff").replace("\r\n", "\n")
    for kind, start, end in _tokens(script):
        if kind != "space":
            piece = script[start:end]
            if blank and _TIGHT.isdisjoint((piece[0], last)):
                pieces.append(" ")
            pieces.append(piece)
            last = piece[-1]
        blank = kind == "space"
    return "".join(pieces)


def position(script: str, offset: int) -> tuple[int, int]:
    """Tell line and column of a character, both counted from 1.

    Args:
        script: The whole text.
        offset: The character's index in it.
    """
    return script.count("\n", 0, offset) + 1, offset - script.rfind("\n", 0, offset)


def _encodable(text: str, noun: str) -> bytes:
    subject = f"The {noun} {text[:80]!r}"
    if "\0" in text:
        raise ValueError(f"{subject} holds a NUL character, which PostgreSQL cannot store. Remove it.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{subject} is not valid Unicode text: {error.reason}. Correct it.") from None


@cache
def _token() -> re.Pattern[str]:
    """Compile what a script is cut with, which takes longer than a query and is needed when there is a script."""
    return re.compile(
        r"(?P<space>[ \t\n\r\f\v]++|--[^\n\r]*+)|(?P<comment>/\*)|(?P<stop>;)|(?P<text>(?>(?:"
        rf"[eE]{_ESCAPED}(?>(?:{_NEXT_LINE}{_ESCAPED})*)"
        rf"|[{_LETTER}][{_LETTER}0-9$]*+"
        r"|'(?>(?:[^']++|'')*)(?:'|\Z)"
        r'|"(?>(?:[^"]++|"")*)(?:"|\Z)'
        rf"|\$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*+)?)\$.*?(?:\$(?P=tag)\$|\Z)"
        r"|(?!--|/\*)[^; \t\n\r\f\v])+))",
        re.DOTALL,
    )


def _tokens(script: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end): space (or a comment), stop (a semicolon), or text up to the next of these."""
    match_at = _token().match
    while match := match_at(script, start):
        kind, end = str(match.lastgroup), match.end()
        if kind == "comment":
            kind, end = "space", _comment_end(script, end)
        yield kind, start, end
        start = end


def _comment_end(script: str, start: int) -> int:
    depth = 1
    for edge in re.compile(_COMMENT_EDGE).finditer(script, start):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(script)


def _skip(script: str, start: int) -> int:
    """Return where the next statement begins: after white space, comments and stray semicolons."""
    while start < len(script) and script[start] in _BETWEEN:
        start += 1
    if script[start : start + 2] not in {"--", "/*"}:
        return start
    return next((at for kind, at, _ in _tokens(script, start) if kind not in {"space", "stop"}), len(script))


def _single(script: str) -> list[tuple[int, int]] | None:
    """Find the one statement of a script whose only semicolon ends it, without the parser's 150 ms."""
    start = _skip(script, 0)
    end = next((at for kind, at, _ in _tokens(script, start) if kind == "stop"), len(script))
    return [(start, end)] if _skip(script, end) == len(script) else None


def _statements(script: str, spans: Iterable[tuple[int, int]]) -> tuple[Statement, ...]:
    found: list[Statement] = []
    line, counted = 1, 0
    for start, end in spans:
        offset = _skip(script, start)
        text = _without_tail(script[offset:end])
        if text:
            line, counted = line + script.count("\n", counted, offset), offset
            found.append(Statement(text, offset, line))
    return tuple(found)


def _without_tail(text: str) -> str:
    """Cut comments and white space off the end: what is put behind a line comment would be lost in it."""
    if "--" not in text and "*/" not in text:
        return text.rstrip(_SPACE)
    return text[: max((end for kind, _, end in _tokens(text) if kind != "space"), default=0)]


def _parsed(script: str) -> list[tuple[int, int]] | None:
    """Find the statements as PostgreSQL's parser sees them."""
    import postgast

    try:
        texts = postgast.split(script, method="parser")
    except postgast.PgQueryError:
        return None
    spans: list[tuple[int, int]] = []
    end = 0
    for text in texts:
        start = _skip(script, end)
        end = start + len(text)
        if script[start:end] != text:
            return None
        spans.append((start, end))
    return spans


def _scanned(script: str) -> list[tuple[int, int]] | None:
    """Find the statements by semicolons outside of parentheses and of the bodies of SQL functions."""
    # libpg_query's own scanner split is refused: it cuts such bodies into pieces, and leaves out, without an
    # error, each statement that has no keyword it knows.
    import postgast

    data = script.encode()
    try:
        tokens = postgast.scan(script).tokens
    except postgast.PgQueryError:
        return None
    spans: list[tuple[int, int]] = []
    start, start_byte, depth, blocks, before = 0, 0, 0, 0, ""
    for token in tokens:
        word = data[token.start : token.end].decode().upper()
        depth += (word == "(") - (word == ")")
        blocks += _block_step(before, word, inside=blocks > 0)
        before = word
        if word == ";" and depth <= 0 and not blocks:
            spans.append((start, start + len(data[start_byte : token.start].decode())))
            start, start_byte, depth = spans[-1][1] + 1, token.end, 0
    return [*spans, (start, len(script))]


def _block_step(before: str, word: str, *, inside: bool) -> int:
    """Count BEGIN ATOMIC ... END as psql does; a CASE inside has an END of its own."""
    if (before, word) == ("BEGIN", "ATOMIC") or (inside and word == "CASE"):
        return 1
    return -1 if inside and word == "END" else 0
