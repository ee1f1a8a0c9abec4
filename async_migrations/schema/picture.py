"""A snapshot as SVG: where tables and lines go is laid out by somebody else, what is seen is drawn here; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from async_migrations.schema.entities import (
    FAINT,
    HEAD,
    KEY,
    LINE,
    PLAIN,
    drawn,
    is_single,
    keys,
    label,
    may_be_nothing,
    of_kind,
    told_type,
)
from async_migrations.schema.names import Name, shown
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Table

PADDING, SIZE, FOOT = 20.0, 11.0, 9.0
"""Points around the picture, of the text, and of a crow's foot."""

_PLAIN = re.compile(r"[^A-Za-z0-9_.,()?]")
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def graph(snapshot: Snapshot, wanted: Callable[[str, Name], bool]) -> str:
    """Return the graph that is to be laid out as `dot -Tjson` does: of words only their widths matter.

    Args:
        snapshot: the schema.
        wanted: which tables are drawn.
    """
    tables = drawn(snapshot, wanted)
    numbers = {table.name: number for number, table in enumerate(tables)}
    lines = [
        "digraph schema {",
        "  graph [rankdir=LR, nodesep=0.35, ranksep=0.9];",
        f'  node [shape=record, fontname="Helvetica", fontsize={SIZE:g}, margin="0.1,0.05"];',
        "  edge [arrowhead=none];",
    ]
    lines += [f'  t{numbers[table.name]} [label="{_record(table, snapshot)}"];' for table in tables]
    for number, (table, key) in enumerate(keys(tables)):
        target = next(each for each in tables if each.name == (key.target or table.name))
        start, end = _place(target, key.target_columns), _place(table, key.columns)
        ends = f"t{numbers[target.name]}:{start}r:e -> t{numbers[table.name]}:{end}:w"
        lines.append(f'  {ends} [id="{number}"];')
    return "\n".join([*lines, "}"]) + "\n"


def svg(snapshot: Snapshot, wanted: Callable[[str, Name], bool], laid: Mapping[str, Any]) -> str:
    """Draw what was laid out.

    Args:
        snapshot: the schema.
        wanted: which tables are drawn.
        laid: what `dot -Tjson` makes of `graph`.
    """
    tables = drawn(snapshot, wanted)
    width, height = _numbers(laid.get("bb", "0,0,0,0"))[2:]
    whole = f"{width + 2 * PADDING:.0f} {height + 2 * PADDING:.0f}"
    size = 'width="{}pt" height="{}pt"'.format(*whole.split())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{-PADDING:g} {-PADDING:g} {whole}">',
        f'<rect x="{-PADDING:g}" y="{-PADDING:g}" width="100%" height="100%" fill="{PLAIN}"/>',
        f'<g font-family="Helvetica,Arial,sans-serif" font-size="{SIZE:g}" stroke-width="1">',
    ]
    splines = {int(each["id"]): each["pos"] for each in laid.get("edges", ())}
    for number, (table, key) in enumerate(keys(tables)):
        lines += _line(table, key, _points(splines[number], height))
    boxes = {each["name"]: _boxes(each["rects"], height) for each in laid.get("objects", ())}
    for number, table in enumerate(tables):
        lines += _table(table, boxes[f"t{number}"], snapshot)
    return "\n".join([*lines, "</g>", "</svg>"]) + "\n"


def _record(table: Table, snapshot: Snapshot) -> str:
    # A letter more: a name may be bold.
    names = "|".join(f"<c{number}>{_letters(shown(each.name))}M" for number, each in enumerate(table.columns))
    types = "|".join(f"<c{number}r>{_letters(told_type(each))}" for number, each in enumerate(table.columns))
    head = f"<h>{_letters(label(table.name, snapshot))}M"
    return f"{head}|{{{{{names}}}|{{{types}}}}}" if table.columns else head


def _letters(text: str) -> str:
    """Write a word that is about as wide, and that no graph can misread."""
    return _PLAIN.sub("W", " ".join(text.split()))


def _place(table: Table, columns: Sequence[str]) -> str:
    first = next(iter(columns), None)
    return next((f"c{number}" for number, each in enumerate(table.columns) if each.name == first), "c0")


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


def _boxes(rects: str, height: float) -> list[Box]:
    boxes = []
    for rect in rects.split():
        left, low, right, high = _numbers(rect)
        boxes.append((left, height - high, right, height - low))
    return boxes


def _points(spline: str, height: float) -> list[tuple[float, float]]:
    found = [_numbers(each) for each in spline.split() if each[0] not in "se"]
    return [(x, height - y) for x, y in found]


def _line(table: Table, key: Constraint, points: Sequence[tuple[float, float]]) -> Iterator[str]:
    dashed = ' stroke-dasharray="5 3"' if may_be_nothing(table, key) else ""
    start, *rest = (f"{x:.1f} {y:.1f}" for x, y in points)
    x, y = points[-1]
    foot = f" M{x - FOOT:.1f} {y:.1f}L{x:.1f} {y - FOOT / 2:.1f}M{x - FOOT:.1f} {y:.1f}L{x:.1f} {y + FOOT / 2:.1f}"
    tip = f"<title>{escape(f'{key.name}: {key.definition}')}</title>"
    yield f'<g fill="none" stroke="{LINE}">{tip}<path d="M{start}C{" ".join(rest)}"{dashed}/>'
    yield "</g>" if is_single(table, key) else f'<path d="{foot.strip()}"/></g>'


def _table(table: Table, boxes: Sequence[Box], snapshot: Snapshot) -> Iterator[str]:
    head, cells = boxes[0], boxes[1:]
    bottom = cells[-1][3] if cells else head[3]
    count = len(table.columns)
    primary, foreign = (of_kind(table, kind) for kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.FOREIGN_KEY))
    yield _rect((head[0], head[1], head[2], bottom), PLAIN, LINE)
    yield _rect(head, HEAD, HEAD)
    middle = (head[0] + head[2]) / 2
    yield _text(middle, head, label(table.name, snapshot), f'fill="{PLAIN}" font-weight="bold" text-anchor="middle"')
    for column, name, type_ in zip(table.columns, cells[:count], cells[count:], strict=True):
        if column.name in primary:
            yield _rect((head[0] + 0.5, name[1], head[2] - 0.5, name[3]), KEY)
        yield _text(name[0] + 6, name, shown(column.name), _style(column, primary, foreign))
        yield _text(type_[0] + 6, type_, told_type(column), f'fill="{FAINT}"')


def _style(column: Column, primary: set[str], foreign: set[str]) -> str:
    if column.name in primary:
        return 'font-weight="bold"'
    return 'font-style="italic"' if column.name in foreign else ""


def _rect(box: Box, fill: str, stroke: str = "none") -> str:
    left, top, right, bottom = box
    size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{fill}" stroke="{stroke}"/>'


def _text(x: float, box: Box, text: str, style: str) -> str:
    baseline = (box[1] + box[3]) / 2 + SIZE * 0.35
    return f'<text x="{x:.1f}" y="{baseline:.1f}" {style}>{escape(text)}</text>'
