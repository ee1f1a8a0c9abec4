"""Auto schema inside a migration: one transaction with the rest of it, and one prefix in the log."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from async_migrations import MigrationFailedError, StartupLog
from tests.integration.test_auto_schema import warnings
from tests.support.history import History

RUN = "return await AutoSchemaMigration(self.engine, self.base).run()"


def models() -> sa.MetaData:
    metadata = sa.MetaData()
    kind = sa.Enum("admin", "user", name="kind")
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", kind, nullable=False, default="user", index=True),
        sa.Column("team_id", sa.ForeignKey("teams.id")),
    )
    sa.Table(
        "teams",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("head", sa.ForeignKey("users.id")),
    )
    return metadata


async def test_a_migration_adds_what_the_models_have(history: History, caplog: pytest.LogCaptureFixture) -> None:
    history.sql("001_users", "CREATE TABLE users (id SERIAL PRIMARY KEY); INSERT INTO users DEFAULT VALUES;")
    history.python("002_models", RUN)
    caplog.set_level("INFO", "async_migrations")

    report = await history.runner(models(), observers=(StartupLog(),)).run_migrations()

    assert report.applied == ("001_users", "002_models")
    assert report.statistics["tables_created"] == 1
    assert report.statistics["columns_added"] == 2
    assert report.statistics["indexes_created"] == 1
    assert await history.rows("SELECT kind::text, team_id FROM users") == [("user", None)]
    for sentence in (
        "Creating missing table: teams",
        "✓ Added column: users.kind",
        "Creating index ix_users_kind on users",
    ):
        assert f"[002_models] {sentence}" in caplog.messages
    assert warnings(caplog) == []


@pytest.mark.parametrize("connection", ["self.engine", "self.connection"])
async def test_a_failure_after_auto_schema_takes_its_work_back(history: History, connection: str) -> None:
    history.python(
        "001_models",
        f"""
        auto = AutoSchemaMigration({connection}, self.base)
        await auto.run()
        assert await auto.get_existing_tables() == {{"users", "teams", "schema_migrations"}}
        assert "kind" in await auto.get_existing_columns("users")
        assert await auto.get_existing_indexes("users") == {{"ix_users_kind"}}
        await self.execute("SELECT 1 / 0")
        """,
    )

    with pytest.raises(MigrationFailedError, match="division by zero"):
        await history.runner(models()).run_migrations()

    assert not await history.exists("users")
    assert await history.value("SELECT count(*) FROM pg_type WHERE typname = 'kind'") == 0


async def test_an_author_may_catch_what_auto_schema_refuses_and_go_on(history: History) -> None:
    metadata = models()
    metadata.tables["users"].append_column(sa.Column("email", sa.Text, nullable=False))
    history.sql("001_users", "CREATE TABLE users (id SERIAL PRIMARY KEY); INSERT INTO users DEFAULT VALUES;")
    history.python(
        "002_models",
        """
        try:
            return await AutoSchemaMigration(self.engine, self.base).run()
        except Exception as error:
            self.log_warning(str(error))
        await self.execute("ALTER TABLE users ADD COLUMN email TEXT NOT NULL DEFAULT ''")
        return await AutoSchemaMigration(self.engine, self.base).run()
        """,
    )

    report = await history.runner(metadata).run_migrations()

    assert report.statistics["columns_added"] == 2


def code_in(error: Exception) -> list[str]:
    """Return the lines of code that an error offers."""
    return [line.removeprefix("    ") for line in str(error).splitlines() if line.startswith("    ")]


async def test_a_refusal_shows_code_that_works_when_it_is_pasted(history: History) -> None:
    metadata = models()
    for name, kind in [("team_id", sa.ForeignKey("teams.id")), ("mood", sa.Enum("good", "bad", name="mood"))]:
        sa.Table("users", metadata, sa.Column(name, kind, nullable=False), extend_existing=True)
    history.sql("001_users", "CREATE TABLE users (id SERIAL PRIMARY KEY); INSERT INTO users DEFAULT VALUES;")
    history.python("002_models", RUN)

    with pytest.raises(
        MigrationFailedError, match=r"users\.team_id is NOT NULL.*\n.*users\.mood is NOT NULL"
    ) as caught:
        await history.runner(metadata).run_migrations()

    assert not await history.exists("teams")
    code = code_in(caught.value)
    code.insert(2, "await self.execute('INSERT INTO teams DEFAULT VALUES')")
    pasted = "\n".join(code).replace("mood = ...", "mood = $$good$$")
    history.python("002_models", pasted.replace("team_id = ...", "team_id = (SELECT id FROM teams)"))
    report = await history.runner(metadata).run_migrations()
    assert report.applied == ("002_models",)
    assert report.statistics["columns_added"] == 1
    assert await history.rows("SELECT team_id, mood::text, kind::text FROM users") == [(1, "good", "user")]


def demanding() -> sa.MetaData:
    """Return models whose accounts have gained columns that cannot be filled, on which others lean."""
    metadata = sa.MetaData()
    sa.Table(
        "accounts",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plan", sa.Enum("free", "team", name="plan"), nullable=False, comment="the 'plan' :x"),
        sa.Column("code", sa.Text, sa.CheckConstraint("code <> 'x:y'", name="full"), nullable=False, unique=True),
        sa.Column("upper", sa.Text, sa.Computed("upper(code)", persisted=True), nullable=False),
        sa.Column("seats", pg.DOMAIN("seats", sa.Integer, check="VALUE > 0", not_null=True), nullable=False),
        sa.Column("spare", pg.DOMAIN("seats", sa.Integer, check="VALUE > 0", not_null=True)),
        sa.Column("region_id", sa.ForeignKey("regions.id"), nullable=False),
        sa.Column("note", sa.Text, nullable=False, default="-"),
        sa.UniqueConstraint("plan", "code", name="plan_and_code", comment="both"),
        sa.UniqueConstraint("code", "note", name="code_and_note"),
        sa.Index("ix_code", "code"),
    )
    sa.Table(
        "regions",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("head", sa.ForeignKey("accounts.code")),
    )
    return metadata


@pytest.mark.parametrize("place", ["rows", "empty table", "new", "done by auto schema"])
async def test_the_code_of_a_refusal_works_in_each_environment(
    history: History, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = "CREATE TABLE accounts (id SERIAL PRIMARY KEY);"
    history.sql("001_accounts", f"{accounts} INSERT INTO accounts DEFAULT VALUES;")
    history.sql("002_nothing", "SELECT 1")
    history.python("003_models", RUN)
    with pytest.raises(MigrationFailedError) as caught:
        await history.runner(demanding()).run_migrations()
    code = "\n".join(code_in(caught.value))
    values = {"plan": "$$free$$", "code": "$$a$$", "seats": "4", "spare": "id", "region_id": "(SELECT id FROM regions)"}
    for name, value in values.items():
        code = code.replace(f"SET {name} = ...", f"SET {name} = {value}")
    assert "..." not in code
    region = "    await self.execute('INSERT INTO regions DEFAULT VALUES')\n"
    history.python("003_models", code.replace(guard := "if 'region_id' not in", f"if True:\n{region}{guard}"))

    await history.do("DROP TABLE accounts; DROP TABLE schema_migrations")
    if place == "new":
        history.sql("001_accounts", "SELECT 1")
    elif place == "empty table":
        history.sql("001_accounts", accounts)
    elif place == "done by auto schema":
        history.sql("001_accounts", "SELECT 1")
        (history.directory / "002_nothing.sql").unlink()
        history.python("002_models", RUN)
    caplog.clear()
    await history.runner(demanding(), observers=(StartupLog(),)).run_migrations()

    assert warnings(caplog) == []
    assert await history.rows("SELECT plan::text, upper, seats, spare, region_id, note FROM accounts") == (
        [("free", "A", 4, 1, 1, "-")] if place == "rows" else []
    )
    history.python("004_again", RUN)
    assert (await history.runner(demanding(), observers=(StartupLog(),)).run_migrations()).applied == ("004_again",)
    assert warnings(caplog) == []


async def test_without_models_the_migration_says_where_to_give_them(history: History) -> None:
    history.python("001_models", RUN)

    with pytest.raises(MigrationFailedError, match=r"MigrationRunner\(engine, base=Base\)"):
        await history.runner(None).run_migrations()


async def test_it_works_in_a_migration_without_a_transaction_and_is_still_all_or_nothing(history: History) -> None:
    metadata = models()
    history.python("001_models", RUN, attributes="transactional = False")
    history.sql("002_rows", "INSERT INTO users (kind) VALUES ('user');")
    await history.runner(metadata).run_migrations()
    metadata.tables["users"].append_column(sa.Column("fine", sa.Text))
    metadata.tables["users"].append_column(sa.Column("bad", sa.Integer, sa.ForeignKey("teams.id"), server_default="7"))
    history.python("003_models", RUN, attributes="transactional = False")

    with pytest.raises(MigrationFailedError, match="users_bad_fkey"):
        await history.runner(metadata).run_migrations()

    assert await history.rows("SELECT column_name FROM information_schema.columns WHERE column_name = 'fine'") == []


async def test_the_runners_own_ledger_is_nobodys_model(history: History, caplog: pytest.LogCaptureFixture) -> None:
    metadata = sa.MetaData()
    for schema in ("ops", None):
        sa.Table(
            "steps", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Text), schema=schema
        )
    history.python("001_models", RUN)

    runner = history.runner(metadata, table="steps", schema="ops", observers=(StartupLog(),))
    report = await runner.run_migrations()

    assert (report.statistics["tables_created"], report.statistics["columns_added"]) == (1, 0)
    assert await history.rows("SELECT table_schema FROM information_schema.columns WHERE column_name = 'x'") == [
        ("public",)
    ]
    assert warnings(caplog) == []
