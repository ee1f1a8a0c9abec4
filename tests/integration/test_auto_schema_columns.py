"""Missing columns: what fills them, what comes with them, and when they are refused."""

import ast
import enum
import textwrap
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations.auto_schema import AutoSchemaMigration
from async_migrations.errors import AutoSchemaError
from tests.integration.test_auto_schema import NOTHING, column, execute, messages, run, warnings


class Mood(enum.Enum):
    HAPPY = "happy"
    SAD = "sad"


def users(*parts: Any, metadata: sa.MetaData | None = None) -> sa.MetaData:
    """Return models of one table: an id, and `parts`."""
    metadata = metadata or sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *parts)
    return metadata


@pytest.fixture
async def rows(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine on a database with a table of two users."""
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)", "INSERT INTO users VALUES (1), (2)")
    return engine


async def test_the_log_names_table_and_column(rows: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "async_migrations")

    assert await run(rows, users(sa.Column("last_login", sa.DateTime))) == {**NOTHING, "columns_added": 1}

    assert messages(caplog) == ["Adding missing column: users.last_login", "✓ Added column: users.last_login"]


# What fills a NOT NULL column in the rows that exist


def counted() -> str:
    raise AssertionError("a callable default is for new rows, one call each")


@pytest.mark.parametrize(
    ("part", "filled"),
    [
        (sa.Column("v", sa.Text, nullable=False, server_default="it's"), ["it's", "it's"]),
        (sa.Column("v", sa.Text, nullable=False, default="it's", server_default="server"), ["server", "server"]),
        (sa.Column("v", sa.Text, nullable=False, default="%(x)s :y"), ["%(x)s :y", "%(x)s :y"]),
        (sa.Column("v", sa.Boolean, nullable=False, default=False), [False, False]),
        (sa.Column("v", sa.Enum(Mood, name="mood"), nullable=False, default=Mood.SAD), ["SAD", "SAD"]),
        (sa.Column("v", sa.Integer, sa.Identity(start=5), nullable=False), [5, 6]),
        (sa.Column("v", sa.Integer, sa.Computed("id * 2", persisted=True), nullable=False), [2, 4]),
        (sa.Column("v", sa.Integer, sa.Sequence("s", start=9), nullable=False), [9, 10]),
        (sa.Column("v", sa.Text, nullable=False, default=sa.func.lower("ABC")), ["abc", "abc"]),
        (sa.Column("v", sa.Text, nullable=False, default=sa.text("upper('x')")), ["X", "X"]),
        (sa.Column("v", pg.DOMAIN("d", sa.Integer, default="4", not_null=True)), [4, 4]),
        (sa.Column("v", pg.DOMAIN("d", sa.Integer, not_null=True), default=3), [3, 3]),
        (sa.Column("v", sa.Text, default="only for new rows"), [None, None]),
        (sa.Column("v", sa.Text, default=counted), [None, None]),
    ],
)
async def test_rows_get_what_the_models_say(rows: AsyncEngine, part: sa.Column[Any], filled: list[object]) -> None:
    metadata = users(part)

    assert await run(rows, metadata) == {**NOTHING, "columns_added": 1}

    assert await column(rows, "SELECT v FROM users ORDER BY id") == filled
    assert await run(rows, metadata) == NOTHING


async def test_a_volatile_default_is_evaluated_for_each_row(rows: AsyncEngine) -> None:
    await run(rows, users(sa.Column("token", sa.Uuid, nullable=False, default=sa.func.gen_random_uuid())))

    assert await column(rows, "SELECT count(DISTINCT token) FROM users") == [2]


async def test_filling_writes_no_row_anew_and_fires_no_trigger(rows: AsyncEngine) -> None:
    await execute(
        rows,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''fired''; END'",
        "CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    before = await column(rows, "SELECT pg_relation_filenode('users')")

    await run(rows, users(sa.Column("theme", sa.String(50), nullable=False, default="light")))

    assert await column(rows, "SELECT pg_relation_filenode('users')") == before
    assert await column(rows, "SELECT theme FROM users") == ["light", "light"]


@pytest.mark.parametrize(
    "default", [{}, {"default": counted}, {"server_default": sa.FetchedValue()}], ids=["none", "callable", "trigger"]
)
async def test_without_anything_to_fill_it_the_error_shows_two_steps_that_work(
    rows: AsyncEngine, default: dict[str, Any]
) -> None:
    teams = sa.MetaData()
    sa.Table("teams", teams, sa.Column("id", sa.Integer, primary_key=True))
    key = sa.Column("Team's id", sa.ForeignKey("teams.id", ondelete="CASCADE"), nullable=False, **default)
    metadata = users(sa.Column("fine", sa.Text), key, sa.Column("code", sa.CHAR(3), nullable=False), metadata=teams)
    await execute(rows, "CREATE TABLE teams (id SERIAL PRIMARY KEY)", "INSERT INTO teams VALUES (7)")

    with pytest.raises(AutoSchemaError) as caught:
        await run(rows, metadata)

    message = str(caught.value)
    assert "The column users.Team's id is NOT NULL, users has rows" in message
    assert "The column users.code is NOT NULL, users has rows" in message
    assert await AutoSchemaMigration(rows, metadata).get_existing_columns("users") == {"id"}
    values = {"Team's id": "7", "code": "'abc'"}
    for statement in statements(message):
        name = next(name for name in values if name in statement)
        await execute(rows, statement.replace("...", values[name]))
    assert await run(rows, metadata) == {**NOTHING, "columns_added": 1}


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        (
            sa.select(sa.func.max(sa.column("id"))).select_from(sa.table("users")).scalar_subquery(),
            "cannot use subquery",
        ),
        (sa.column("id") + 1, "cannot use column reference"),
        (sa.func.max(1), "aggregate functions are not allowed"),
        (sa.func.row_number().over(), "window functions are not allowed"),
        (sa.null(), "contains null values"),
    ],
)
async def test_a_default_that_postgresql_takes_only_in_an_insert_leads_to_the_two_steps(
    rows: AsyncEngine, default: Any, reason: str
) -> None:
    metadata = users(sa.Column("fine", sa.Text), sa.Column("n", sa.Integer, nullable=False, default=default))

    with pytest.raises(
        AutoSchemaError, match=f"users.n is NOT NULL.*its default cannot fill them: .*{reason}"
    ) as caught:
        await run(rows, metadata)

    assert await AutoSchemaMigration(rows, metadata).get_existing_columns("users") == {"id"}
    for statement in statements(str(caught.value)):
        await execute(rows, statement.replace("...", "id"))
    assert await run(rows, metadata) == {**NOTHING, "columns_added": 1}


async def test_rows_that_row_level_security_hides_are_filled_or_told(rows: AsyncEngine) -> None:
    async with rows.connect() as connection:
        for statement in (
            "CREATE ROLE auto_schema_owner",
            "GRANT CREATE ON SCHEMA public TO auto_schema_owner",
            "ALTER TABLE users OWNER TO auto_schema_owner",
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE users FORCE ROW LEVEL SECURITY",
            "SET LOCAL ROLE auto_schema_owner",
        ):
            await connection.execute(sa.text(statement))
        assert await connection.scalar(sa.text("SELECT count(*) FROM users")) == 0

        await run(connection, users(sa.Column("theme", sa.Text, nullable=False, default="light")))
        with pytest.raises(AutoSchemaError, match=r"users.code is NOT NULL.*contains null values.*row level security"):
            await run(connection, users(sa.Column("code", sa.Text, nullable=False)))

        await connection.execute(sa.text("RESET ROLE"))
        assert (await connection.execute(sa.text("SELECT theme FROM users"))).scalars().all() == ["light", "light"]


def statements(message: str) -> list[str]:
    """Return what the code in a message passes to self.execute()."""
    lines = [line for line in message.splitlines() if line.startswith("    ")]
    code = textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    calls = [node for node in ast.walk(ast.parse(f"async def upgrade(self):\n{code}")) if isinstance(node, ast.Call)]
    return [ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == "self.execute"]


async def test_the_two_steps_bring_the_constraints_along(rows: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    metadata = users(
        sa.Column("code", sa.Text, sa.CheckConstraint("code <> ''", name="filled"), nullable=False, unique=True)
    )

    with pytest.raises(AutoSchemaError) as caught:
        await run(rows, metadata)

    for statement in statements(str(caught.value)):
        await execute(rows, statement.replace("...", "id::text"))
    names = "SELECT conname::text FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype IN ('c', 'u')"
    assert sorted(await column(rows, names)) == ["filled", "users_code_key"]
    assert await run(rows, metadata) == NOTHING
    assert warnings(caplog) == []


async def test_an_empty_table_simply_gets_the_column(engine: AsyncEngine) -> None:
    await execute(engine, "CREATE TABLE users (id SERIAL PRIMARY KEY)")
    metadata = users(
        sa.Column("email", sa.Text, nullable=False), sa.Column("n", sa.Integer, nullable=False, default=counted)
    )

    assert await run(engine, metadata) == {**NOTHING, "columns_added": 2}

    assert await column(
        engine, "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
    ) == [True, True, True]


# What comes with a column


async def test_foreign_keys_unique_and_checks_of_added_columns_are_added(
    rows: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "teams",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("users", sa.ForeignKey("users.code")),
    )
    users(
        sa.Column("code", sa.Text, sa.CheckConstraint("code <> ''", name="not_empty"), unique=True),
        sa.Column("team_id", sa.ForeignKey("teams.id", name="in_team", deferrable=True, initially="DEFERRED")),
        sa.Column("low", sa.Integer),
        sa.Column("high", sa.Integer, index=True),
        sa.CheckConstraint("low < high"),
        sa.CheckConstraint("id <> 99 OR 'code' = 'low'", name="old_only"),
        sa.UniqueConstraint("id", "low"),
        metadata=metadata,
    )

    assert await run(rows, metadata) == {"tables_created": 1, "columns_added": 4, "indexes_created": 1}

    names = await column(
        rows, "SELECT conname::text FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype <> 'n' ORDER BY 1"
    )
    assert names == ["in_team", "not_empty", "users_check", "users_code_key", "users_id_low_key", "users_pkey"]
    assert len(warnings(caplog)) == 1
    assert "check old_only of public.users is missing: CHECK" in warnings(caplog)[0]


async def test_a_check_that_names_a_type_does_not_concern_the_column_of_that_name(engine: AsyncEngine) -> None:
    checks = [
        sa.CheckConstraint("at::date > '2000-01-01'"),
        sa.CheckConstraint(sa.cast(sa.column("at"), sa.Date) > "2000-01-01"),
    ]
    metadata = users(sa.Column("at", sa.DateTime), *checks)
    await run(engine, metadata)
    metadata.tables["users"].append_column(sa.Column("date", sa.Date))

    assert await run(engine, metadata) == {**NOTHING, "columns_added": 1}

    count = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'c'"
    assert await column(engine, count) == [2]


async def test_a_primary_key_is_added_where_there_is_none_and_told_where_there_is_another(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(engine, "CREATE TABLE users (name TEXT)", "INSERT INTO users VALUES ('ada'), ('bob')")
    metadata = users(sa.Column("name", sa.Text))
    assert await run(engine, metadata) == {**NOTHING, "columns_added": 1}
    assert await column(engine, "SELECT id FROM users ORDER BY name") == [1, 2]
    assert warnings(caplog) == []

    wider = users(sa.Column("name", sa.Text), sa.Column("tenant", sa.Integer, primary_key=True, default=1))
    wider.tables["users"].c.id.autoincrement = True
    assert await run(engine, wider) == {**NOTHING, "columns_added": 1}

    assert len(warnings(caplog)) == 1
    assert "primary key users_pkey of public.users is PRIMARY KEY (id) instead of" in warnings(caplog)[0]
    assert await column(engine, "SELECT tenant FROM users") == [1, 1]


async def test_a_constraint_of_this_name_on_fewer_columns_is_told(
    rows: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(rows, "ALTER TABLE users ADD CONSTRAINT one UNIQUE (id)")

    await run(rows, users(sa.Column("part", sa.Integer), sa.UniqueConstraint("id", "part", name="one")))

    assert len(warnings(caplog)) == 1
    assert "unique constraint one of public.users is UNIQUE (id) instead of UNIQUE (id, part)" in warnings(caplog)[0]


async def test_a_foreign_key_that_rows_break_fails_the_run_and_leaves_nothing(rows: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
    users(sa.Column("team_id", sa.ForeignKey("teams.id"), server_default="7"), metadata=metadata)

    with pytest.raises(sa.exc.IntegrityError, match="users_team_id_fkey"):
        await run(rows, metadata)

    assert await AutoSchemaMigration(rows, metadata).get_existing_tables() == {"users"}
    assert await AutoSchemaMigration(rows, metadata).get_existing_columns("users") == {"id"}


async def test_a_computed_column_may_stand_before_the_one_it_computes_from(rows: AsyncEngine) -> None:
    metadata = users(
        sa.Column("twice", sa.Integer, sa.Computed("n * 2", persisted=True)),
        sa.Column("n", sa.Integer, server_default="4"),
    )

    assert await run(rows, metadata) == {**NOTHING, "columns_added": 2}

    assert await column(rows, "SELECT twice FROM users") == [8, 8]


async def test_heirs_get_their_columns_from_their_parents(engine: AsyncEngine) -> None:
    metadata = users(sa.Column("n", sa.Integer))
    heir: list[sa.Column[Any]] = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
        sa.Column("own", sa.Text),
    ]
    sa.Table("admins", metadata, *heir, postgresql_inherits="users")
    await execute(
        engine,
        "CREATE TABLE users (id SERIAL PRIMARY KEY)",
        "CREATE TABLE admins () INHERITS (users)",
        "ALTER TABLE admins ADD PRIMARY KEY (id)",
    )

    assert await run(engine, metadata) == {**NOTHING, "columns_added": 2}

    assert await run(engine, metadata) == NOTHING


async def test_an_heir_keeps_the_default_that_it_has_of_its_own(engine: AsyncEngine) -> None:
    await execute(
        engine,
        "CREATE TABLE users (id SERIAL PRIMARY KEY)",
        "CREATE TABLE admins (n INTEGER NOT NULL DEFAULT 9) INHERITS (users)",
        'CREATE TABLE "the guests" () INHERITS (users)',
        "CREATE TABLE heads () INHERITS (admins)",
        'INSERT INTO "the guests" VALUES (1)',
    )

    assert await run(engine, users(sa.Column("n", sa.Integer, nullable=False, default=3))) == {
        **NOTHING,
        "columns_added": 1,
    }

    assert await column(engine, "SELECT n FROM users") == [3]
    assert await column(
        engine,
        "SELECT attrelid::regclass::text || coalesce(' ' || pg_get_expr(adbin, adrelid), '') FROM pg_attribute"
        " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attname = 'n' AND attnotnull ORDER BY 1",
    ) == ['"the guests"', "admins 9", "heads 9", "users"]


async def test_system_columns_are_not_missing(rows: AsyncEngine) -> None:
    assert await run(rows, users(sa.Column("xmin", sa.Integer, system=True))) == NOTHING
