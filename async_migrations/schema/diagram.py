"""A snapshot as a picture: Mermaid's text, or DOT, from which Graphviz draws SVG or PNG; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

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
from async_migrations.schema.table import Column, ConstraintKind, Table

# What its lexer takes, erDiagram.jison: words of columns and types, and names of entities in quotes.
_NO_WORD = re.compile(r"[^A-Za-z0-9_\-()\[\]\u00C0-\uFFFF]")
_MARK = re.compile(r"(?:pk|fk|uk)\b", re.IGNORECASE)
_NO_ENTITY = re.compile(r"[%\\\x00-\x1f\x7f]")


def mermaid(snapshot: Snapshot, wanted: Callable[[str, Name], bool]) -> str:
    """Return an `erDiagram` of the tables, their columns and foreign keys.

    Args:
        snapshot: the schema.
        wanted: which tables are drawn; partitions never are, they look like their table.
    """
    tables = drawn(snapshot, wanted)
    lines = ["erDiagram"]
    for table in tables:
        lines += [f"    {_entity(table.name, snapshot)} {{", *_mermaid_columns(table), "    }"]
    for table, key in keys(tables):
        one, many = ("|o" if may_be_nothing(table, key) else "||"), ("o|" if is_single(table, key) else "o{")
        target = _entity(key.target or table.name, snapshot)
        said = _quoted(", ".join(key.columns))
        lines.append(f"    {target} {one}--{many} {_entity(table.name, snapshot)} : {said}")
    return "\n".join(lines) + "\n"


def dot(snapshot: Snapshot, wanted: Callable[[str, Name], bool]) -> str:
    """Return a directed graph for Graphviz: a box for each table, an arrow from each foreign key to what it names.

    Args:
        snapshot: the schema.
        wanted: as for `mermaid`.
    """
    tables = drawn(snapshot, wanted)
    lines = [
        "digraph schema {",
        '  graph [rankdir=LR, nodesep=0.35, ranksep=0.9, pad=0.3, bgcolor="white", splines=spline];',
        '  node [shape=plain, fontname="Helvetica,Arial,sans-serif", fontsize=11];',
        f'  edge [color="{LINE}", arrowhead=crow, arrowtail=none, dir=both, arrowsize=0.8];',
    ]
    ports = {table.name: {each.name: f"c{number}" for number, each in enumerate(table.columns)} for table in tables}
    lines += [f"  {_id(table.name)} [label=<{_box(table, ports[table.name], snapshot)}>];" for table in tables]
    for table, key in keys(tables):
        target = key.target or table.name
        start, end = ports[table.name][key.columns[0]], ports[target].get(next(iter(key.target_columns), ""), "head")
        optional = ", style=dashed" if may_be_nothing(table, key) else ""
        single = ", arrowhead=none" if is_single(table, key) else ""
        tip = f'tooltip="{_escaped(key.name)}: {_escaped(key.definition)}"'
        # Read from left to right, what is referred to stands first.
        lines.append(f"  {_id(target)}:{end}r:e -> {_id(table.name)}:{start}:w [{tip}{optional}{single}];")
    return "\n".join([*lines, "}"]) + "\n"


def _mermaid_columns(table: Table) -> Iterator[str]:
    primary, foreign = (of_kind(table, kind) for kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.FOREIGN_KEY))
    unique = {
        each.columns[0] for each in table.constraints if each.kind is ConstraintKind.UNIQUE and not each.columns[1:]
    }
    for column in table.columns:
        marks = [mark for mark, names in (("PK", primary), ("FK", foreign), ("UK", unique)) if column.name in names]
        words = [_word(column.type, "t"), _word(column.name, "c")]
        words += [", ".join(marks)] if marks else []
        said = _remark(column)
        yield f"        {' '.join(words)}{f' {_quoted(said)}' if said else ''}"


def _remark(column: Column) -> str:
    parts = [] if column.nullable else ["not null"]
    parts += [column.comment] if column.comment else []
    return ", ".join(parts)


def _word(text: str, first: str) -> str:
    """Write what Mermaid takes for a type or a name: one word that begins with a letter."""
    word = _NO_WORD.sub("_", text)
    return word if word[:1].isalpha() and not _MARK.match(word) else f"{first}{word}"


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', "'") + '"'


def _entity(name: Name, snapshot: Snapshot) -> str:
    return _quoted(_NO_ENTITY.sub("_", label(name, snapshot).replace('"', "")))


def _box(table: Table, ports: dict[str, str], snapshot: Snapshot) -> str:
    primary, foreign = (of_kind(table, kind) for kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.FOREIGN_KEY))
    title = escape(label(table.name, snapshot))
    head = f'<td port="headr" colspan="2" bgcolor="{HEAD}" cellpadding="6">'
    rows = [f'<tr>{head}<font color="white"><b>{title}</b></font></td></tr>']
    for column in table.columns:
        name = escape(shown(column.name))
        name = f"<b>{name}</b>" if column.name in primary else f"<i>{name}</i>" if column.name in foreign else name
        cell = f'<td align="left" bgcolor="{KEY if column.name in primary else PLAIN}" port="{ports[column.name]}'
        told = f'<font color="{FAINT}">{escape(told_type(column))}</font>'
        rows.append(f'<tr>{cell}">{name}</td>{cell}r">{told}</td></tr>')
    table_tag = f'<table border="1" color="{LINE}" cellborder="0" cellspacing="0" cellpadding="4">'
    return f"{table_tag}{''.join(rows)}</table>"


def _id(name: Name) -> str:
    return f'"{_escaped(str(name))}"'


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
