"""What the page says, from plain values; nothing of it may be taken for markup."""

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_migrations.errors import ConfigurationError
from async_migrations.fleet import Build, Fleet, Waiter
from async_migrations.integrations.page import MigrationPage, Refusal, Visitor, basic, markup, view
from async_migrations.integrations.page.authorization import decide
from async_migrations.integrations.page.scene import Loss, Record, Scene
from async_migrations.integrations.page.stream import event
from async_migrations.lock import Holder, application
from async_migrations.migration import AppliedRow, State
from async_migrations.plan import Finding
from async_migrations.standing import Phase, Standing

NOW = datetime(2026, 5, 4, 3, 12, 5, tzinfo=UTC)
SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "'); alert(1)//",
    "${1+1} $style {{x}}",
    "</style><b>",
    "&lt;b&gt;",
]
NAMES = ("001_a", "002_b", "003_c", "004_d")


def record(done: int, **states: State) -> Record:
    """Return a record of four migrations, the first `done` of them applied by one run."""
    found = [(name, State.APPLIED if at < done else State.PENDING) for at, name in enumerate(NAMES)]
    rows = [AppliedRow(name, NOW, "What it does", 1500, applied_by="me@host:1", run_id="r") for name in NAMES[:done]]
    return Record(tuple((name, states.get(name[4:], state)) for name, state in found), tuple(rows), (), "v1")


def held(name: str, progress: tuple[float, float | None] | None = None, **facts: Any) -> Fleet:
    return Fleet("print", Holder(7, application(name, progress), "10.0.0.3"), **facts)


def said(scene: Scene, standing: Standing | None = None) -> view.View:
    return view.state(scene, standing, NOW)


def test_nothing_pending_is_current() -> None:
    state = said(Scene(NOW, record(4), Fleet("p")))
    assert (state["tone"], state["title"], state["detail"]) == (
        "good",
        "Current",
        "4 migrations applied, nothing pending.",
    )


def test_pending_ones_that_nobody_applies_are_said_so() -> None:
    state = said(Scene(NOW, record(3), Fleet("p")))
    assert (state["tone"], state["title"], state["detail"]) == ("idle", "1 migration pending", "Nobody is migrating.")


def test_another_replicas_migration_is_counted_with_what_its_run_has_done() -> None:
    fleet = held("003_c", (45, 100), connected=NOW - timedelta(seconds=9))
    state = said(Scene(NOW, record(2), fleet, since=NOW - timedelta(seconds=5)))
    assert (state["title"], state["migration"]) == ("Migrating 3 of 4", "003_c")
    assert state["detail"] == "003_c, by pid 7 from 10.0.0.3."
    assert state["bar"] == {"done": 45, "total": 100, "text": "45 of 100 · 45%"}
    assert state["since"] == "2026-05-04T03:12:00+00:00"


def test_an_earlier_runs_migrations_are_not_counted() -> None:
    fleet = held("003_c", connected=NOW + timedelta(seconds=1))
    assert said(Scene(NOW, record(2), fleet))["title"] == "Migrating 1 of 2"


def test_a_holder_between_two_migrations_is_migrating_all_the_same() -> None:
    for fleet in (held("002_b"), Fleet("p", Holder(7, "shop"))):
        state = said(Scene(NOW, record(2), fleet))
        assert (state["tone"], state["title"], state["bar"]) == ("busy", "Migrating", None)
        assert state["detail"].startswith("2 migrations pending; the lock is held by pid 7 from ")


def test_this_processs_own_run_is_shown_from_within() -> None:
    standing = Standing(Phase.MIGRATING, NOW, NAMES[2:], (NAMES[2],), NAMES[3], (1.5, None))
    state = said(Scene(NOW, record(3), held("003_c")), standing)
    assert (state["title"], state["migration"]) == ("Migrating 2 of 2", "004_d")
    assert state["bar"] == {"done": 1.5, "total": None, "text": "1.50 done"}
    assert state["replica"] == "This replica is the one that migrates."


def test_this_processs_own_run_is_shown_though_the_database_shows_nothing() -> None:
    standing = Standing(Phase.MIGRATING, NOW, NAMES, (), NAMES[0])
    assert said(Scene(loss=Loss(NOW, "Database not reachable", "no answer in time")), standing)["title"] == (
        "Migrating 1 of 4"
    )


def test_an_index_shows_what_the_server_does() -> None:
    build = Build("ix", "orders", "building index: scanning table", (3, 4), None)
    state = said(Scene(NOW, record(2), held("003_c", build=build)))
    assert state["detail"].endswith("Index ix on orders: building index: scanning table.")
    assert state["bar"]["text"] == "3 of 4 · 75%"
    waits = Build(None, "orders", "waiting for writers before build", (0, 2), 99)
    state = said(Scene(NOW, record(2), held("003_c", build=waits)))
    assert state["detail"].endswith("Index on orders: waiting for writers before build, waiting for pid 99.")


def test_a_failure_is_a_sentence_without_the_statement_below_it() -> None:
    failed = Standing(Phase.FAILED, NOW, NAMES[2:], (), NAMES[2], reason="It failed: no.\n  statement: SELECT secret")
    state = said(Scene(NOW, record(2), Fleet("p")), failed)
    assert (state["tone"], state["title"], state["detail"]) == ("bad", "Failed at 003_c", "It failed: no.")
    assert "secret" not in json.dumps(state)
    mended = said(Scene(NOW, record(4), Fleet("p")), failed)
    assert mended["title"] == "Current"
    assert mended["replica"] == "This replica could not start. It failed: no."


def test_a_dirty_migration_and_findings_come_before_a_calm_word() -> None:
    assert said(Scene(NOW, record(4, d=State.DIRTY), Fleet("p")))["title"] == "004_d began and did not finish"
    finding = Finding("changed", "001_a", "001_a was changed.", "error")
    disagrees = Record(record(4, a=State.CHANGED).states, record(4).rows, (finding,), "v")
    assert said(Scene(NOW, disagrees, Fleet("p")))["title"] == "Files and ledger disagree"
    table = view.table(Scene(NOW, disagrees))
    assert table["findings"] == [{"name": "001_a", "text": "001_a was changed.", "tone": "bad"}]
    assert [line["mark"] for line in table["applied"] if line["name"] == "001_a"] == ["its file was changed"]


def test_a_database_that_does_not_answer_leaves_what_was_read_last() -> None:
    loss = Loss(NOW, "Database not reachable", "connection refused")
    never = said(Scene(loss=loss))
    assert (never["tone"], never["title"], never["detail"], never["lost"]) == ("bad", loss.what, loss.reason, None)
    later = said(Scene(NOW, record(4), Fleet("p"), loss=loss))
    assert later["title"] == "Current"
    assert later["lost"] == "Database not reachable: connection refused. What is below was read before."
    assert later["lost_since"] == NOW.isoformat()


def test_waiters_are_listed_by_their_host() -> None:
    waiters = (Waiter(3, "pod-1", "10.0.0.9", NOW), Waiter(4, "", None, None))
    state = said(Scene(NOW, record(2), held("003_c", waiters=waiters)))
    assert [(each["who"], each["detail"]) for each in state["waiting"]] == [
        ("pod-1", "pid 3 from 10.0.0.9"),
        ("pid 4", "pid 4 from a local socket"),
    ]


def test_the_newest_is_applied_first_in_the_list() -> None:
    rows = [AppliedRow(name, NOW + timedelta(days=at)) for at, name in enumerate(NAMES)]
    states = tuple((name, State.APPLIED) for name in NAMES)
    listed = view.table(Scene(NOW, Record(states, tuple(rows))))["applied"]
    assert [line["name"] for line in listed] == list(reversed(NAMES))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("003_" + "long_" * 30, application("003_" + "long_" * 30, (12, 4000))),
        ("003_größe", "async_migrations: 003_gr\\xc3\\xb6\\xc3\\x9fe"),
        ("003_größe", "async_migrations: 003_gr????e (1/2)"),
    ],
)
def test_a_name_that_postgres_cut_or_rewrote_is_found_again(name: str, shown: str) -> None:
    states = (("001_a", State.APPLIED), ("002_b", State.PENDING), (name, State.PENDING))
    scene = Scene(NOW, Record(states), Fleet("p", Holder(1, shown)))
    assert scene.migration == name
    assert said(scene)["title"] == "Migrating 2 of 2"


def test_a_newer_images_migration_is_named_though_it_has_no_file_here() -> None:
    state = said(Scene(NOW, record(4), held("009_new")))
    assert (state["title"], state["detail"]) == ("Migrating", "009_new, by pid 7 from 10.0.0.3.")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-5, "0 s")],
)
def test_elapsed_time_has_two_units_at_most(seconds: float, words: str) -> None:
    assert view.elapsed(seconds) == words


@pytest.mark.parametrize(
    ("ms", "words"), [(None, ""), (0, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (65_000, "1 min 5 s")]
)
def test_durations_are_short(ms: int | None, words: str) -> None:
    assert view.took(ms) == words


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def written(word: str) -> Tags:
    """Write a page on which everything that may come from outside is `word`."""
    row = AppliedRow(word, NOW, word, 5, applied_by=word)
    states = ((word, State.CHANGED), (word + "2", State.PENDING))
    found = Record(states, (row,), (Finding("changed", word, word, "warn"),), word)
    fleet = Fleet(
        word, Holder(1, word, word), NOW, NOW, Build(word, word, word, (1, 2), 3), (Waiter(1, word, word, NOW),)
    )
    standing = Standing(Phase.FAILED, NOW, (word,), (), word, reason=word)
    scene = Scene(NOW, found, fleet, NOW, Loss(NOW, word, word))
    return Tags(markup.page(said(scene, standing), view.table(scene), title=word, where=word, below=word))


PLAIN = written("plain")


@pytest.mark.parametrize("word", HOSTILE)
def test_no_text_becomes_markup(word: str) -> None:
    page = written(word)
    assert page.tags == PLAIN.tags
    assert page.attributes == PLAIN.attributes
    assert word in page.text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_whatsoever_becomes_markup(word: str) -> None:
    page = written(word)
    assert page.tags == PLAIN.tags
    assert page.attributes == PLAIN.attributes


def test_the_policy_names_the_only_script_and_allows_no_other() -> None:
    policy = markup.policy()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not PLAIN.attributes & {"style", "onclick", "onload", "onerror", "src"}
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", markup._read("page.js"))


def test_an_event_is_one_line_of_json_whatever_is_in_it() -> None:
    text = event("state", {"title": "a\nb\r\n\ndata: c\u2028"}, "v1")
    assert text.endswith("\n\n")
    assert len(text.splitlines()) == 4
    assert json.loads(text.splitlines()[2].removeprefix("data: "))["title"] == "a\nb\r\n\ndata: c\u2028"


def scope(**headers: str) -> dict[str, Any]:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": "/migrations", "headers": encoded, "client": ("10.1.1.1", 5)}


class TeapotError(Exception):
    status_code = 418


@pytest.mark.parametrize("verdict", [False, None, 1, "yes", Refusal()])
async def test_nothing_but_true_opens_the_page(verdict: Any) -> None:
    async def slowly(_: Visitor) -> Any:
        return verdict

    assert await decide(lambda _: verdict, scope()) == Refusal(403)
    assert await decide(slowly, scope()) == Refusal(403)


async def test_a_hook_sees_who_asks_and_may_raise_what_frameworks_raise() -> None:
    seen: list[Visitor] = []

    def note(visitor: Visitor) -> bool:
        seen.append(visitor)
        return True

    def fail(_: Visitor) -> bool:
        raise TeapotError

    assert await decide(note, scope(cookie="a=1")) is None
    assert (seen[0].method, seen[0].path, seen[0].headers, seen[0].client) == (
        "GET",
        "/migrations",
        {"cookie": "a=1"},
        "10.1.1.1",
    )
    assert await decide(fail, scope()) == Refusal(418)
    with pytest.raises(ZeroDivisionError):
        await decide(lambda _: 1 // 0 == 0, scope())


@pytest.mark.parametrize(
    ("header", "let_in"),
    [
        ("Basic bWU6c2VjcmV0", True),
        ("basic bWU6c2VjcmV0", True),
        ("Basic bWU6c2VjcmV1", False),
        ("Basic !!!", False),
        ("Basic", False),
        ("Bearer bWU6c2VjcmV0", False),
        ("", False),
    ],
)
async def test_a_password_is_asked_for_as_browsers_know_it(header: str, let_in: bool) -> None:  # noqa: FBT001 - as above
    refusal = await decide(basic("me", "secret"), scope(authorization=header))
    assert (refusal is None) == let_in
    if refusal:
        assert (refusal.status, refusal.headers["www-authenticate"][:6]) == (401, "Basic ")


def test_an_empty_password_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is empty"):
        basic("me", "")


@pytest.mark.parametrize(
    "options", [{"path": "migrations"}, {"path": "/x/"}, {"path": "/"}, {"refresh": 0}, {"deadline": -1}]
)
def test_options_that_cannot_be_right_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        MigrationPage(None, **options)  # type: ignore[arg-type] # it is not looked at before the options are
