"""What a command was told, and by whom first."""

import inspect
from pathlib import Path

import pytest

from async_migrations import MigrationRunner, options
from async_migrations.cli import settings
from async_migrations.cli.settings import RUNNER_SETTINGS, Settings, read_settings
from async_migrations.errors import ConfigurationError

SECRET = "s3cret-pass"


def settings_of(project: Path, toml: str, flags: dict[str, object] | None = None, **environment: str) -> Settings:
    (project / "pyproject.toml").write_text(toml)
    return read_settings(project, flags or {}, environment)


def section(lines: str) -> str:
    return f"[tool.async_migrations]\n{lines}\n"


def test_without_a_file_nothing_is_said(tmp_path: Path) -> None:
    found = read_settings(tmp_path, {}, {})

    assert (found.options, found.base, found.database_url) == ({}, None, None)
    assert found.directory == Path("migrations")
    assert found.name == tmp_path.name


def test_a_flag_goes_before_the_file(tmp_path: Path) -> None:
    found = settings_of(tmp_path, section('table = "a"\nschema = "s"\nwait_deadline = 5'), {"table": "b"})

    assert found.options == {"table": "b", "schema": "s", "wait_deadline": 5}


def test_a_flag_goes_before_the_environment(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {"database_url": "a"}, {"DATABASE_URL": "b"}).database_url == "a"
    assert read_settings(tmp_path, {}, {"DATABASE_URL": "b"}).database_url == "b"
    assert read_settings(tmp_path, {}, {"DATABASE_URL": ""}).database_url is None


def test_the_file_may_name_another_variable_and_then_no_other_counts(tmp_path: Path) -> None:
    toml = section('database_url_env = "APP_DATABASE_URL"')

    assert settings_of(tmp_path, toml, APP_DATABASE_URL="a", DATABASE_URL="b").database_url == "a"
    assert settings_of(tmp_path, toml, DATABASE_URL="b").database_url is None


def test_every_runner_option_can_be_in_the_file(tmp_path: Path) -> None:
    values = {"text": '"x"', "policy": '"ignore"', "seconds": "1.5"}
    toml = section("\n".join(f"{each.name} = {values[each.kind]}" for each in RUNNER_SETTINGS))

    assert list(settings_of(tmp_path, toml).options) == [each.name for each in RUNNER_SETTINGS]


def test_the_settings_are_the_runners_own_keywords() -> None:
    keywords = set(inspect.signature(MigrationRunner).parameters) - {"engine", "base", "observers"}

    assert {each.name for each in RUNNER_SETTINGS} == keywords
    assert settings.CHOICES == options.CHOICES


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[tool", r"pyproject\.toml is no valid TOML"),
        ("[tool]\nasync_migrations = 3", r"\[tool\.async_migrations\] in pyproject\.toml must be a table"),
        (section("directry = 'x'"), "unknown key 'directry'. Did you mean directory?"),
        (section("out-of-order = 'warn'"), "Did you mean out_of_order?"),
        (section("zzz = 1"), "unknown key 'zzz'. There are base, changed, "),
        (section("changed = 'warning'"), "changed = 'warning' .* must be one of error, warn, ignore"),
        (section("changed = [1]"), "must be one of"),
        (section("table = 3"), "table = 3 .* must be a text"),
        (section("exclude = 'x'"), "exclude = 'x' .* must be a list of texts"),
        (section("scratch_embedded = 1"), "scratch_embedded = 1 .* must be true or false"),
        (
            section("scratch_url = 'x'"),
            "Set ASYNC_MIGRATIONS_SCRATCH_URL, or name another variable with scratch_url_env",
        ),
        (section("table = ''"), "must be a text"),
        (section('directory = "mig\\u0000x"'), "must be a text, and without NUL"),
        (section("wait_deadline = '5'"), "must be a number of seconds"),
        (section("wait_deadline = true"), "must be a number of seconds"),
        (section("wait_deadline = -1"), "must be a number of seconds"),
        (section("wait_deadline = nan"), "must be a number of seconds"),
        (section("wait_deadline = inf"), "must be a number of seconds"),
        (section("base = 3"), "base = 3 .* must be a text"),
        (section(f"database_url = 'postgresql://u:{SECRET}@h/d'"), "credentials do not belong in a file"),
        (section(f"database-url = 'postgresql://u:{SECRET}@h/d'"), "credentials do not belong in a file"),
        (section(f"database_url_env = 'postgresql://u:{SECRET}@h/d'"), "takes the NAME of the variable"),
        (section(f"database_url_env = ['postgresql://u:{SECRET}@h/d']"), "takes the NAME of the variable"),
        (section(f"scratch_url_env = 'postgresql://u:{SECRET}@h/d'"), "Set ASYNC_MIGRATIONS_SCRATCH_URL"),
        (section(f"table = ['postgresql://u:{SECRET}@h/d']"), "table = … .* must be a text"),
    ],
)
def test_a_file_that_cannot_be_right_is_a_sentence(tmp_path: Path, toml: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        settings_of(tmp_path, toml)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="no valid TOML"):
        read_settings(tmp_path, {}, {})


def test_a_file_that_is_a_directory_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_settings(tmp_path, {}, {})


@pytest.mark.parametrize("toml", ["tool = 1", "project = 1", "[project]\nname = 1"])
def test_a_file_that_has_odd_things_elsewhere_is_left_to_others(tmp_path: Path, toml: str) -> None:
    assert settings_of(tmp_path, toml).name == tmp_path.name


def test_the_project_has_the_name_that_it_gives_itself(tmp_path: Path) -> None:
    assert settings_of(tmp_path, '[project]\nname = "bookshop"').name == "bookshop"


def test_the_url_is_in_no_repr(tmp_path: Path) -> None:
    assert SECRET not in repr(read_settings(tmp_path, {"database_url": f"postgresql://u:{SECRET}@h/d"}, {}))
