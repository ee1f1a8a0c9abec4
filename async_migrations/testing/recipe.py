"""What a migrated database is made from: a folder, the models, the runner's options; and the digest of all of it."""

from __future__ import annotations

import hashlib
import pkgutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from async_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Table
    from sqlalchemy import Sequence as DatabaseSequence
    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_migrations.discovery import Folder
    from async_migrations.runner import MigrationRunner

COMMANDS_OWN = ("database_url_env", "scratch_embedded", "scratch_url_env")
"""Keys that only the command line reads."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a migrated database.

    Args:
        directory: the folder of migrations.
        base: the declarative base or the MetaData of the models; None if no migration asks for them.
        options: further keywords for `MigrationRunner`, such as `schema`.
        within: the schemas in which the models are compared; by default those that they use.
        exclude: patterns of names that are left alone then.
        home: the directory from which the models were imported, where it is on nobody's path.
    """

    directory: Path | str
    base: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    within: Sequence[str] = ()
    exclude: Sequence[str] = ()
    home: Path | None = None

    def runner(self, engine: AsyncEngine, **options: Any) -> MigrationRunner:
        """Return a runner that says nothing.

        Args:
            engine: on which database.
            options: those for this runner alone.
        """
        from async_migrations.runner import MigrationRunner

        return MigrationRunner(engine, self.base, self.directory, **{"observers": (), **self.options, **options})

    def folder(self) -> Folder:
        """Return what the folder of migrations holds.

        Raises:
            DiscoveryError: it is not in order.
        """
        from async_migrations.discovery import discover

        return discover(Path(self.directory))

    def names(self) -> tuple[str, ...]:
        """Return the names of all migrations, in order.

        Raises:
            DiscoveryError: the folder is not in order.
        """
        return tuple(file.name for file in self.folder().files)

    def digest(self) -> str:
        """Hash all that decides about the database: every file of the folder, the models, the options."""
        found = hashlib.sha256()
        for part in (*_files(Path(self.directory)), *_models(self.base), *_options(self.options)):
            found.update(len(part).to_bytes(8, "big") + part)
        return found.hexdigest()


def recipe_of(project: Path, directory: str = "", base: str = "") -> Recipe:
    """Read what a project's pyproject.toml says of its migrations, under [tool.async_migrations].

    Args:
        project: its directory; modules are imported from there.
        directory: the folder of migrations, where it is said elsewhere.
        base: `module:attribute` of the models, where it is said elsewhere.

    Raises:
        ConfigurationError: the models are not where they are said to be.
    """
    said = _section(project / "pyproject.toml")
    where = said.pop("directory", "migrations")
    models = said.pop("base", None)
    models = base or models
    looks = {name: tuple(said.pop(name, ())) for name in ("within", "exclude")}
    for name in COMMANDS_OWN:
        said.pop(name, None)
    home = project if models else None
    return Recipe(project / (directory or where), _import(project, models), said, **looks, home=home)


def _section(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return dict(tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("async_migrations", {}))


def _import(project: Path, place: str | None) -> Any:
    if not place:
        return None
    sys.path.insert(0, str(project))
    try:
        return pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"The models' base is said to be {place!r}, and it cannot be had: {error}. Say module:attribute, with a "
            f"module that can be imported from {project}."
        ) from error
    finally:
        sys.path.remove(str(project))


def _files(directory: Path) -> Iterator[bytes]:
    """Write out the folder, with what migrations may import or read from it."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield bytes(path.relative_to(directory))
            yield path.read_bytes()


def _models(base: Any) -> Iterator[bytes]:
    """Write out what PostgreSQL would be told of the models, their sequences, types and listeners included."""
    metadata = getattr(base, "metadata", base)
    if metadata is None:
        return
    from sqlalchemy.dialects import postgresql

    from async_migrations.schema.ddl import NotPlainError, compiled

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    try:
        # In an order of our own: that of types is not always the same.
        yield from sorted(step.sql.encode() for step in compiled(metadata, dialect, None))
    except NotPlainError:
        # A listener asks the database, which is not there yet.
        for thing in (*metadata._sequences.values(), *metadata.tables.values()):  # noqa: SLF001 - as create_all does
            yield _written(thing, dialect).encode()


def _written(thing: Table | DatabaseSequence, dialect: Dialect) -> str:
    """Write out one table or sequence by itself; a type's labels stand in its repr only."""
    from sqlalchemy import Table
    from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable

    if not isinstance(thing, Table):
        return str(CreateSequence(thing).compile(dialect=dialect))
    indexes = sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in thing.indexes)
    columns = [f"{column.type!r} {column.comment}" for column in thing.columns]
    return "\n".join([str(CreateTable(thing).compile(dialect=dialect)), *indexes, *columns, str(thing.comment)])


def _options(options: Mapping[str, Any]) -> Iterator[bytes]:
    for name, value in sorted(options.items()):
        yield f"{name}={value!r}".encode()
