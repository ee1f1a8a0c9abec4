from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    DDL,
    Column,
    Enum,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    event,
    text,
)

from async_migrations.cli.settings import LOOK_SETTINGS, VARIABLES
from async_migrations.errors import ConfigurationError
from async_migrations.testing.admin import OWNER, Nature, lock_of
from async_migrations.testing.given import GivenServer, without_password
from async_migrations.testing.recipe import COMMANDS_OWN, Recipe, recipe_of

GRANT = DDL("GRANT SELECT ON things TO PUBLIC")  # type: ignore[no-untyped-call]


def models(*more: Any, labels: tuple[str, ...] = ("a", "b"), comment: str | None = None) -> MetaData:
    metadata = MetaData()
    columns = [Column("id", Integer, primary_key=True), Column("kind", Enum(*labels, name="kind"), comment=comment)]
    Table("things", metadata, *columns, *more)
    return metadata


def also(change: Callable[[MetaData], object]) -> MetaData:
    metadata = models()
    change(metadata)
    return metadata


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "001_things.sql").write_text("CREATE TABLE things ()")
    return tmp_path


class TestDigest:
    def test_the_same_makes_the_same(self, folder: Path) -> None:
        (folder / "__pycache__").mkdir()
        before = Recipe(folder, models()).digest()
        (folder / "__pycache__" / "001.pyc").write_bytes(b"1")
        assert Recipe(str(folder), models()).digest() == before

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: (folder / "001_things.sql").write_text("CREATE TABLE things (id int)"),
            lambda folder: (folder / "001_things.down.sql").write_text("DROP TABLE things"),
            lambda folder: (folder / "_helper.py").write_text("x = 1"),
            lambda folder: (folder / "001_things.sql").rename(folder / "001_thing.sql"),
        ],
        ids=["edited", "way back", "helper", "renamed"],
    )
    def test_every_file_counts(self, folder: Path, change: Callable[[Path], object]) -> None:
        before = Recipe(folder).digest()
        change(folder)
        assert Recipe(folder).digest() != before

    @pytest.mark.parametrize(
        "other",
        [
            models(Column("name", String)),
            models(labels=("a", "b", "c")),
            models(comment="what it is"),
            models(Index("ix_kind", "kind")),
            models(ForeignKeyConstraint(["id"], ["things.id"], "fk", use_alter=True)),
            also(lambda metadata: Sequence("ticket", metadata=metadata)),
            also(lambda metadata: Enum("a", name="mood", metadata=metadata)),
            also(lambda metadata: event.listen(metadata, "after_create", GRANT)),
            None,
        ],
        ids=["column", "label", "comment", "index", "later constraint", "sequence", "type", "listener", "none"],
    )
    def test_all_of_the_models_counts(self, folder: Path, other: MetaData | None) -> None:
        assert Recipe(folder, other).digest() != Recipe(folder, models()).digest()

    @pytest.mark.parametrize(
        "other", [models(labels=("a", "b", "c")), also(lambda metadata: Sequence("ticket", metadata=metadata))]
    )
    def test_models_whose_listener_asks_the_database_count_too(self, folder: Path, other: MetaData) -> None:
        before = models()
        for each in (before, other):
            event.listen(each, "before_create", lambda _, connection, **__: connection.scalar(text("SELECT 1")))
        assert Recipe(folder, before).digest() == Recipe(folder, before).digest() != Recipe(folder, other).digest()

    def test_options_count(self, folder: Path) -> None:
        assert Recipe(folder, options={"schema": "app"}).digest() != Recipe(folder).digest()


class TestRecipeOf:
    def test_without_a_word_it_is_the_folder_migrations(self, tmp_path: Path) -> None:
        assert recipe_of(tmp_path) == Recipe(tmp_path / "migrations")

    def test_what_is_said_elsewhere_goes_before(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.async_migrations]\ndirectory = "a"\nschema = "app"\n')
        assert recipe_of(tmp_path, "b") == Recipe(tmp_path / "b", options={"schema": "app"})

    def test_what_only_the_command_line_reads_is_no_option_of_the_runner(self, tmp_path: Path) -> None:
        lines = ["[tool.async_migrations]", 'exclude = ["celery_*"]', 'within = ["shop"]']
        lines += ['database_url_env = "A"', 'scratch_url_env = "B"', "scratch_embedded = true"]
        (tmp_path / "pyproject.toml").write_text("\n".join(lines))
        expected = Recipe(tmp_path / "migrations", within=("shop",), exclude=("celery_*",))
        assert recipe_of(tmp_path) == expected
        assert {*COMMANDS_OWN, "within", "exclude"} == {each.name for each in (*LOOK_SETTINGS, *VARIABLES)}

    @pytest.mark.parametrize("place", ["nowhere_at_all:Base", "pathlib:Base", "a b"])
    def test_models_that_are_not_there_are_an_error(self, tmp_path: Path, place: str) -> None:
        with pytest.raises(ConfigurationError, match=f"{place!r}, and it cannot be had"):
            recipe_of(tmp_path, base=place)


class TestGivenServer:
    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
    def test_names_each_of_its_databases(self, scheme: str) -> None:
        server = GivenServer(f"{scheme}://me:p%40ss@db:5433/first?ssl=require")
        assert server.url() == "postgresql+asyncpg://me:p%40ss@db:5433/first?ssl=require"
        assert server.url("a/b", driver="") == "postgresql://me:p%40ss@db:5433/a%2Fb?ssl=require"

    def test_says_sslmode_as_the_driver_does(self) -> None:
        server = GivenServer("postgresql://db/first?application_name=sslmode=a&sslmode=require")
        assert server.url() == "postgresql+asyncpg://db/first?application_name=sslmode=a&ssl=require"
        assert server.url(driver="") == "postgresql://db/first?application_name=sslmode=a&sslmode=require"

    @pytest.mark.parametrize(
        "given", ["mysql://me:secret@db/a", "me:secret@db", "postgresql", "postgresql://me:my@secret:x@db/a"]
    )
    def test_refuses_others_without_repeating_them(self, given: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            GivenServer(given)
        assert "secret" not in str(caught.value)

    def test_does_not_show_its_password(self) -> None:
        assert "secret" not in repr(GivenServer("postgresql://me:secret@db/a"))
        assert without_password("postgresql://me:secret@db:1/a?ssl=on") == "postgresql://me:***@db:1/a?ssl=on"
        assert (
            without_password("postgresql://me:sec?ret@db:1/a?password=secret")
            == "postgresql://me:***@db:1/a?password=***"
        )
        assert without_password("postgresql://db/a") == "postgresql://db/a"


class TestNature:
    @pytest.mark.parametrize(
        ("version", "fsync", "strategy"),
        [
            (180000, False, {"strategy": "file_copy"}),
            (150000, True, {"strategy": "wal_log"}),
            (140000, False, {}),
        ],
    )
    def test_knows_the_fastest_way_to_copy(self, version: int, *, fsync: bool, strategy: dict[str, str]) -> None:
        assert Nature(version, fsync, 1).strategy == strategy

    def test_a_lock_fits_into_two_integers(self) -> None:
        assert all(-(1 << 31) <= half < 1 << 31 for name in ("a", "b", "c") for half in lock_of(OWNER, name))
