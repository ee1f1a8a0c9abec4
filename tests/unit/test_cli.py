"""The command line where no database is needed."""

import asyncio
import contextlib
import errno
import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from async_migrations.cli import main, process
from async_migrations.cli.answer import table
from async_migrations.cli.embedded import database_name
from async_migrations.cli.models import load_base
from async_migrations.cli.options import with_default_directory
from async_migrations.cli.passfile import objection
from async_migrations.cli.writing import left_out
from async_migrations.errors import ConfigurationError
from async_migrations.schema.difference import EnumRemoved
from async_migrations.schema.generate.written import WrittenMigrations
from async_migrations.schema.snapshot import EnumType
from async_migrations.schema.table import Name

SECRET = "s3cret-pass"
COMMANDS = sorted(main.commands)
LONE = [name for name in COMMANDS if name not in {"baseline", "downgrade", "new", "renumber", "schema", "stamp"}]

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    """Return a function that runs a command in an empty project, without a database."""

    def run(*arguments: str, **environment: str | None) -> Result:
        result = CliRunner(env={"DATABASE_URL": None, **environment}).invoke(main, ["-C", str(tmp_path), *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "Traceback" not in result.output
        assert SECRET not in result.output
        return result

    return run


def document(result: Result) -> Any:
    return json.loads(result.stdout)


# Help


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help_needs_neither_sqlalchemy_nor_asyncpg(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom async_migrations.cli import main\n"
        "try:\n    main([*sys.argv[1:], '--help'])\n"
        "finally:\n    print({'sqlalchemy', 'asyncpg', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("Usage: ")
    assert done.stdout.endswith("set()\n")


def test_help_tells_the_exit_codes(invoke: Invoke) -> None:
    output = invoke("--help").output

    for line in ("0    done", "1    failed", "2    wrong usage", "3    pending or drift", "130  stopped by Ctrl-C"):
        assert line in output


def test_help_lists_what_there_is(invoke: Invoke) -> None:
    output = invoke("--help").output

    assert {f"  {name} " in output for name in COMMANDS} == {True}
    assert all(command.get_short_help_str() for command in main.commands.values())


def test_the_version_is_told(invoke: Invoke) -> None:
    assert invoke("--version").output[0].isdigit()


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["upgrade", "--nonsense"],
        ["upgrade", "extra"],
        ["downgrade"],
        ["stamp"],
        ["baseline"],
        ["new"],
        ["--changed", "maybe", "status"],
        ["status", "--wait-deadline", "soon"],
        ["status", "--wait-deadline", "nan"],
        ["wait", "--deadline", "-1"],
        ["-C", "/no/such/directory", "status"],
        ["status", "--embedded", "--database-url", f"postgresql://u:{SECRET}@h/d"],
        ["status", "--database-url", f"mysql://u:{SECRET}@h/d"],
        ["status", "--database-url", SECRET],
        ["status", "--database-url", "postgresql://h/d", "--table", ""],
        ["new", "---"],
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_usage_is_2(invoke: Invoke, arguments: list[str], *, as_json: bool) -> None:
    result = invoke(*arguments, *(["--json"] if as_json else []))

    assert result.exit_code == 2
    assert result.stderr
    if as_json:
        assert set(document(result)["error"]) >= {"type", "message"}
    else:
        assert not result.stdout


def test_a_url_in_a_wrong_place_is_not_repeated(invoke: Invoke) -> None:
    url = f"postgresql://u:{SECRET}@h/d"
    for arguments in (["status", url], [url], ["status", "--wait-deadline", url], ["status", "--changed", url]):
        assert invoke(*arguments).exit_code == 2
        assert invoke(*arguments, "--json").exit_code == 2


def test_a_mistyped_name_is_met_with_the_right_one(invoke: Invoke) -> None:
    assert "--database-url" in invoke("status", "--databse-url", "x").stderr
    assert "upgrade" in invoke("upgrde").stderr


@pytest.mark.parametrize("command", LONE)
def test_without_a_url_it_is_said_where_one_can_be_given(invoke: Invoke, command: str) -> None:
    result = invoke(command)

    assert result.exit_code == 2
    for way in ("--database-url", "DATABASE_URL", "--embedded"):
        assert way in result.stderr


def test_a_variable_that_the_file_names_is_the_one_to_set(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.async_migrations]\ndatabase_url_env = "APP_DATABASE_URL"\n')

    assert "Set APP_DATABASE_URL or" in invoke("status", DATABASE_URL="postgresql://h/d").stderr


def test_an_unknown_key_in_the_file_is_2(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.async_migrations]\ntabel = "x"\n')

    result = invoke("status", "--json")

    assert result.exit_code == 2
    assert document(result)["error"]["type"] == "ConfigurationError"
    assert "Did you mean table?" in document(result)["error"]["message"]


def test_an_option_in_the_environment_is_checked_like_a_flag(invoke: Invoke) -> None:
    result = invoke("status", ASYNC_MIGRATIONS_CHANGED="maybe")

    assert result.exit_code == 2
    assert "--changed" in result.stderr


def test_options_stand_before_the_command_or_after_it(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("--directory", "a", "new", "x").stdout
    assert invoke("new", "x", "--directory", "b").stdout
    assert invoke("--directory", "a", "new", "y", "--directory", "c").stdout
    assert invoke("new", "x", ASYNC_MIGRATIONS_DIRECTORY="d").stdout
    assert invoke("new", "x", "--directory", "e", ASYNC_MIGRATIONS_DIRECTORY="d").stdout

    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py"))
    assert written == ["a/001_x.py", "b/001_x.py", "c/001_y.py", "d/001_x.py", "e/001_x.py"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--embedded", "upgrade"], ["--embedded=", "upgrade"]),
        (["upgrade", "--embedded"], ["upgrade", "--embedded="]),
        (["--embedded=x", "upgrade"], ["--embedded=x", "upgrade"]),
        (["new", "--", "--embedded"], ["new", "--", "--embedded"]),
    ],
)
def test_a_bare_embedded_takes_no_word(given: list[str], expected: list[str]) -> None:
    assert with_default_directory(given) == expected


def test_a_directory_that_is_gone_is_2(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with contextlib.chdir(tmp_path / "gone"):
        (tmp_path / "gone").rmdir()
        result = invoke("status", "--json")
        os.chdir(tmp_path)

    assert result.exit_code == 2
    assert "change to another" in document(result)["error"]["message"]


def test_a_directory_that_goes_meanwhile_is_no_bug(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left").mkdir()

    def create(*_: object, **__: object) -> Path:
        (tmp_path / "left").rmdir()
        return tmp_path

    monkeypatch.setattr("async_migrations.drafts.create", create)
    monkeypatch.chdir(tmp_path / "left")

    assert invoke("new", "x").exit_code == 0


def test_a_home_of_another_users_is_nobodys_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    monkeypatch.delenv("PGPASSFILE", raising=False)

    assert objection(None) is None
    assert objection("/root/.pgpass") == "The password file /root/.pgpass is left out: Permission denied"


def test_a_place_for_embedded_data_that_cannot_be_made_is_2(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / ".async-migrations").write_text("a file")

    result = invoke("status", "--embedded")

    assert result.exit_code == 2
    assert "Name another place: --embedded=DIR." in result.stderr


@pytest.mark.parametrize(
    ("project", "name"),
    [("my-shop", "my-shop"), ("a\0b", "ab"), ("\0", "postgres"), ("ä" * 40, "ä" * 31), ("a\udcffb", "a?b")],
)
def test_a_database_is_named_after_its_project_as_far_as_postgresql_takes_it(project: str, name: str) -> None:
    assert database_name(project) == name


# new and renumber


def test_new_prints_the_path_and_nothing_else(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("new", "Add user settings")

    assert result.exit_code == 0
    assert Path(result.stdout.strip()).resolve() == tmp_path / "migrations" / "001_add_user_settings.py"
    assert (tmp_path / "migrations" / "head.txt").read_text() == "001_add_user_settings\n"


def test_new_as_a_document(invoke: Invoke, tmp_path: Path) -> None:
    found = document(invoke("new", "Add user settings", "--sql", "--json"))

    assert found["name"] == "001_add_user_settings"
    assert Path(found["path"]).resolve() == tmp_path / "migrations" / "001_add_user_settings.sql"


def test_new_where_nothing_can_be_written_is_1(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "migrations").write_text("a file")

    result = invoke("new", "x")

    assert result.exit_code == 1
    assert "migrations" in result.stderr


def test_renumber_without_a_database_goes_by_the_head_file(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name in ("001_a.sql", "001_b.sql"):
        (folder / name).write_text("SELECT 1;")
    (folder / "head.txt").write_text("001_b\n")

    would = invoke("renumber", "--dry-run")
    assert would.stdout == "001_a would become 002_a\n"
    assert document(invoke("renumber", "--dry-run", "--json"))["renames"] == [{"old": "001_a", "new": "002_a"}]
    assert invoke("renumber").stdout == "001_a is now 002_a\n"
    assert invoke("renumber").stdout == "Each number is that of one migration.\n"
    assert (folder / "head.txt").read_text() == "002_a\n"


def test_a_clash_that_nothing_decides_is_1(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name in ("001_a.sql", "001_b.sql"):
        (folder / name).write_text("SELECT 1;")

    result = invoke("renumber", "--json")

    assert result.exit_code == 1
    assert "renumber 001_b" in document(result)["error"]["problems"][0]


# base


MODULES = {
    "am_good": "from sqlalchemy.orm import DeclarativeBase\nclass Base(DeclarativeBase): pass\nx = 1\n",
    "am_raises": f"raise RuntimeError('no {SECRET[:3]} today')\n",
    "am_connects": f"raise RuntimeError('postgresql://u:{SECRET}@h/d: refused')\n",
    "am_exits": "raise SystemExit(3)\n",
    "am_syntax": "def\n",
    "am_lacks": "import no_such_library\n",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("place", ["am_good:Base", "am_good:Base.metadata"])
def test_a_base_or_its_metadata_is_loaded(place: str) -> None:
    assert load_base(place) is not None


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("am_good", "must be module:attribute"),
        (":Base", "must be module:attribute"),
        ("am_good:", "must be module:attribute"),
        ("am_nowhere:Base", "there is no module am_nowhere in "),
        ("am_nowhere.models:Base", "there is no module am_nowhere in "),
        ("am_good:Bse", r"am_good has no Bse\. There is Base\."),
        ("am_good:x", r"which is int: no declarative base and no MetaData\. There is Base\."),
        ("am_raises:Base", r"am_raises cannot be imported: RuntimeError: no .* \(.*am_raises\.py, line 1\)"),
        ("am_connects:Base", r"RuntimeError: postgresql://u:\*\*\*@h/d: refused"),
        ("am_exits:Base", "cannot be imported: SystemExit: 3"),
        ("am_syntax:Base", "cannot be imported: SyntaxError"),
        ("am_lacks:Base", r"cannot be imported: ModuleNotFoundError: No module named 'no_such_library' \(.*line 1\)"),
        ("..x:Base", "cannot be imported"),
    ],
)
def test_a_base_that_is_not_there_is_a_sentence(place: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        load_base(place)
    assert SECRET not in str(caught.value)


# The frame


def test_logging_is_left_as_it_was(invoke: Invoke) -> None:
    logger = logging.getLogger("async_migrations")
    before = (logger.level, logger.propagate, list(logger.handlers), list(sys.path))

    invoke("new", "x", "-v")

    assert (logger.level, logger.propagate, list(logger.handlers), list(sys.path)) == before
    assert not logging.getLogger().handlers or "Stderr" not in str(logging.getLogger().handlers)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"by zero at postgresql://u:{SECRET}@h/d")

    monkeypatch.setattr("async_migrations.drafts.create", fail)


@pytest.mark.usefixtures("broken")
def test_a_bug_is_a_sentence(invoke: Invoke) -> None:
    result = invoke("new", "x", "--json")

    assert result.exit_code == 1
    assert document(result)["error"]["type"] == "ZeroDivisionError"
    assert "The option -v shows where" in result.stderr


@pytest.mark.usefixtures("broken")
def test_a_bug_shows_where_it_is_when_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-C", str(tmp_path), "new", "x", "-v"])

    assert "Traceback" in result.stderr
    assert SECRET not in result.stderr


def test_ctrl_c_outside_of_the_event_loop_is_130(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("async_migrations.drafts.create", interrupt)

    result = invoke("new", "x", "--json")

    assert result.exit_code == 130
    assert document(result)["error"]["signal"] == "SIGINT"


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_errors_are_red_on_a_terminal_unless_refused(
    tmp_path: Path, environment: dict[str, str], *, coloured: bool
) -> None:
    runner = CliRunner(env={"DATABASE_URL": None, "NO_COLOR": None, **environment})

    result = runner.invoke(main, ["-C", str(tmp_path), "status"], color=True)

    assert (click.style("It is", fg="red")[:5] in result.stderr) is coloured


def test_a_table_is_aligned() -> None:
    assert table(("a", "bb"), [("ccc", "d"), ("e", "")]) == "a    bb\nccc  d\ne"


def test_the_garbage_collector_works_again_when_there_is_work() -> None:
    async def work() -> bool:
        return gc.isenabled()

    async def beside() -> None:
        await asyncio.sleep(0)

    gc.disable()
    try:
        assert process.run(work, beside)
    finally:
        gc.unfreeze()
        gc.enable()


def test_what_is_refused_is_not_said_to_be_written_when_it_is_allowed() -> None:
    lossy, refused = (EnumRemoved(name, EnumType(name, ("x",))) for name in (Name("public", "a"), Name("public", "b")))
    lines = left_out(WrittenMigrations([], [lossy, refused], [refused])).splitlines()
    assert lines[0].endswith("with --allow-destructive it is written:")
    assert lines[1] == f"  {lossy}"
    assert lines[2:] == ["Left out, since PostgreSQL refuses it as things are:", f"  {refused}"]
