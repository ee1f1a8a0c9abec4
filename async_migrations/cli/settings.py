"""What a command was told: flags before environment before pyproject.toml before the runner's own defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from async_migrations.errors import ConfigurationError

Kind = Literal["text", "policy", "seconds", "flag", "texts"]

CHOICES = ("error", "warn", "ignore")
"""What a policy can be; the engine's own list would bring SQLAlchemy along."""

SECTION = "tool.async_migrations"
URL_VARIABLE = "DATABASE_URL"
SCRATCH_VARIABLE = "ASYNC_MIGRATIONS_SCRATCH_URL"


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: its name is the runner's keyword, the key in pyproject.toml and, with dashes, the flag."""

    name: str
    kind: Kind
    help: str

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"ASYNC_MIGRATIONS_{self.name.upper()}"

    def check(self, value: object) -> Any:
        """Return `value` from pyproject.toml if it can be one of this setting.

        Raises:
            ConfigurationError: it cannot.
        """
        wanted = {
            "text": isinstance(value, str) and bool(value) and "\0" not in value,
            "policy": value in CHOICES,
            "seconds": isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value >= 0,
            "flag": isinstance(value, bool),
            "texts": isinstance(value, list) and all(isinstance(each, str) and each for each in value),
        }
        is_url = "://" in str(value)
        if is_url and self.name.endswith("_env"):
            raise ConfigurationError(_in_file(self.name))
        if wanted[self.kind]:
            return value
        words = {
            "text": "a text, and without NUL",
            "policy": f"one of {', '.join(CHOICES)}",
            "seconds": "a number of seconds, 0 or more",
            "flag": "true or false",
            "texts": "a list of texts",
        }
        shown = "…" if is_url else repr(value)
        raise ConfigurationError(
            f"{self.name} = {shown} under [{SECTION}] in pyproject.toml must be {words[self.kind]}."
        )


BASE = Setting("base", "text", "The declarative base or MetaData of the models, as module:attribute.")
RUNNER_SETTINGS = (
    Setting("directory", "text", "The folder of migrations."),
    Setting("table", "text", "The ledger's table."),
    Setting("schema", "text", "The ledger's schema."),
    Setting("changed", "policy", "An applied file is another now."),
    Setting("missing", "policy", "An applied migration's file is gone."),
    Setting("out_of_order", "policy", "A pending migration comes before an applied one."),
    Setting("unknown", "policy", "The ledger is newer than the files."),
    Setting("connect_deadline", "seconds", "Wait so long for a database that is not there."),
    Setting("wait_deadline", "seconds", "Wait so long for another replica that migrates."),
    Setting("lock_timeout", "seconds", "A statement waits so long for a table's lock, then is tried again."),
    Setting("retry_deadline", "seconds", "Try one migration again for so long."),
    Setting("statement_timeout", "seconds", "One statement may take so long."),
    Setting("migration_deadline", "seconds", "One migration may take so long."),
    Setting("grace", "seconds", "After SIGTERM the migration at work may take so long."),
)
SETTINGS = (BASE, *RUNNER_SETTINGS)
LOOK_SETTINGS = (
    Setting("within", "texts", "The schemas to look at."),
    Setting("exclude", "texts", "Patterns of names that are left alone."),
    Setting("scratch_embedded", "flag", "Create the models on a PostgreSQL of the command's own."),
)
"""Options of the commands that look at the schema; no other command has them."""

VARIABLES = (Setting("database_url_env", "text", ""), Setting("scratch_url_env", "text", ""))
"""Keys that name environment variables; what is in those holds passwords, and has no place in a file."""

IN_FILE = {each.name: each for each in (*SETTINGS, *LOOK_SETTINGS, *VARIABLES)}


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one command.

    Attributes:
        project: the project's directory.
        name: the project's name.
        options: keywords for MigrationRunner, those that were said.
        base: `module:attribute` of the models, if it was said.
        database_url: where the database is, if it was said; holds a password.
        url_variable: the environment variable that names it.
        comparison: of the options of a look at the schema, those that were said elsewhere than on the command line;
            may hold a password.
    """

    project: Path
    name: str
    options: Mapping[str, Any]
    base: str | None = None
    database_url: str | None = field(default=None, repr=False)
    url_variable: str = URL_VARIABLE
    comparison: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def directory(self) -> Path:
        """The folder of migrations."""
        return Path(self.options.get("directory", "migrations"))


def read_settings(project: Path, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Gather what holds for one command.

    Args:
        project: the directory whose pyproject.toml counts.
        flags: what the command line said, its environment variables included.
        environment: where the database's URL is looked for.

    Raises:
        ConfigurationError: pyproject.toml cannot be read, or says what cannot be.
    """
    document = read_pyproject(project)
    said = {**_section(document), **{name: value for name, value in flags.items() if name in IN_FILE}}
    variable = said.get("database_url_env", URL_VARIABLE)
    return Settings(
        project,
        _project_name(document) or project.name or "postgres",
        {each.name: said[each.name] for each in RUNNER_SETTINGS if each.name in said},
        said.get("base"),
        flags.get("database_url") or environment.get(variable) or None,
        variable,
        _comparison(said, environment),
    )


def read_pyproject(project: Path) -> dict[str, Any]:
    """Read the project's pyproject.toml; without one there is nothing in it.

    Raises:
        ConfigurationError: it cannot be read.
    """
    path = project / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is no valid TOML: {error}.") from error


def _comparison(said: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    found = {each.name: said[each.name] for each in LOOK_SETTINGS if each.name in said}
    if url := environment.get(said.get("scratch_url_env", SCRATCH_VARIABLE)):
        found["scratch_url"] = url
    return found


def _section(document: Mapping[str, Any]) -> dict[str, Any]:
    tool = document.get("tool", {})
    section = tool.get("async_migrations", {}) if isinstance(tool, dict) else {}
    if not isinstance(section, dict):
        raise ConfigurationError(f"[{SECTION}] in pyproject.toml must be a table.")
    for key in section:
        if key not in IN_FILE:
            raise ConfigurationError(_unknown(key))
    return {key: IN_FILE[key].check(value) for key, value in section.items()}


def _in_file(key: str) -> str:
    scratch = key.startswith("scratch")
    variable, name = (SCRATCH_VARIABLE, "scratch_url_env") if scratch else (URL_VARIABLE, "database_url_env")
    return (
        f"{key} under [{SECTION}] in pyproject.toml: credentials do not belong in a file. Set {variable}, or name "
        f'another variable with {name} = "…", which takes the NAME of the variable and not the URL.'
    )


def _unknown(key: str) -> str:
    plain = key.replace("-", "_").lower()
    if plain in {"database_url", "url", "scratch_url"}:
        return _in_file(key)
    import difflib

    near = difflib.get_close_matches(plain, IN_FILE, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(IN_FILE))}."
    return f"[{SECTION}] in pyproject.toml has an unknown key {key!r}. {hint}"


def _project_name(document: Mapping[str, Any]) -> str:
    project = document.get("project", {})
    name = project.get("name", "") if isinstance(project, dict) else ""
    return name if isinstance(name, str) else ""
