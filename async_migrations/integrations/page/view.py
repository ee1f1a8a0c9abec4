"""What the page says, as plain values that HTML and JSON show alike; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from async_migrations.integrations.page.scene import Loss, Scene
from async_migrations.migration import AppliedRow, State
from async_migrations.standing import Phase, Standing

View = dict[str, Any]
"""Texts, numbers, None, and lists of such: what JSON holds."""

MARKS = {
    State.PENDING: "",
    State.APPLIED: "",
    State.DIRTY: "began and did not finish",
    State.CHANGED: "its file was changed",
    State.MISSING: "its file is gone",
    State.UNKNOWN: "newer than every file here",
}
"""What is said of a migration beside its name."""

REPLICA = {
    Phase.STARTING: "This replica is starting.",
    Phase.CONNECTING: "This replica waits for the database.",
    Phase.WAITING: "This replica waits for the one that migrates.",
    Phase.MIGRATING: "This replica is the one that migrates.",
    Phase.CURRENT: "This replica has started.",
    Phase.FAILED: "This replica could not start.",
}


def state(scene: Scene, standing: Standing | None, now: datetime) -> View:
    """Say how things stand; small, since every viewer gets it again and again.

    Args:
        scene: what was read from the database.
        standing: how this process's own run stands; None where nobody told.
        now: the time.

    Returns:
        `tone`: one of good, busy, idle, bad; `title` and `detail`: sentences; `since`: when that began; `bar`: done,
        total (or None) and text; `replica` and `lost`: sentences or None; `lost_since`; `waiting`: who; `revision`:
        of the table.
    """
    return {
        "now": now.isoformat(),
        "read": _iso(scene.at),
        **_headline(scene, standing),
        "replica": _replica(standing),
        "lost": _lost(scene),
        "lost_since": _iso(scene.loss.since) if scene.loss else None,
        "waiting": [
            {
                "who": each.host or each.client or f"pid {each.pid}",
                "detail": f"pid {each.pid} from {each.client or 'a local socket'}",
                "since": _iso(each.connected),
            }
            for each in scene.fleet.waiters
        ],
        "revision": scene.record.revision,
    }


def table(scene: Scene) -> View:
    """List what is pending and what is applied, newest first, and what files and ledger disagree on."""
    rows = {row.name: row for row in scene.record.rows}
    listed = {State.PENDING: "pending", State.DIRTY: "pending"}
    lists: dict[str, list[View]] = {"pending": [], "applied": []}
    for name, where in scene.record.states:
        lists[listed.get(where, "applied")].append(_line(name, where, rows.get(name)))
    lists["applied"].sort(key=lambda line: line["at"] or "", reverse=True)
    findings = [
        {"name": each.name, "text": each.text, "tone": "bad" if each.choice == "error" else "warn"}
        for each in scene.record.findings
    ]
    return {"revision": scene.record.revision, "findings": findings, **lists}


def took(milliseconds: int | None) -> str:
    """Say a duration."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else elapsed(seconds)  # noqa: PLR2004 - a minute


def elapsed(seconds: float) -> str:
    """Say how long ago, in two units at most."""
    whole = max(int(seconds), 0)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for number, (size, unit) in enumerate(units):
        if whole >= size:
            rest = whole % size
            size_below, unit_below = units[min(number + 1, len(units) - 1)]
            more = f" {rest // size_below} {unit_below}" if unit != "s" and rest >= size_below else ""
            return f"{whole // size} {unit}{more}"
    return "0 s"


def _headline(scene: Scene, standing: Standing | None) -> View:
    # Our own run is known from within, also while the database shows nothing: its ledger may be locked by us.
    if standing and standing.phase is Phase.MIGRATING and standing.migration:
        of = _position(standing.position, len(standing.pending))
        bar = standing.progress or _built(scene)
        return _busy(of, standing.migration, "in this process", standing.since, bar, scene)
    if scene.fleet.holder is not None:
        return _held(scene)
    if standing and standing.phase is Phase.FAILED and (scene.record.pending or scene.loss):
        where = f"Failed at {standing.migration}" if standing.migration else "The run failed"
        return _say("bad", where, _first_line(standing.reason), standing.since)
    return _at_rest(scene) if scene.at else _nothing_known(scene.loss)


def _nothing_known(loss: Loss | None) -> View:
    if loss is None:
        return _say("idle", "Nothing is known yet", "", None)
    return _say("bad", loss.what, loss.reason, loss.since)


def _held(scene: Scene) -> View:
    holder = scene.fleet.holder
    assert holder is not None  # noqa: S101 - asked before
    who = f"by pid {holder.pid} from {holder.client or 'a local socket'}"
    migration = scene.migration
    applied = {name for name, where in scene.record.states if where is State.APPLIED}
    if migration is None or (migration in applied and migration not in scene.record.pending):
        if not scene.record.pending:
            return _say("busy", "Finishing", f"Nothing is pending; the lock is held {who}.", scene.fleet.connected)
        detail = f"{_count(scene.record.pending, 'migration')} pending; the lock is held {who}."
        return _say("busy", "Migrating", detail, scene.fleet.connected)
    done = scene.done
    pending = scene.record.pending
    at = len(done) + pending.index(migration) + 1 if migration in pending else None
    return _busy(
        _position(at, len(done) + len(pending)), migration, who, scene.since, holder.progress or _built(scene), scene
    )


def _busy(
    of: str,
    migration: str,
    who: str,
    since: datetime | None,
    progress: tuple[float, float | None] | None,
    scene: Scene,
) -> View:
    build = scene.fleet.build
    detail = f"{migration}, {who}."
    if build is not None:
        waits = f", waiting for pid {build.waits_for}" if build.waits_for else ""
        detail += f" Index {build.index or ''} on {build.table}: {build.phase}{waits}.".replace("  ", " ")
    return {**_say("busy", f"Migrating{of}", detail, since), "bar": _bar(progress), "migration": migration}


def _at_rest(scene: Scene) -> View:
    record = scene.record
    dirty = [name for name, where in record.states if where is State.DIRTY]
    if dirty:
        return _say("bad", f"{dirty[0]} began and did not finish", "Nobody is at it: run upgrade again.", None)
    if record.pending:
        title = f"{_count(record.pending, 'migration')} pending"
        return _say("idle", title, "Nobody is migrating.", None)
    errors = [each for each in record.findings if each.choice == "error"]
    if errors:
        detail = "Nothing is pending, and the next start will refuse: see the findings."
        return _say("bad", "Files and ledger disagree", detail, None)
    if not record.states:
        return _say("idle", "There are no migrations", "The folder is empty.", None)
    applied = _count([name for name, _ in record.states], "migration")
    return _say("good", "Current", f"{applied} applied, nothing pending.", None)


def _say(tone: str, title: str, detail: str, since: datetime | None) -> View:
    return {"tone": tone, "title": title, "detail": detail, "since": _iso(since), "bar": None, "migration": None}


def _replica(standing: Standing | None) -> str | None:
    if standing is None:
        return None
    why = _first_line(standing.reason) if standing.phase in {Phase.FAILED, Phase.CONNECTING} else ""
    return f"{REPLICA[standing.phase]} {why}".strip()


def _lost(scene: Scene) -> str | None:
    if scene.loss is None or scene.at is None:
        return None
    return f"{scene.loss.what}: {scene.loss.reason.rstrip('.')}. What is below was read before."


def _built(scene: Scene) -> tuple[float, float | None] | None:
    return scene.fleet.build.progress if scene.fleet.build else None


def _bar(progress: tuple[float, float | None] | None) -> View | None:
    if progress is None:
        return None
    done, total = progress
    if not total:
        return {"done": done, "total": None, "text": f"{_number(done)} done"}
    share = min(done / total, 1.0)
    return {"done": min(done, total), "total": total, "text": f"{_number(done)} of {_number(total)} · {share:.0%}"}


def _first_line(text: str | None) -> str:
    """The sentence of an error, without the statement and the file that follow it."""
    return (text or "").partition("\n")[0]


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _position(at: int | None, count: int) -> str:
    return f" {at} of {count}" if at is not None else ""


def _count(names: Sequence[str], noun: str) -> str:
    return f"{len(names):,} {noun}{'' if len(names) == 1 else 's'}"


def _line(name: str, where: State, row: AppliedRow | None) -> View:
    return {
        "name": name,
        "state": str(where),
        "mark": MARKS[where],
        "description": (row.description if row else None) or "",
        "by": (row.applied_by if row else None) or "",
        "at": _iso(row.applied_at.astimezone(UTC)) if row and row.applied_at else None,
        "took": took(row.execution_time_ms if row else None),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
