"""The house: who may import whom, and what the package shows."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import async_migrations

PACKAGE = Path(async_migrations.__file__).parent
LEVELS = (
    ("ddl", "rows", "signals", "sql"),
    ("alarm", "errors", "events", "checksum"),
    ("cursor", "migration", "retry", "source", "stop"),
    ("session", "reporting", "standing", "online", "numbering", "script", "module"),
    ("connector", "face", "ledger", "drafts"),
    ("options", "base", "lock", "standoff", "schema"),
    ("auto_schema", "plan", "discovery", "fleet", "loading", "message", "steps"),
    ("failure", "frame", "glance"),
    ("worker", "verdict"),
    ("executor",),
    ("run",),
    ("corrections", "waiting"),
    ("runner",),
    ("testing",),
    ("cli", "integrations"),
    ("__main__",),
)
POSSESSIVE = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms that a module imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("async_migrations.")}
    return {room for room in found if room in LEVEL}


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_levels_before_its_own(path: Path) -> None:
    room = room_of(path)
    assert room in LEVEL, f"{room} has no level: give it one in this test and in docs/why.md"
    higher = {other for other in rooms_imported(path) if other != room and LEVEL[other] >= LEVEL[room]}
    assert not higher, f"{room} may not import {higher}"


def test_every_level_is_of_rooms_that_exist() -> None:
    assert sorted(room for rooms in LEVELS for room in rooms) == sorted({room_of(path) for path in MODULES})


def test_the_document_has_the_same_levels() -> None:
    page = (PACKAGE.parent / "docs" / "why.md").read_text()
    for number, rooms in enumerate(LEVELS, 1):
        assert f"| {number} | {', '.join(f'`{room}`' for room in rooms)} |" in page


def test_the_public_names_are_sorted_and_complete() -> None:
    assert async_migrations.__all__ == sorted(async_migrations.__all__)
    assert set(async_migrations.__all__) == set(async_migrations._HOMES)
    for name in async_migrations.__all__:
        assert getattr(async_migrations, name).__module__.startswith("async_migrations.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Migrator'"):
        _ = async_migrations.Migrator


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            silent.append(str(path))
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                shape = any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)
                silent += [] if shape or ast.get_docstring(node) else [f"{path.name}:{node.name}"]
    assert not silent


def test_errors_are_one_tree() -> None:
    errors = importlib.import_module("async_migrations.errors")
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert all(issubclass(each, errors.MigrationsError) for each in classes)
    assert all(each.__name__ in (errors.__doc__ or "") for each in classes)


def test_no_pattern_repeats_a_group_possessively() -> None:
    # Python matches that wrongly before 3.11.5, and a checksum must be the same on each: (?>(...)*) says it as well.
    strings = {
        path.name: [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        for path in MODULES
    }
    assert not [(name, text) for name, found in strings.items() for text in found if POSSESSIVE.search(str(text))]
