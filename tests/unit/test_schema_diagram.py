"""Mermaid's text: only what its own parser takes, whatever things are called."""

import re

import pytest

from async_migrations.schema.diagram import mermaid
from async_migrations.schema.snapshot import Snapshot
from async_migrations.schema.table import Column, Constraint, ConstraintKind, Name, Table, TableKind

# As erDiagram.jison of Mermaid 11 has them.
ENTITY = r'"[^"%\r\n\v\x08\\]+"'
WORD = r"(?!(?i:pk|fk|uk)\b)[*A-Za-z_\u00C0-\uFFFF][A-Za-z0-9\-_\[\]()\u00C0-\uFFFF*]*"
LINES = (
    r"erDiagram",
    rf"    {ENTITY} \{{",
    rf"        {WORD} {WORD}(?: (?:PK|FK|UK)(?:, (?:PK|FK|UK))*)?(?: \"[^\"]*\")?",
    r"    \}",
    rf"    {ENTITY} (?:\|\||\|o)--(?:o\||o\{{) {ENTITY} : \"[^\"]*\"",
)


def key(target: Name, *columns: str) -> Constraint:
    return Constraint("fk", ConstraintKind.FOREIGN_KEY, "FOREIGN KEY", columns, target, ("id",))


def drawn(*tables: Table) -> str:
    return mermaid(Snapshot(180000, "public", tables=tables), lambda _kind, _name: True)


@pytest.mark.parametrize(
    "name",
    ["a b", 'a"b', "100%", "back\\slash", "new\nline", "größe", "名前", "1st", "%%", "{x}|", "_", "PK", "fk", "uk-1"],
)
def test_whatever_a_thing_is_called_the_text_can_be_read(name: str) -> None:
    table = Name("public", name)
    column = Column(name, 'other."odd type"(1,2)[]', comment=f"says {name}")
    text = drawn(Table(table, columns=(column,), constraints=(key(table, name),)))
    odd = [line for line in text.splitlines() if not any(re.fullmatch(each, line) for each in LINES)]
    assert not odd


def test_letters_of_other_scripts_stay() -> None:
    assert "        text größe\n" in drawn(Table(Name("public", "a"), columns=(Column("größe", "text"),)))


def test_schemas_partitions_and_members_of_extensions() -> None:
    other, part = Table(Name("other", "a")), Table(Name("public", "p"), TableKind.PARTITION)
    member = Table(Name("public", "m"), extension="x")
    assert drawn(other, part, member) == 'erDiagram\n    "other.a" {\n    }\n'


@pytest.mark.parametrize(
    ("nullable", "unique", "line"),
    [(True, False, "|o--o{"), (False, False, "||--o{"), (False, True, "||--o|"), (True, True, "|o--o|")],
)
def test_how_many_rows_refer_to_how_many(line: str, *, nullable: bool, unique: bool) -> None:
    users = Table(Name("public", "users"), columns=(Column("id", "integer"),))
    only = (Constraint("uq", ConstraintKind.UNIQUE, "UNIQUE", ("user_id",)),) if unique else ()
    column = Column("user_id", "integer", nullable=nullable)
    phones = Table(Name("public", "phones"), columns=(column,), constraints=(key(users.name, "user_id"), *only))
    assert f'    "users" {line} "phones" : "user_id"\n' in drawn(phones, users)
