"""The command line as its users run it, in this process; `test_cli_process.py` has what needs its own."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from async_migrations.testing.server import Server, temporary_server
from tests.support.shell import PYPROJECT, SECRET, Shell

Ask = Callable[[str], Any]


@pytest.fixture
def ask(bare: Shell) -> Ask:
    """Return a function that runs a query and returns its one value; commands run in this thread, without a loop."""
    return lambda text: asyncio.run(bare.value(text))


# upgrade, downgrade, status, plan, verify


def test_upgrade_as_a_document(shell: Shell) -> None:
    first = shell("--json", "upgrade", "--to", "2")
    rest = shell("upgrade", "--json", "-q")

    assert first.document.keys() == {"command", "applied", "waited", "duration_ms", "statistics"}
    assert first.document["applied"] == ["001_users", "002_orders"]
    assert first.document["statistics"]["tables_created"] == 1
    assert "hello from a migration" in first.err
    assert (rest.document["applied"], rest.err) == (["003_items"], "")


def test_downgrade_takes_back(shell: Shell) -> None:
    shell("upgrade", "--to", "2")

    refused = shell("downgrade", "0", "--json")
    down = shell("downgrade", "001_users", "--json")

    assert (refused.code, refused.error["type"], refused.error["names"]) == (1, "IrreversibleError", ["001_users"])
    assert (down.code, down.document["reverted"]) == (0, ["002_orders"])


def test_status_shows_where_each_stands(shell: Shell) -> None:
    shell("upgrade", "--to", "2")

    people, programs = shell("status"), shell("status", "--json")

    assert people.code == 0
    assert people.out.splitlines()[0].split() == ["migration", "state", "applied", "at", "took", "by"]
    assert people.out.splitlines()[3] == "003_items   pending"
    assert people.out.splitlines()[-1] == "3 migrations: 2 applied, 1 pending"
    found = programs.document
    assert (found["current"], found["counts"]) == (False, {"applied": 2, "pending": 1})
    assert [each["state"] for each in found["migrations"]] == ["applied", "applied", "pending"]
    assert found["migrations"][1]["description"] == "Orders"


def test_status_check_is_3_until_all_is_applied(shell: Shell) -> None:
    assert (shell("status", "--check")).code == 3
    shell("upgrade")
    assert (shell("status", "--check")).code == 0
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")
    assert (shell("status", "--check")).code == 3
    assert (shell("status", "--check", "--changed", "ignore")).code == 0


def test_verify_is_3_when_files_and_ledger_differ(shell: Shell) -> None:
    shell("upgrade")
    well = shell("verify")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")
    shell.write("migrations/004_new.sql", "SELECT 1;")
    people, programs = shell("verify"), shell("verify", "--json")

    assert (well.code, well.out) == (0, "Files and ledger agree, and nothing is pending.\n")
    assert (people.code, people.out.splitlines()[1]) == (3, "pending: 004_new is not applied.")
    assert (programs.code, programs.document["ok"]) == (3, False)
    assert [each["kind"] for each in programs.document["findings"]] == ["changed", "pending"]


def test_plan_shows_what_would_run_and_changes_nothing(shell: Shell, ask: Ask) -> None:
    people, programs = shell("plan"), shell("plan", "--to", "1", "--json")

    assert people.out.splitlines() == [
        "3 migrations would be applied:",
        "  migrations/001_users.py",
        "  migrations/002_orders.sql",
        "  migrations/003_items.sql",
    ]
    assert programs.document == {
        "command": "plan",
        "pending": [{"name": "001_users", "path": "migrations/001_users.py"}],
        "applied": [],
        "findings": [],
    }
    assert ask("SELECT to_regclass('schema_migrations')") is None


def test_policies_hold_from_the_command_line(shell: Shell) -> None:
    shell("upgrade")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")

    refused = shell("upgrade", "--json")
    warned = shell("upgrade", "--changed", "warn")
    shell.write("migrations/004_more.sql", "CREATE TABLE more (id bigint);")
    shown, pending = shell("plan"), shell("plan", "--changed", "warn")

    assert (refused.code, refused.error["type"]) == (1, "HistoryError")
    assert "was changed after it was applied" in refused.error["problems"][0]
    assert (warned.code, "was changed after it was applied" in warned.err) == (0, True)
    head, error, *rest = shown.out.splitlines()
    assert (shown.code, head) == (1, "Nothing would be applied: the files and the ledger disagree.")
    assert error.startswith("error: migrations/003_items.sql was changed")
    assert rest == ["Without that 1 migration would be applied:", "  migrations/004_more.sql"]
    assert (pending.code, pending.out.splitlines()[0]) == (0, "1 migration would be applied:")


# stamp, baseline, repair, renumber


def test_stamp_records_without_running(shell: Shell, ask: Ask) -> None:
    done, again = shell("stamp", "1", "003_items"), shell("stamp", "3", "--json")

    assert done.out == "Recorded as applied, without running: 001_users, 003_items.\n"
    assert again.document == {"command": "stamp", "recorded": []}
    assert ask("SELECT to_regclass('items')") is None


def test_baseline_records_all_up_to_a_target_once(shell: Shell) -> None:
    done, again = shell("baseline", "2", "--json"), shell("baseline", "2")

    assert done.document == {"command": "baseline", "recorded": ["001_users", "002_orders"]}
    assert again.code == 1
    assert "A baseline needs an empty ledger" in again.err


def test_repair_accepts_a_changed_file(shell: Shell) -> None:
    shell("upgrade")
    shell.write("migrations/003_items.sql", "CREATE TABLE items (id bigint);")

    done, again = shell("repair"), shell("repair", "--json")

    assert done.out == "Repaired: 003_items.\n"
    assert again.document == {"command": "repair", "repaired": [], "recorded": [], "removed": []}
    assert (shell("verify")).code == 0


def test_repair_records_what_was_finished_by_hand(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", "-- transactional: false\nCREATE TABLE a (x int);\nSELECT 1/0;")
    failed = bare("upgrade", "--json")

    assert failed.code == 1
    assert (bare("status", "--json")).document["counts"] == {"dirty": 1}
    done = bare("repair", "1")
    assert (done.code, done.out) == (0, "Recorded as applied, as finished by hand: 001_a.\n")
    assert (bare("status", "--json")).document["counts"] == {"applied": 1}
    assert ask("SELECT to_regclass('a')") == "a"


def test_what_began_is_repaired_and_not_stamped_and_no_other_in_its_place(bare: Shell, ask: Ask) -> None:
    bare.write("migrations/001_a.sql", "-- transactional: false\nCREATE TABLE a (x int);\nSELECT 1/0;")
    bare.write("migrations/002_b.sql", "SELECT 1;")
    assert bare("upgrade").code == 1

    stamped, slipped = bare("stamp", "1", "2"), bare("repair", "2")

    assert (stamped.code, slipped.code) == (1, 1)
    assert "Nothing was recorded: 001_a began and did not finish" in stamped.err
    assert "async-migrations repair 001_a" in stamped.err
    assert "Nothing was changed: 002_b did not begin and stop on the way" in slipped.err
    assert "Dirty in the ledger: 001_a." in slipped.err
    assert ask("SELECT jsonb_agg(jsonb_array_length(steps)) FROM schema_migrations WHERE dirty") == "[1]"
    assert bare("repair").out == "Removed, to run from its beginning: 001_a.\n"


def test_renumber_asks_the_ledger(shell: Shell) -> None:
    shell("upgrade")
    shell.write("migrations/002_a_rival.sql", "SELECT 1;")
    refused = shell("upgrade")

    done = shell("renumber", "--json")

    assert (refused.code, "async-migrations renumber" in refused.err) == (1, True)
    assert done.document["renames"] == [{"old": "002_a_rival", "new": "004_a_rival"}]
    assert (shell("upgrade", "--json")).document["applied"] == ["004_a_rival"]


# The file of passwords


@pytest.mark.parametrize(
    ("content", "mode", "code", "word"),
    [
        ("h:5432:d:u\\:x:pw\n# more\n\n", 0o600, 0, ""),
        ("h:5432\n", 0o600, 2, "line 1 is not host:port:database:user:password"),
        ("h:5432:d:u:s3cret-pass\n", 0o644, 0, "is left out, since others may read it: chmod 600"),
    ],
)
def test_a_file_of_passwords_that_cannot_be_used_is_named(
    shell: Shell, content: str, mode: int, code: int, word: str
) -> None:
    path = shell.write("passwords", content)
    path.chmod(mode)

    done = shell("status", PGPASSFILE=str(path))

    assert done.code == code
    assert word in done.err
    assert "UserWarning" not in done.err
    assert (str(path) in done.err) is bool(word)


# wait


def test_wait_gives_up(shell: Shell) -> None:
    done = shell("wait", "--deadline", "0.2", "--json")

    assert (done.code, done.error["type"]) == (1, "NotCurrentError")
    assert done.error["pending"] == ["001_users", "002_orders", "003_items"]


def test_wait_gives_up_on_a_database_that_is_not_there(shell: Shell) -> None:
    done = shell("wait", "--deadline", "0.2", DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:1/x")

    assert done.code == 1
    assert "connection refused" in done.err


# What goes wrong


def test_an_sql_error_in_the_middle(shell: Shell, ask: Ask) -> None:
    shell.write("migrations/002_orders.sql", "CREATE TABLE orders (id int);\nSELECT nothing;")

    people = shell("upgrade")
    programs = shell("upgrade", "--json")

    assert people.code == 1
    assert 'The upgrade of 002_orders failed: column "nothing" does not exist (SQLSTATE 42703)' in people.err
    assert "applied before it in this run: 001_users (stays so)" in people.err
    error = programs.error
    assert (error["type"], error["migration"], error["sqlstate"]) == ("MigrationFailedError", "002_orders", "42703")
    assert (error["path"], error["statement"]) == ("migrations/002_orders.sql", "SELECT nothing")
    assert ask("SELECT to_regclass('orders')") is None


def test_a_wrong_password(shell: Shell, postgres_version: int) -> None:
    hba = ["host all postgres 127.0.0.1/32 scram-sha-256"]
    with temporary_server(version=postgres_version, hba=hba) as server:
        url = make_url(server.url(driver="")).set(password=SECRET).render_as_string(hide_password=False)
        done = shell("upgrade", "--json", "--database-url", url)

    assert (done.code, done.error["type"]) == (1, "DatabaseUnavailableError")
    assert "the password is wrong" in done.error["message"]


@pytest.mark.parametrize("command", ["upgrade", "status", "unlock"])
def test_an_unreachable_host(shell: Shell, command: str) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/x"

    done = shell(command, "--database-url", url, "--connect-deadline", "0.3", "--json")

    assert (done.code, done.error["type"]) == (1, "DatabaseUnavailableError")
    assert "127.0.0.1:1/x: connection refused" in done.error["message"]


def test_an_unknown_database(shell: Shell, server: Server) -> None:
    done = shell("status", "--database-url", server.url("no_such_database", driver=""))

    assert done.code == 1
    assert "there is no such database" in done.err


def test_a_url_with_what_libpq_takes(shell: Shell) -> None:
    done = shell("upgrade", DATABASE_URL=f"{shell.url}?sslmode=disable&application_name=me&schema=x")

    assert done.code == 0
    assert "The database URL's parameter schema is unknown here and left out" in done.err


def test_an_ssl_mode_that_there_is_not(shell: Shell) -> None:
    done = shell("status", DATABASE_URL=f"{shell.url}?sslmode=maybe")

    assert done.code == 2
    assert "'maybe', and SSL is one of disable, " in done.err


@pytest.mark.parametrize(
    ("files", "code", "sentence"),
    [
        ({"pyproject.toml": "[tool"}, 2, "no valid TOML"),
        ({"pyproject.toml": PYPROJECT.replace("Base", "Bse")}, 2, "There is Base."),
        ({"pyproject.toml": PYPROJECT.replace("models", "modells")}, 2, "there is no module cli_modells"),
        ({"cli_models.py": "1/0"}, 2, "cannot be imported: ZeroDivisionError"),
        ({"migrations/004_x.py": "x ="}, 1, "004_x.py, line 1"),
        ({"migrations/003_y.sql": ""}, 1, "have the same number 003"),
    ],
)
def test_a_project_that_is_not_in_order(
    shell: Shell, ask: Ask, files: Mapping[str, str], code: int, sentence: str
) -> None:
    for name, text in files.items():
        shell.write(name, text)

    done = shell("upgrade")

    assert (done.code, sentence in done.err) == (code, True), done.err
    assert ask("SELECT to_regclass('users')") is None


def test_broken_models_are_no_trouble_to_who_needs_none(shell: Shell) -> None:
    shell.write("cli_models.py", "1/0")

    assert (shell("unlock")).code == 0
    assert (shell("status")).code == 0


def test_a_target_that_there_is_not(shell: Shell) -> None:
    done = shell("upgrade", "--to", "002_ordres", "--json")

    assert (done.code, done.error["type"]) == (2, "ConfigurationError")
    assert "Did you mean 002_orders?" in done.error["message"]


def test_a_folder_that_is_not_there(bare: Shell) -> None:
    done = bare("upgrade", "--directory", "nowhere")

    assert done.code == 1
    assert "async-migrations new" in done.err


# Options


def test_another_table_and_schema(shell: Shell, ask: Ask) -> None:
    done = shell("--table", 'my "ledger"', "upgrade", "--schema", "my schema")

    assert done.code == 0, done.err
    assert ask('SELECT count(*) FROM "my schema"."my ""ledger"""') == 3


def test_another_directory_is_the_project(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    project, shell.project = shell.project, elsewhere

    done = shell("-C", str(project), "upgrade")
    path = shell("new", "x", "-C", str(project))

    assert done.code == 0, done.err
    assert (elsewhere / path.out.strip()).resolve() == project / "migrations" / "004_x.py"


def test_a_variable_that_the_file_names(shell: Shell) -> None:
    url, shell.url = shell.url, None
    shell.write("pyproject.toml", f'{PYPROJECT}database_url_env = "APP_URL"\n')

    assert (shell("upgrade", APP_URL=str(url))).code == 0
    assert (shell("upgrade")).code == 2


def test_a_terminal_gets_no_colour_when_there_is_none(shell: Shell) -> None:
    shell.write("migrations/002_orders.sql", "SELECT nothing;")

    assert "\x1b" not in (shell("upgrade")).err


def test_the_ledger_of_another_tool_is_refused(shell: Shell, ask: Ask) -> None:
    ask("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")

    done = shell("upgrade", "--json")

    assert (done.code, done.error["type"], done.error["table"]) == (
        1,
        "ForeignLedgerError",
        '"schema_migrations"',
    )
