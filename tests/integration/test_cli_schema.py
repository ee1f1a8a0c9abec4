"""The commands that look at the schema: diff, new --auto, verify --models, schema."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest

from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.conftest import MakeDatabase
from tests.support.forked import Forked, fork_on_a_terminal
from tests.support.pgbouncer import pgbouncer
from tests.support.shell import Done, Shell
from tests.support.terminal import DEADLINE, Terminal, opened_terminal
from tests.support.zygote import Order

MODELS = """
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(String(80))

class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    title: Mapped[str]
    pages: Mapped[int] = mapped_column(server_default=text("0"))
    __table_args__ = (CheckConstraint("pages >= 0", name="ck_pages"), Index("ix_books_title", "title"))
"""
BEFORE = """
CREATE TABLE authors (id serial PRIMARY KEY, name varchar(80) NOT NULL);
CREATE TABLE books (
    id serial PRIMARY KEY, author_id int NOT NULL REFERENCES authors (id), title varchar NOT NULL, pages int NOT NULL,
    motto text
);
INSERT INTO authors (name) VALUES ('Ada');
"""
RENAME = ("--rename", "column", "public.authors.name", "full_name")


class Project(Shell):
    """A folder with models and one migration; its commands are quiet."""

    def __init__(self, folder: Path, url: str | None) -> None:
        super().__init__(folder, url)
        self.write("models.py", MODELS)
        self.write("pyproject.toml", '[tool.async_migrations]\nbase = "models:Base"\n')
        self.write("migrations/001_first.sql", BEFORE)

    def __call__(self, *arguments: str, color: bool = False, **environment: str) -> Done:
        return super().__call__("-q", *arguments, color=color, **environment)

    @property
    def database(self) -> str:
        assert self.url
        return self.url

    def ask(self, query: str) -> Any:
        """Run a query on the commands' database; return its one value: commands run in this thread, without a loop."""
        return asyncio.run(self.value(query))

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.project / "migrations").iterdir() if path.suffix in {".py", ".sql"})


@pytest.fixture
def project(bare: Shell) -> Project:
    return Project(bare.project, bare.url)


@pytest.fixture(scope="module")
def template(
    server: Server, databases: Databases, opened: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the name of a migrated database, of which each test gets a copy."""
    name = databases.create(template=opened).result()
    assert Project(tmp_path_factory.mktemp("template"), server.url(name, driver=""))("upgrade").code == 0
    yield name
    databases.drop(name)


@pytest.fixture
async def migrated(
    tmp_path: Path, make_database: MakeDatabase, template: str, monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    url = await make_database(template=template)
    return Project(tmp_path, url.replace("+asyncpg", ""))


# diff


def test_diff_is_grouped_by_table_and_3(migrated: Project) -> None:
    result = migrated("diff")
    assert result.code == 3
    assert result.out == (
        "public.authors\n"
        "  + column public.authors.full_name is missing (character varying(80))\n"
        "  - column public.authors.name is not in the metadata  (loses something)\n"
        "public.books\n"
        "  ~ column public.books.pages has the default none instead of 0\n"
        "  + check ck_pages of public.books is missing: CHECK ((pages >= 0))\n"
        "  + index ix_books_title of public.books is missing: btree (title)\n"
        "  - column public.books.motto is not in the metadata  (loses something)\n"
        "\n"
        "6 differences, 2 of them lose something.\n"
        "column public.authors.name may be full_name now? Then: --rename column public.authors.name full_name\n"
    )


def test_diff_is_coloured_for_people(migrated: Project) -> None:
    coloured = migrated("diff", color=True).out
    assert click.style("+", fg="green", bold=True) in coloured
    assert click.style("public.books", bold=True) in coloured
    assert click.unstyle(coloured) == migrated("diff").out
    assert migrated("diff", color=True, NO_COLOR="1").out == migrated("diff").out


def test_diff_as_a_document(migrated: Project) -> None:
    result = migrated("diff", "--json", *RENAME)
    document = json.loads(result.out)
    assert result.code == 3
    assert document["equal"] is False
    assert document["differences"][0] == {
        "kind": "ColumnRenamed",
        "verb": "rename",
        "group": "public.authors",
        "text": "column public.authors.name is renamed to full_name",
        "destructive": False,
    }
    assert document["renames"] == []
    assert document["scratch"].startswith("the kept database async_migrations_scratch_")


def test_diff_is_0_and_silent_when_nothing_differs(migrated: Project) -> None:
    migrated("new", "rest", "--auto", "--allow-destructive", *RENAME)
    assert migrated("upgrade").code == 0
    result = migrated("diff")
    assert (result.code, result.out) == (0, "The database has the schema of the models.\n")


def test_only_some_schemas_are_compared(migrated: Project) -> None:
    migrated.ask("CREATE SCHEMA elsewhere")
    result = migrated("diff", "--within", "elsewhere")
    assert (result.code, result.out.splitlines()[1].partition(":")[0]) == (0, "Note")
    assert "Nothing was compared" in result.out
    typed = migrated("verify", "--models", "--within", "elsewere")
    assert typed.code == 2
    assert "There is no schema 'elsewere', neither in the database nor in the metadata. Nothing was" in typed.err


def test_what_is_excluded_is_left_alone(migrated: Project) -> None:
    assert "books" not in migrated("diff", "--exclude", "book*").out
    assert migrated("diff", "--exclude", "public.*").code == 0
    migrated.write("pyproject.toml", '[tool.async_migrations]\nbase = "models:Base"\nexclude = ["books", "authors"]\n')
    assert migrated("verify", "--models").code == 0
    assert migrated("diff", "--exclude", "books").code == 3
    assert "books" not in migrated("schema", "dump").out


def test_the_scratch_place_is_chosen_and_said(migrated: Project, make_database: MakeDatabase) -> None:
    url = asyncio.run(_made(make_database))
    given = json.loads(migrated("diff", "--json", "--scratch-url", url.replace("+asyncpg", "")).out)
    assert given["scratch"] == f"the given database {url.rpartition('/')[2]}"
    both = migrated("diff", "--scratch-url", url, "--scratch-embedded")
    assert both.code == 2
    assert "name two scratch places" in both.err
    said = migrated("diff", "-v", ASYNC_MIGRATIONS_SCRATCH_URL=url)
    assert f"The models were created in the given database {url.rpartition('/')[2]}, and rolled back" in said.err


async def _made(make_database: MakeDatabase) -> str:
    return await make_database()


def test_without_createdb_a_server_of_the_commands_own_is_exact(migrated: Project) -> None:
    role = f"app_{os.getpid()}"
    migrated.ask(f"CREATE ROLE {role} LOGIN; ")
    migrated.ask(f"GRANT USAGE ON SCHEMA public TO {role}")
    url = migrated.database.replace("postgres@", f"{role}@")
    try:
        refused = migrated("diff", DATABASE_URL=url)
        assert refused.code == 1
        assert f"the role {role} may create neither a database nor a schema" in refused.err
        assert "--scratch-embedded" in refused.err
        exact = json.loads((migrated("diff", "--scratch-embedded", "--json", DATABASE_URL=url)).out)
        assert len(exact["differences"]) == 6
        assert exact["notes"] == []
        assert exact["scratch"].endswith(" of this command's own")
        unable = migrated("diff", "--replay", DATABASE_URL=url)
        assert unable.code == 1
        assert "this role may not create a database" in unable.err
        migrated.ask(f"GRANT CREATE ON DATABASE {migrated.database.rpartition('/')[2]} TO {role}")
        inexact = json.loads((migrated("diff", "--json", DATABASE_URL=url)).out)
        assert inexact["scratch"].startswith("scratch schemas in ")
        assert "--scratch-embedded" in inexact["notes"][0]
    finally:
        migrated.ask(f"DROP OWNED BY {role}")
        migrated.ask(f"DROP ROLE {role}")


# new --auto


def test_auto_writes_what_leads_to_the_models(migrated: Project) -> None:
    result = migrated("new", "Full names", "--auto", *RENAME)
    assert result.code == 0
    paths = [Path(line).name for line in result.out.splitlines()]
    assert paths == ["002_full_names.py", "003_full_names_indexes.py", "004_full_names_validate.py"]
    assert "Left out, since something would be lost; with --allow-destructive it is written:" in result.err
    assert "  column public.books.motto is not in the metadata" in result.err
    assert migrated("upgrade").code == 0
    assert migrated.ask("SELECT full_name FROM authors") == "Ada"
    again = migrated("new", "again", "--auto")
    assert (again.code, again.out) == (1, "Nothing was written.\n")


def test_auto_says_probable_renames_where_nobody_can_be_asked(migrated: Project) -> None:
    result = migrated("new", "x", "--auto", "--json")
    document = json.loads(result.out)
    assert Path(document["paths"][0]).name == "002_x.py"
    assert [each["kind"] for each in document["left_out"]] == ["ColumnRemoved", "ColumnRemoved"]
    assert document["renames"] == [list(RENAME[1:])]
    assert "If so, give --rename column public.authors.name full_name" in result.err


def test_auto_wants_nothing_pending(project: Project) -> None:
    result = project("new", "x", "--auto", "--json")
    assert result.code == 3
    assert json.loads(result.out)["error"]["type"] == "HistoryError"
    assert "1 migration of the folder is pending (001_first), and would be written a second time" in result.err
    assert project.names() == ["001_first.sql"]
    assert project("new", "x", "--auto", "--allow-pending").code == 0
    assert "002_x.py" in project.names()


def test_the_first_migration_needs_no_folder(project: Project) -> None:
    shutil.rmtree(project.project / "migrations")
    assert project("new", "first", "--auto").code == 0
    assert project("upgrade").code == 0
    assert project("verify", "--models").code == 0


def test_auto_writes_nothing_where_nothing_differs(migrated: Project) -> None:
    migrated("new", "rest", "--auto", "--allow-destructive", *RENAME)
    migrated("upgrade")
    before = migrated.names()
    result = migrated("new", "more", "--auto")
    assert (result.code, result.out) == (
        0,
        "The database has the schema of the models. Nothing was written.\n",
    )
    assert migrated.names() == before


@pytest.mark.parametrize("arguments", [[], ["--replay"], ["--scratch-url", "postgresql://postgres@127.0.0.1:1/x"]])
def test_a_server_that_is_not_there_is_waited_for_as_long_as_was_said(migrated: Project, arguments: list[str]) -> None:
    url = migrated.database if len(arguments) > 1 else "postgresql://postgres@127.0.0.1:1/x"
    result = migrated("diff", *arguments, "--connect-deadline", "0.2", DATABASE_URL=url)
    assert result.code == 1
    assert re.search(r"connection refused\. Waited \d s", result.err)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["new", "x", "--auto", "--sql"], 2, "--auto writes Python: leave --sql out"),
        (["new", "x", "--allow-destructive"], 2, "This is an option of --auto"),
        (["new", "x", *RENAME], 2, "This is an option of --auto"),
        (["diff", "--rename", "colum", "public.a.b", "c"], 1, "there is no kind 'colum'"),
        (["diff", "--rename", "column", "public.nobody.b", "c"], 1, "nobody"),
        (["diff", "--base", "models:Bose"], 2, "models has no Bose"),
        (["schema", "dump", "--check"], 2, "say which with --output FILE"),
        (["schema", "diagram", "-o", "schema.gif"], 2, "ends in .mmd, .dot, .svg, .png, and not in '.gif'"),
        (["schema", "show", "nobody"], 1, "There is no nobody"),
        (["schema", "dump", "-o", "none/at/all.txt"], 1, "No such file or directory"),
    ],
)
def test_a_mistake_is_a_sentence_and_no_bug(migrated: Project, arguments: list[str], code: int, sentence: str) -> None:
    result = migrated(*arguments)
    assert result.code == code
    assert sentence in result.both
    assert "may be a bug" not in result.both


def test_a_mistake_is_a_document_for_programs(migrated: Project) -> None:
    result = migrated("schema", "dump", "--check", "--json")
    assert result.code == 2
    assert json.loads(result.out)["error"]["type"] == "UsageError"


def test_models_that_are_not_named_are_asked_for(migrated: Project) -> None:
    migrated.write("pyproject.toml", "")
    result = migrated("diff")
    assert result.code == 2
    assert "Give --base module:attribute" in result.err


def test_models_that_postgresql_refuses_are_named(migrated: Project) -> None:
    migrated.write("models.py", MODELS.replace('"pages >= 0"', '"pagez >= 0"'))
    result = migrated("diff")
    assert result.code == 1
    assert "books" in result.err
    assert 'column "pagez" does not exist' in result.err


@asynccontextmanager
async def on_a_terminal(
    project: Project, *arguments: str, **environment: str
) -> AsyncIterator[tuple[Terminal, Forked]]:
    variables = {**os.environ, "DATABASE_URL": project.database, "TERM": "xterm", "CI": "", **environment}
    order = Order(["-m", "async_migrations", *arguments], variables, str(project.project))
    with opened_terminal() as terminal:
        asyncio.get_running_loop().add_reader(terminal.ours, terminal.read)
        try:
            async with fork_on_a_terminal(order, terminal.theirs) as process:
                yield terminal, process
        finally:
            asyncio.get_running_loop().remove_reader(terminal.ours)


QUESTION = "Is column public.authors.name called full_name now? [y/N]:"
RENAMED = 'await self.op.rename_column("authors", "name", "full_name")'
ADDED = 'await self.op.add_column("authors", sa.Column("full_name"'


@pytest.mark.parametrize(
    ("typed", "code", "shown"), [("y\n", 0, RENAMED), ("n\n", 0, ADDED), ("\x04", 130, "Stopped by")]
)
async def test_auto_asks_on_a_terminal(migrated: Project, typed: str, code: int, shown: str) -> None:
    async with on_a_terminal(migrated, "new", "names", "--auto") as (terminal, process):
        await terminal.shows(QUESTION)
        terminal.type(typed)
        await terminal.shows(shown)
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == code
        assert "\x1b[1m" in terminal.text
        assert "may be a bug" not in terminal.text
        assert len(migrated.names()) == (1 if code else 4)


@pytest.mark.parametrize(("arguments", "environment"), [(["--json"], {}), ([], {"CI": "true"})])
async def test_a_program_on_a_terminal_is_not_asked(
    migrated: Project, arguments: list[str], environment: dict[str, str]
) -> None:
    async with on_a_terminal(migrated, "new", "names", "--auto", *arguments, **environment) as (terminal, process):
        await terminal.shows("--rename column public.authors.name full_name")
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0
        assert QUESTION not in terminal.text


# verify --models


def test_verify_with_models_is_3_until_they_are_equal(migrated: Project) -> None:
    assert migrated("verify").code == 0
    result = migrated("verify", "--models")
    assert result.code == 3
    assert "6 differences" in result.out
    document = json.loads(migrated("verify", "--models", "--json").out)
    assert (document["ok"], document["findings"], document["models"]["equal"]) == (False, [], False)
    migrated("new", "rest", "--auto", "--allow-destructive", *RENAME)
    migrated("upgrade")
    result = migrated("verify", "--models")
    assert result.code == 0
    assert result.out.endswith("The database has the schema of the models.\n")


# --replay


def test_what_the_files_make_is_looked_at_without_a_migrated_database(project: Project) -> None:
    result = project("verify", "--models", "--replay")
    assert result.code == 3
    assert "Files and ledger agree" in result.out
    assert "6 differences" in result.out
    assert project("new", "rest", "--auto", "--allow-destructive", "--replay", *RENAME).code == 0
    assert project("verify", "--models", "--replay").code == 0
    assert project("schema", "show", "books", "--replay").code == 0
    assert project.ask("SELECT to_regclass('books')") is None
    assert project.ask("SELECT to_regclass('schema_migrations')") is None
    # Named after the database beside which it was.
    left = "SELECT datname FROM pg_database WHERE datname LIKE format('test\\_%s\\_%%', (SELECT oid FROM pg_database "
    assert project.ask(f"{left} WHERE datname = current_database()))") is None


def test_a_replay_needs_no_database_at_all(project: Project) -> None:
    project.write("migrations/002_wrong.sql", "SELECT nothing;")
    failed = project("diff", "--replay", "--scratch-embedded", DATABASE_URL="")
    assert failed.code == 1
    assert "The upgrade of 002_wrong failed" in failed.err
    project.write("migrations/002_wrong.sql", "SELECT 1;")
    assert project("diff", "--replay", "--scratch-embedded", DATABASE_URL="").code == 3


ROLES_IN_PYTHON = """
from async_migrations import BaseMigration

class Migration(BaseMigration):
    async def upgrade(self) -> None:
        await self.execute("SELECT 1; CREATE ROLE {role}")
"""


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("002_role.sql", "SELECT 1;\n\nCREATE ROLE {role};", "002_role.sql, line 3: CREATE ROLE changes what all"),
        (
            "002_role.sql",
            "DO $$ BEGIN CREATE ROLE {role}; END $$",
            "002_role.sql, line 1: CREATE ROLE changes what all",
        ),
        ("002_role.py", ROLES_IN_PYTHON, "The upgrade of 002_role failed: CREATE ROLE changes what all databases of"),
    ],
    ids=["sql", "block", "python"],
)
def test_a_replay_beside_the_database_changes_nothing_that_others_see(
    project: Project, name: str, file: str, said: str
) -> None:
    role = f"reporting_{os.getpid()}"
    project.write(f"migrations/{name}", file.format(role=role))
    result = project("diff", "--replay")
    assert result.code == 1
    assert said in result.err
    assert "With --scratch-embedded the migrations are replayed on a PostgreSQL of this command's own" in result.err
    assert project.ask(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == 0
    assert project("diff", "--replay", "--scratch-embedded").code == 3
    assert project("upgrade").code == 0
    assert project.ask(f"DROP ROLE {role}") is None


def test_a_replay_that_fails_says_that_its_database_is_gone(project: Project) -> None:
    project.write("migrations/002_wrong.sql", "SELECT nothing;")
    failed = project("diff", "--replay").err
    assert "The upgrade of 002_wrong failed" in failed
    assert "applied before it in this run: 001_first (in a database that is gone)" in failed
    assert "next: Mend the file and replay it again." in failed


# schema


def test_the_schema_is_shown_whole_or_in_parts(migrated: Project) -> None:
    whole = migrated("schema", "show").out
    assert "table public.authors\n  id    integer                not null default nextval(" in whole
    assert "schema_migrations" not in whole
    part = migrated("schema", "show", "books").out
    assert part.startswith("table public.books\n")
    assert "  constraint books_author_id_fkey: FOREIGN KEY (author_id) REFERENCES public.authors(id)\n" in part
    assert "public.authors\n" not in part
    models = migrated("schema", "show", "--models", "public.books").out
    assert "  index ix_books_title: btree (title)\n" in models
    for command in ("show", "diagram"):
        nobody = migrated("schema", command, "nobody")
        assert (nobody.code, nobody.out) == (1, "")
        assert re.match(r"There is no (table )?nobody\.\n", nobody.err)
    (table,) = json.loads(migrated("schema", "show", "books", "--json").out)["tables"]
    assert (table["name"], table["kind"], table["columns"][2]["name"]) == ("public.books", "table", "title")


def test_a_dump_is_kept_in_a_file_and_checked(migrated: Project) -> None:
    file = migrated.project / "schema.txt"
    assert migrated("schema", "dump", "-o", str(file)).code == 0
    assert migrated("schema", "dump").out == file.read_text()
    assert migrated("schema", "dump", "--check", "-o", str(file)).code == 0
    migrated.write("migrations/002_more.sql", "ALTER TABLE books ADD COLUMN isbn text;")
    assert migrated("upgrade").code == 0
    late = migrated("schema", "dump", "--check", "-o", str(file))
    assert late.code == 3
    assert re.search(r"^\+  isbn +text$", late.out, re.MULTILINE)
    file.write_bytes(b"table \xff")
    other = migrated("schema", "dump", "--check", "-o", str(file))
    assert (other.code, other.err) == (
        1,
        f"{file} is not UTF-8 at byte 6, and so no dump. Write it anew without --check.\n",
    )


NO_PROGRAM: dict[str, Any] = {"PATH": "/nowhere"}
BY_PROGRAM_AND_BY_LIBRARY = pytest.mark.parametrize(
    "environment",
    [
        pytest.param(
            {},
            id="program",
            marks=pytest.mark.skipif(
                shutil.which("dot") is None, reason="Graphviz is not here: install it with apt-get install graphviz"
            ),
        ),
        pytest.param(NO_PROGRAM, id="library"),
    ],
)
SVG = "{http://www.w3.org/2000/svg}"


def words(svg: Path) -> list[str]:
    """Return what people read in a picture."""
    return [each.text or "" for each in ET.parse(svg).iter(f"{SVG}text")]  # noqa: S314 - of our own


@BY_PROGRAM_AND_BY_LIBRARY
def test_a_diagram_is_text_or_a_picture(migrated: Project, environment: dict[str, Any]) -> None:
    text = migrated("schema", "diagram").out
    assert text.startswith("erDiagram\n")
    assert '    "authors" ||--o{ "books" : "author_id"\n' in text
    svg = migrated.project / "schema.svg"
    assert migrated("schema", "diagram", "-o", str(svg), **environment).code == 0
    assert {"authors", "books", "author_id"} <= set(words(svg))
    png = migrated.project / "schema.png"
    drawn = migrated("schema", "diagram", "books", "-o", str(png), **environment)
    if environment:
        assert drawn.code == 2
        assert "apt-get install graphviz" in drawn.err
        assert not png.exists()
    else:
        assert png.read_bytes().startswith(b"\x89PNG")


def test_without_graphviz_it_is_said_what_to_install(migrated: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("async_migrations.cli.graphviz.LIBRARY", "no_such_library")
    result = migrated("schema", "diagram", "-o", "schema.svg", **NO_PROGRAM)
    assert result.code == 2
    assert 'pip install "async-migrations[diagram]", or write Mermaid' in result.err
    assert not (migrated.project / "schema.svg").exists()


@BY_PROGRAM_AND_BY_LIBRARY
def test_hostile_names_are_only_text(project: Project, environment: dict[str, Any]) -> None:
    project.write(
        "migrations/001_first.sql",
        """CREATE TABLE "a<b>&""c" (id int PRIMARY KEY, "x }y|\\" text, parent int REFERENCES "a<b>&""c");
        CREATE TABLE "de-pot \\n" ("1st" int UNIQUE REFERENCES "a<b>&""c" (id));
        CREATE TABLE nothing ();""",
    )
    assert project("upgrade").code == 0
    svg = project.project / "schema.svg"
    assert project("schema", "diagram", "-o", str(svg), **environment).code == 0
    assert {'"a<b>&""c"', '"x }y|\\"', '"de-pot \\n"', '"1st"', "nothing"} <= set(words(svg))
    mermaid = project("schema", "diagram").out
    assert '    "a<b>&c" |o--o| "de-pot _n" : "1st"\n' in mermaid
    assert '    "a<b>&c" |o--o{ "a<b>&c" : "parent"\n' in mermaid


@BY_PROGRAM_AND_BY_LIBRARY
def test_a_picture_of_nothing_is_empty(project: Project, environment: dict[str, Any]) -> None:
    svg = project.project / "schema.svg"
    assert project("schema", "diagram", "-o", str(svg), **environment).code == 0
    assert words(svg) == []


def test_it_all_works_through_a_transaction_pooler(migrated: Project, server: Server) -> None:
    database = migrated.database.rpartition("/")[2]
    with pgbouncer(server, "transaction", default_pool_size="3") as bouncer:
        url = bouncer.url(database, driver="")
        direct, pooled = (
            json.loads(migrated("diff", "--json", DATABASE_URL=each).out) for each in (migrated.database, url)
        )
        assert pooled["differences"] == direct["differences"]
        assert migrated("new", "x", "--auto", DATABASE_URL=url).code == 0
        assert migrated("schema", "show", DATABASE_URL=url).code == 0


def test_help_of_a_topic_needs_no_database() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "async_migrations", "schema", "dump", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--check" in done.stdout
