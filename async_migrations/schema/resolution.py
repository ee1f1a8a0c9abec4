"""Whether hints about renames can be true, held against both sides; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from async_migrations.errors import RenameError
from async_migrations.schema import hints as h
from async_migrations.schema.hints import Hint
from async_migrations.schema.renaming import Renaming
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Constraint, Index, Name

_Key = tuple[str, Name, str]


def resolve(hints: Sequence[Hint], live: Snapshot, wanted: Snapshot) -> Renaming:
    """Hold hints against both sides.

    Args:
        hints: in the order of their kinds.
        live: the schema as it is.
        wanted: the schema that the metadata gives.

    Raises:
        RenameError: a hint renames what is not there, to what is not wanted, or onto what is there already.
    """
    if not hints:
        return Renaming()
    problems: list[str] = []
    found = [_owned(hint, hints, live) for hint in hints]
    found += _sequences_in_a_swap(found, live, wanted)
    renaming = _renaming(found, live)
    before, after = _inventory(live), _inventory(wanted)
    followed: list[Hint] = []
    done: list[Hint] = []
    leaving = {_key(hint) for hint in found}
    for hint in found:
        old, target, new = _key(hint), _key_after(hint, renaming), _key_on_the_way(hint)
        if target not in after:
            problems.append(f"{hint}: the metadata has no {_said(target)}.")
        elif old in before and new in before and new not in leaving:
            problems.append(f"{hint}: {_said(new)} is there already, beside {_said(old)}.")
        elif old in before:
            followed.append(hint)
        elif target in before:
            done.append(hint)
        else:
            problems.append(f"{hint}: the database has no {_said(old)}.")
    ordered = _ordered(followed)
    if problems:
        raise RenameError(problems)
    return replace(_renaming(ordered, live), hints=tuple(ordered), done=tuple(done))


def _sequences_in_a_swap(hints: Sequence[Hint], live: Snapshot, wanted: Snapshot) -> list[Hint]:
    """Return hints for sequences of columns whose new names are those of other sequences, now."""
    renaming = replace(_renaming(hints, live), hints=tuple(hints))
    owners = {each.owner: each.name for each in wanted.sequences if each.owner}
    names = {each.name for each in live.sequences}
    said = {hint.owner for hint in hints if hint.kind == "sequence"}
    found: list[Hint] = []
    for each in live.sequences:
        if each.owner and each.name not in said:
            table, column = each.owner
            target = owners.get((renaming.table(table), renaming.within("column", table, column)), each.name)
            if target != each.name and target in names:
                written = ("sequence", str(each.name), target.name)
                found.append(Hint("sequence", each.name, each.name.name, target.name, None, written))
    return found


def _key(hint: Hint) -> _Key:
    return hint.kind, hint.owner, hint.old


def _key_on_the_way(hint: Hint) -> _Key:
    """Return what the hint makes of its thing by itself, the other hints aside."""
    if hint.kind in {"table", "type", "sequence"}:
        return hint.kind, hint.renamed, hint.new
    owner = Name(hint.new, "") if hint.kind == "schema" else hint.owner
    return hint.kind, owner, hint.new


def _key_after(hint: Hint, renaming: Renaming) -> _Key:
    """Return what the metadata has to have."""
    if hint.kind == "schema":
        return hint.kind, Name(hint.new, ""), hint.new
    if hint.kind in {"table", "type", "sequence"}:
        owner = getattr(renaming, hint.kind)(hint.owner)
        return hint.kind, owner, owner.name
    owner = renaming.type(hint.owner) if hint.kind == "enum_value" else renaming.table(hint.owner)
    return hint.kind, owner, hint.new


def _inventory(snapshot: Snapshot) -> frozenset[_Key]:
    keys: set[_Key] = {("schema", Name(each, ""), each) for each in snapshot.schemas}
    for table in snapshot.tables:
        keys.add(("table", table.name, table.name.name))
        keys |= {("column", table.name, each.name) for each in table.columns}
        keys |= {("constraint", table.name, each.name) for each in table.constraints}
        keys |= {("index", table.name, each.name) for each in table.indexes}
    for enum in snapshot.enums:
        keys |= {("enum_value", enum.name, label) for label in enum.labels}
    for name in (*(each.name for each in snapshot.enums), *(each.name for each in snapshot.domains)):
        keys.add(("type", name, name.name))
    for sequence in snapshot.sequences:
        keys.add(("sequence", sequence.name, sequence.name.name))
    return frozenset(keys)


def _said(key: _Key) -> str:
    kind, owner, name = key
    return h.described(Hint(kind, owner, name, name, None, (kind, "", "")))


def _owned(hint: Hint, hints: Sequence[Hint], live: Snapshot) -> Hint:
    """Return a hint with the old name of the table or enum that its thing is in."""
    if hint.kind == "index" or (hint.kind == "constraint" and not hint.owner.name):
        return _searched(hint, live)
    if hint.kind in {"column", "constraint", "enum_value"}:
        kind = "type" if hint.kind == "enum_value" else "table"
        owners = [each.owner for each in hints if each.kind == kind and each.renamed == hint.owner]
        there = {table.name for table in live.tables} | {enum.name for enum in live.enums}
        return replace(hint, owner=owners[0]) if owners and hint.owner not in there else hint
    return hint


def _searched(hint: Hint, live: Snapshot) -> Hint:
    for name in (hint.old, hint.new):  # the new one where the rename is done already
        for table in live.tables:
            parts: Sequence[Index | Constraint] = table.indexes if hint.kind == "index" else table.constraints
            if table.name.schema == hint.owner.schema and any(part.name == name for part in parts):
                return replace(hint, owner=table.name)
    return hint


def _renaming(hints: Sequence[Hint], live: Snapshot) -> Renaming:
    tables = {hint.owner: hint.renamed for hint in hints if hint.kind == "table"}
    moved = {
        each.name: Name(tables[each.owner[0]].schema, each.name.name)
        for each in live.sequences
        if each.owner and each.owner[0] in tables
    }
    return Renaming(
        tables=tables,
        types={hint.owner: hint.renamed for hint in hints if hint.kind == "type"},
        sequences=moved | {hint.owner: hint.renamed for hint in hints if hint.kind == "sequence"},
        schemas={hint.old: hint.new for hint in hints if hint.kind == "schema"},
    )


def _ordered(hints: Sequence[Hint]) -> list[Hint]:
    """Put a rename onto a name behind the one that frees it; of names that are swapped one waits for the others."""
    left, ordered = list(hints), list[Hint]()
    while left:
        taken = {_key(hint) for hint in left}
        free = [hint for hint in left if _key_on_the_way(hint) not in taken - {_key(hint)}] or left[:1]
        ordered += free
        left = [hint for hint in left if hint not in free]
    return sorted(ordered, key=lambda hint: h.KINDS.index(hint.kind))
