"""Which failures are tried again, how they are told, and that trying ends."""

import asyncio
import errno
import socket
from collections.abc import Callable

import asyncpg
import pytest
import sqlalchemy.exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError

from async_migrations.errors import masked
from async_migrations.retry import (
    POOL_LIMIT,
    REFUSED,
    RETRYABLE,
    UNAVAILABLE,
    PoolExhaustedError,
    causes,
    describe,
    hopeless,
    is_exhausted,
    is_retryable,
    is_unavailable,
    persist,
    sqlstate,
)

PASSWORD = "s3cret"
TRANSIENT = {
    "55P03": asyncpg.LockNotAvailableError,
    "40P01": asyncpg.DeadlockDetectedError,
    "40001": asyncpg.SerializationError,
}


def raw(code: str, text: str = "the server says no") -> Exception:
    """Return what asyncpg raises for a SQLSTATE."""
    error: Exception = asyncpg.PostgresError.new({"C": code, "M": text, "S": "ERROR"})
    return error


def wrapped(error: BaseException) -> DBAPIError:
    """Return what SQLAlchemy makes of an error of asyncpg: its own, around the dialect's, around the driver's."""
    adapted = AsyncAdapt_asyncpg_dbapi.Error(f"{type(error)}: {error}")  # type: ignore[no-untyped-call] # SQLAlchemy's own
    adapted.__cause__ = error
    found = DBAPIError.instance(
        "INSERT INTO users (password) VALUES ($1)", [PASSWORD], adapted, AsyncAdapt_asyncpg_dbapi.Error
    )
    assert isinstance(found, DBAPIError)
    found.__cause__ = adapted
    return found


SHAPES: list[Callable[[str], Exception]] = [raw, lambda code: wrapped(raw(code))]


def chained(error: Exception) -> Exception:
    outer = RuntimeError("by an author's own code")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "shape", [*SHAPES, lambda code: chained(wrapped(raw(code)))], ids=["raw", "wrapped", "chained"]
)
@pytest.mark.parametrize("code", sorted(RETRYABLE | UNAVAILABLE | set(REFUSED) | {"42P01"}))
def test_a_sqlstate_is_found_wherever_in_the_chain_it_is(code: str, shape: Callable[[str], Exception]) -> None:
    error = shape(code)
    assert sqlstate(error) == code
    assert is_retryable(error) == (code in TRANSIENT)
    assert is_unavailable(error) == (code in UNAVAILABLE)


def test_only_these_three_repeat_a_transaction() -> None:
    assert set(TRANSIENT) == RETRYABLE
    for code, kind in TRANSIENT.items():
        assert isinstance(raw(code), kind)


@pytest.mark.parametrize("shape", SHAPES, ids=["raw", "wrapped"])
def test_a_refusal_is_neither_retried_nor_waited_for(shape: Callable[[str], Exception]) -> None:
    for code in REFUSED:
        assert not is_retryable(shape(code))
        assert not is_unavailable(shape(code))


GONE: list[tuple[BaseException, str]] = [
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 5432)"), "connection refused"),
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the host name is not known (DNS)"),
    (TimeoutError(), "no answer in time"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "[Errno 104] Connection reset by peer"),
    (
        asyncpg.ConnectionDoesNotExistError("connection was closed\nin the middle"),
        "connection was closed in the middle",
    ),
    (asyncpg.InterfaceError("connection is closed"), "connection is closed"),
    (EOFError(), "EOFError"),
    (raw("57P03", "the database system is starting up"), "the database system is starting up"),
    (raw("53300", "sorry, too many clients already"), "sorry, too many clients already"),
]


@pytest.mark.parametrize(("error", "words"), GONE, ids=[type(error).__name__ for error, _ in GONE])
def test_a_database_that_is_not_there_is_waited_for_and_told_in_a_few_words(error: Exception, words: str) -> None:
    for each in (error, wrapped(error), chained(error)):
        assert is_unavailable(each)
        assert not is_retryable(each)
        assert describe(each) == words


@pytest.mark.parametrize("text", ["query_wait_timeout", "no more connections allowed (max_client_conn)"])
def test_a_pooler_whose_server_is_not_there_is_waited_for(text: str) -> None:
    assert is_unavailable(raw("08P01", text))


def test_a_pooler_that_does_not_know_the_database_is_not_waited_for() -> None:
    assert not is_unavailable(raw("08P01", "no such database: shop"))


def test_a_pool_in_use_is_neither_the_databases_absence_nor_its_refusal() -> None:
    error = sqlalchemy.exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached", code=POOL_LIMIT)
    assert is_exhausted(error)
    assert not is_unavailable(error)
    assert not is_exhausted(TimeoutError())
    assert describe(error) == describe(PoolExhaustedError()) == "the engine's own pool has no connection left"


def test_a_connection_that_sqlalchemy_has_invalidated_is_gone() -> None:
    assert is_unavailable(OperationalError("SELECT 1", None, Exception("x"), connection_invalidated=True))
    assert is_unavailable(InterfaceError("SELECT 1", None, Exception("connection is closed")))


def test_a_file_that_cannot_be_read_is_not_waited_for() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/root/.postgresql/postgresql.key")
    for each in (error, wrapped(error), chained(error)):
        reason, remedy = hopeless(each) or ("", "")
        assert not is_unavailable(each)
        assert reason == "/root/.postgresql/postgresql.key cannot be read (Permission denied)"
        assert "set HOME" in remedy
    assert hopeless(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")) is None


def test_a_setting_that_the_driver_refuses_is_not_waited_for() -> None:
    assert not is_unavailable(InterfaceError("connect", None, Exception("unknown sslmode")))


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x"), raw("22012"), raw("57014")])
def test_what_an_author_did_wrong_is_neither(error: Exception) -> None:
    assert not is_unavailable(error)
    assert not is_retryable(error)


def test_causes_are_seen_once_even_in_a_circle() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert list(causes(one)) == [one, two]
    assert sqlstate(one) is None


def test_what_only_came_before_is_no_cause() -> None:
    error = ValueError("a mistake while handling")
    error.__context__ = raw("40P01")
    assert not is_retryable(error)


def group(*errors: Exception) -> Exception:
    """Return what a task group raises, as an author's code may wrap it."""
    return chained(ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("inner", errors)]))


@pytest.mark.parametrize("shape", SHAPES, ids=["raw", "wrapped"])
def test_a_group_is_tried_again_if_each_of_its_errors_says_so(shape: Callable[[str], Exception]) -> None:
    assert is_retryable(group(shape("55P03")))
    assert is_retryable(group(shape("55P03"), shape("40P01")))
    assert not is_retryable(group(shape("55P03"), ValueError("a mistake")))
    assert not is_retryable(group(ValueError("a mistake"), shape("55P03")))
    assert sqlstate(group(ValueError("a mistake"), shape("55P03"))) == "55P03"


def test_who_picks_an_error_out_of_a_group_decides() -> None:
    picked = raw("55P03")
    picked.__cause__ = ExceptionGroup("", [picked, ValueError("another")])
    assert is_retryable(picked)
    assert describe(picked) == "the server says no"


def test_a_group_is_told_by_its_errors() -> None:
    error = group(raw("55P03", "lock timeout"), ValueError("a mistake"), raw("55P03", "lock timeout"), TimeoutError())
    assert describe(error) == "lock timeout; a mistake; no answer in time"


@pytest.mark.parametrize(
    "error", [raw("28P01", 'password authentication failed for user "bob"'), raw("23505"), ValueError("x")]
)
def test_a_wrapped_error_is_told_without_its_statement_and_parameters(error: Exception) -> None:
    assert PASSWORD in str(wrapped(error))
    assert PASSWORD not in describe(wrapped(error))
    assert "INSERT" not in describe(wrapped(error))


def test_a_statement_error_is_told_without_its_parameters() -> None:
    error = StatementError("no value", "SELECT $1", {"password": PASSWORD}, ValueError("a value is required"))
    assert PASSWORD in str(error)
    assert describe(error) == "a value is required"


@pytest.mark.parametrize(
    "text",
    [
        f"invalid DSN: unexpected scheme in 'postgres://bob:{PASSWORD}@db/shop'",
        f"could not connect to postgresql+asyncpg://bob:{PASSWORD}@db:5432/shop?ssl=require",
        f"host=db user=bob password={PASSWORD} dbname=shop: refused",
        f"postgresql://db/shop?user=bob&password={PASSWORD}",
    ],
)
def test_a_credential_in_an_errors_own_text_is_not_told(text: str) -> None:
    assert PASSWORD not in describe(ValueError(text))
    assert PASSWORD not in describe(wrapped(ValueError(text)))


@pytest.mark.parametrize(
    "text",
    [
        f"host=db password='{PASSWORD}' dbname=shop",
        f"PGPASSWORD={PASSWORD}",
        f"{{'user': 'bob', 'password': '{PASSWORD}'}}",
        f"password = {PASSWORD}",
        f"postgresql://bob:a/{PASSWORD}@db/shop",
        f"postgresql://bob:a@{PASSWORD}@db/shop",
    ],
)
def test_a_credential_in_another_spelling_is_not_told(text: str) -> None:
    assert PASSWORD not in describe(ValueError(text))


def test_what_an_author_writes_is_told_without_passwords_and_values() -> None:
    for said in (
        f"CREATE ROLE bob PASSWORD '{PASSWORD}'",
        f"CREATE ROLE bob PASSWORD '{PASSWORD} and the server shows no more",
        f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={PASSWORD}' PUBLICATION p",
        f"no answer from redis://:{PASSWORD}@h:6379/0",
        str(StatementError("no value", "SELECT $1", {"x": f"] {PASSWORD}"}, ValueError("x"))),
        f"it said: {wrapped(ValueError('x'))}",
    ):
        assert PASSWORD in said
        assert PASSWORD not in masked(said)
    assert (
        masked("SELECT password FROM users; see http://h:8080/x") == "SELECT password FROM users; see http://h:8080/x"
    )


def test_an_error_without_words_is_told_by_its_kind_and_a_long_one_is_cut() -> None:
    assert describe(ValueError()) == "ValueError"
    assert len(describe(ValueError("x " * 5000))) == 300


class Work:
    """Fails with each of `errors` in turn, then returns "done"."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.told: list[tuple[Exception, int]] = []
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def persist(self, deadline: float = 10.0) -> str:
        return await persist(
            self,
            retry_on=is_retryable,
            on_retry=lambda error, attempt: self.told.append((error, attempt)),
            deadline=deadline,
            pause=0.0,
            longest_pause=0.0,
        )


async def test_what_succeeds_is_done_once() -> None:
    work = Work()
    assert await work.persist() == "done"
    assert (work.calls, work.told) == (1, [])


async def test_what_may_be_tried_again_is_until_it_succeeds_and_each_try_is_told() -> None:
    errors = [raw(code) for code in sorted(RETRYABLE)]
    work = Work(*errors)
    assert await work.persist() == "done"
    assert work.calls == 4
    assert work.told == [(error, number) for number, error in enumerate(errors, start=1)]


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_what_may_not_be_tried_again_is_raised_as_it_is(before: int) -> None:
    last = raw("42P01")
    work = Work(*(raw("40P01") for _ in range(before)), last)
    with pytest.raises(asyncpg.UndefinedTableError) as failed:
        await work.persist()
    assert failed.value is last
    assert len(work.told) == before


async def test_trying_ends_with_the_last_error() -> None:
    class Hopeless(Work):
        async def __call__(self) -> str:
            self.calls += 1
            raise raw("55P03", f"try {self.calls}")

    work = Hopeless()
    with pytest.raises(asyncpg.LockNotAvailableError, match=r"try \d+"):
        await work.persist(deadline=0.05)
    assert work.calls >= 2


@pytest.mark.parametrize("before", [0, 1])
async def test_cancellation_is_never_tried_again(before: int) -> None:
    work = Work(*(raw("40P01") for _ in range(before)), asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await work.persist()
    assert work.calls == before + 1


async def test_the_deadline_is_over_all_attempts() -> None:
    class Slow(Work):
        async def __call__(self) -> str:
            await asyncio.sleep(0.05)
            return await super().__call__()

    work = Slow(raw("40P01"), raw("40P01"), raw("40P01"))
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await work.persist(deadline=0.01)
    assert work.calls == 1
