"""The page as HTML: what the server says before any script has run; pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from async_migrations.integrations.page.view import View, elapsed

HERE = Path(__file__).parent


def page(state: View, table: View, *, title: str, where: str, below: str) -> str:
    """Write the whole page.

    Args:
        state: of `view.state`.
        table: of `view.table`.
        title: of the service.
        where: which database and which ledger.
        below: what leads from the page's address to what is below it.
    """
    bar = state["bar"] or {"done": 0, "total": None, "text": ""}
    shown = {
        "title": title,
        "where": where,
        "events": f"{below}events",
        "json": f"{below}state",
        "revision": table["revision"],
        "tone": state["tone"],
        "headline": state["title"],
        "detail": state["detail"],
        "migration": state["migration"] or "",
        "bar_text": bar["text"],
        "replica": state["replica"] or "",
        "lost": state["lost"] or "",
        "pending_count": str(len(table["pending"])),
        "applied_count": str(len(table["applied"])),
        "waiting_count": str(len(state["waiting"])),
    }
    written = {
        "style": _read("page.css"),
        "script": _read("page.js"),
        "since": _since(state["since"], state["now"]),
        "read": _time(state["read"]),
        "lost_since": _time(state["lost_since"]),
        "extent": "" if bar["total"] is None else f' value="{bar["done"]}" max="{bar["total"]}"',
        "bar_hidden": _hidden(bool(state["bar"])),
        "since_hidden": _hidden(bool(state["since"])),
        "replica_hidden": _hidden(bool(state["replica"])),
        "lost_hidden": _hidden(bool(state["lost"])),
        "waiting_hidden": _hidden(bool(state["waiting"])),
        "findings_hidden": _hidden(bool(table["findings"])),
        "pending_hidden": _hidden(bool(table["pending"])),
        "applied_hidden": _hidden(bool(table["applied"])),
        "waiting": "".join(_waiter(each, state["now"]) for each in state["waiting"]),
        "findings": "".join(_finding(each) for each in table["findings"]),
        "pending": "".join(_pending(each, state["migration"]) for each in table["pending"]),
        "applied": "".join(_row(each) for each in table["applied"]),
    }
    return Template(_read("page.html")).substitute({**{k: escape(v) for k, v in shown.items()}, **written})


@cache
def policy() -> str:
    """Return the Content-Security-Policy: our one script and our one style, and nothing from anywhere else."""
    script, style = (_digest(_read(name)) for name in ("page.js", "page.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


@cache
def _read(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _hidden(shown: bool) -> str:  # noqa: FBT001 - one value in, one word out
    return "" if shown else " hidden"


def _waiter(each: View, now: str) -> str:
    since = f" · connected for {_since(each['since'], now)}" if each["since"] else ""
    return f"<li><b>{escape(each['who'])}</b> <span>{escape(each['detail'])}{since}</span></li>"


def _finding(each: View) -> str:
    return f'<li data-tone="{escape(each["tone"])}">{escape(each["text"])}</li>'


def _pending(each: View, migration: str | None) -> str:
    current = ' aria-current="true"' if each["name"] == migration else ""
    return f"<li{current}><b>{escape(each['name'])}</b>{_mark(each)}</li>"


def _row(each: View) -> str:
    about = f"<small>{escape(each['description'])}</small>" if each["description"] else ""
    return (
        f'<tr role="row" data-state="{escape(each["state"])}">'
        f'<th role="rowheader" scope="row"><b>{escape(each["name"])}</b>{_mark(each)}{about}</th>'
        f'<td role="cell">{_time(each["at"])}</td><td role="cell">{escape(each["took"])}</td>'
        f'<td role="cell">{escape(each["by"])}</td></tr>'
    )


def _mark(each: View) -> str:
    return f" <mark>{escape(each['mark'])}</mark>" if each["mark"] else ""


def _time(moment: str | None) -> str:
    if moment is None:
        return ""
    shown = datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S")
    return f'<time datetime="{escape(moment)}" title="{shown} UTC">{shown} UTC</time>'


def _since(moment: str | None, now: str) -> str:
    if moment is None:
        return ""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(moment)).total_seconds()
    return f'<time data-since datetime="{escape(moment)}" title="since {escape(moment)}">{elapsed(seconds)}</time>'
