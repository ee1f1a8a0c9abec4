"""A whole SQL file as one message, and the way back from an error to its statement and line."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.message import MARK, FailedStatementError, Message, _loud_mark, _mark
from async_migrations.session import BEGIN
from async_migrations.sql import split

PATH = Path("migrations/001_users.sql")
SCRIPT = """\
-- description: Create users

CREATE TABLE users (
    id integer,
    email nonsense
); -- a comment behind

INSERT INTO users VALUES (1);
SELECT 'ü', 1/0;
"""


class ServerError(Exception):
    """What the driver raises: with a position only when the server could not parse or analyse a statement."""

    def __init__(self, position: object = None) -> None:
        super().__init__("the server says no")
        self.position = position


def message(script: str = SCRIPT) -> Message:
    return Message(split(script), PATH, before=["SET LOCAL x = 1", "INSERT claim"], after=["UPDATE claim", "COMMIT"])


def at(sent: Message, text: str) -> ServerError:
    """Return the error of a server that stumbles over `text`; it counts characters from 1, in a string."""
    return ServerError(str(sent.text.index(text) + 1))


def blamed(sent: Message, error: Exception) -> FailedStatementError:
    found = sent.blame(error)
    assert isinstance(found, FailedStatementError)
    assert found.error is error
    assert found.path == PATH
    return found


def test_the_frame_lies_around_the_statements() -> None:
    text = message("SELECT 1; SELECT 2").text
    assert text == textwrap.dedent(f"""\
        {BEGIN}; SET LOCAL x = 1; INSERT claim;
        SELECT 1
        ;
        SELECT {_mark(1)};
        SELECT 2
        ;
        SELECT {_mark(2)};
        UPDATE claim; COMMIT""")


def test_one_statement_needs_no_marks() -> None:
    assert message("SELECT 1").text == f"{BEGIN}; SET LOCAL x = 1; INSERT claim;\nSELECT 1\n;\nUPDATE claim; COMMIT"


def test_a_file_without_statements_is_a_frame_alone() -> None:
    sent = message("-- nothing yet")
    assert sent.text == f"{BEGIN}; SET LOCAL x = 1; INSERT claim;\nUPDATE claim; COMMIT"
    error = ServerError()
    assert sent.blame(error) is error


def test_a_line_comment_at_a_statements_end_swallows_nothing() -> None:
    sent = message("SELECT 1 -- one\n; SELECT 2 -- two")
    marks = [f"SELECT {_mark(number)}" for number in (1, 2)]
    found = [each.text for each in split(sent.text.replace("claim", "(SELECT 1)"))]
    assert found[-5:-2] == [marks[0], "SELECT 2", marks[1]]


@pytest.mark.parametrize("hushing", ["SET client_min_messages = error", "Reset ALL", "SELECT f('CLIENT_MIN_MESSAGES')"])
def test_a_file_that_may_want_no_notice_has_loud_marks(hushing: str) -> None:
    sent = message(f"SELECT 1; {hushing}; SELECT 2")
    assert sent.text.count(_loud_mark(1)) == sent.text.count(_loud_mark(3)) == 1


@pytest.mark.parametrize(
    ("stumbles_over", "statement", "line"),
    [("nonsense", "CREATE TABLE users", 5), ("INTO users", "INSERT INTO users", 8), ("1/0", "SELECT 'ü'", 9)],
)
def test_a_position_leads_to_the_statement_and_its_line(stumbles_over: str, statement: str, line: int) -> None:
    sent = message()
    found = blamed(sent, at(sent, stumbles_over))
    assert found.statement.startswith(statement)
    assert found.line == line
    assert str(found) == "the server says no"


def test_a_wrapped_error_keeps_its_position() -> None:
    sent = message()
    wrapped = RuntimeError("by a library")
    wrapped.__cause__ = at(sent, "INTO users")
    assert blamed(sent, wrapped).line == 8


@pytest.mark.parametrize(
    ("heard", "statement", "line"), [(0, "CREATE TABLE", 3), (1, "INSERT INTO", 8), (2, "SELECT 'ü'", 9)]
)
def test_without_a_position_the_marks_tell_how_far_it_came(heard: int, statement: str, line: int) -> None:
    sent = message()
    for number in range(1, heard + 1):
        assert sent.hear(f"{MARK}{number}")
    found = blamed(sent, ServerError())
    assert found.statement.startswith(statement)
    assert found.line == line


def test_an_error_of_the_frame_is_no_statements() -> None:
    sent = message()
    for text in ("INSERT claim", "UPDATE claim", "COMMIT"):
        error = at(sent, text)
        assert sent.blame(error) is error


def test_what_fails_behind_the_statements_fails_at_commit() -> None:
    sent = message()
    sent.hear(f"{MARK}3")
    found = blamed(sent, ServerError())
    assert (found.statement, found.line) == ("COMMIT", None)
    error = at(sent, "UPDATE claim")
    assert sent.blame(error) is error


def test_a_position_in_another_text_does_not_count_against_a_mark() -> None:
    sent = message()
    sent.hear(f"{MARK}1")
    assert blamed(sent, at(sent, "nonsense")).line == 8
    assert blamed(sent, at(sent, "INSERT claim")).line == 8


@pytest.mark.parametrize("position", ["", "x", None, "-1"])
def test_a_position_that_is_no_number_is_as_good_as_none(position: object) -> None:
    assert blamed(message(), ServerError(position)).line == 3


def test_other_notices_are_left_to_the_log() -> None:
    sent = message()
    assert not sent.hear("relation exists, skipping")
    assert not sent.hear("")
    assert blamed(sent, ServerError()).line == 3


def test_a_migrations_own_notice_that_looks_like_a_mark_is_a_notice() -> None:
    assert not message().hear(f"{MARK}of intent")
    assert not message().hear(f"{MARK}4")


def test_a_mark_is_heard_in_each_language() -> None:
    sent = message()
    assert sent.hear(f"Bezeichner »{MARK}1 ...« wird auf »{MARK}1 .« gekürzt")
    assert blamed(sent, ServerError()).line == 8


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["SELECT 1", "SELECT\n 'ü;🐘'", "-- c\nSELECT $a$;\n$a$", "SELECT 2 -- end"]), min_size=1),
    st.data(),
)
def test_every_position_in_a_statement_leads_back_to_it(pieces: list[str], data: st.DataObject) -> None:
    script = "\n;\n".join(pieces)
    statements = split(script)
    sent = message(script)
    number = data.draw(st.integers(0, len(statements) - 1))
    into = data.draw(st.integers(0, len(statements[number].text) - 1))
    found = blamed(sent, ServerError(str(sent._starts[number] + into + 1)))
    assert found.statement == statements[number].text
    assert found.line == script.count("\n", 0, statements[number].offset + into) + 1
