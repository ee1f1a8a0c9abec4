"""What generated files look like: where each step stands, what is left out, what they import."""

import ast
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from async_migrations import MigrationRunner, compare_schema
from async_migrations.discovery import discover
from async_migrations.errors import ConfigurationError, MigrationFailedError, MigrationsError
from tests.schema_cases.moved import Percent, Range8
from tests.support.generated import upgrade
from tests.support.schemas import run_sql


def simple(*parts: Any) -> MetaData:
    m = MetaData()
    Table("t", m, Column("id", Integer, primary_key=True), *parts)
    return m


async def create(engine: AsyncEngine, metadata: MetaData) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


async def test_each_step_stands_in_the_file_that_keeps_the_service_running(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Integer), Column("b", Integer)))
    after = simple(
        Column("a", Integer, ForeignKey("t.id", name="fk"), index=True),
        Column("b", Integer, CheckConstraint("b > 0", name="ck"), nullable=False, unique=True),
    )
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "keys")
    assert [path.name for path in paths] == ["001_keys.py", "002_keys_indexes.py", "003_keys_validate.py"]
    main, indexes, validate = (path.read_text() for path in paths)
    assert "transactional = False" not in main
    assert 'create_foreign_key("fk", "t", "t", ["a"], ["id"], not_valid=True)' in main
    assert 'create_check_constraint("ck", "t", "b > 0", not_valid=True)' in main
    assert "transactional = False" in indexes
    assert 'create_index("ix_t_a", "t", ["a"])' in indexes
    assert 'create_unique_constraint("t_b_key", "t", ["b"])' in indexes
    assert "transactional = False" in validate
    assert 'validate_constraint("fk", "t")' in validate
    assert 'set_not_null("t", "b")' in validate


async def test_a_not_null_that_was_never_validated_is_proved(
    engine: AsyncEngine, tmp_path: Path, postgres_version: int
) -> None:
    if postgres_version < 18:
        pytest.skip("needs PostgreSQL 18")
    await create(engine, simple(Column("a", Integer)))
    await run_sql(engine, "INSERT INTO t (a) VALUES (NULL); ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NOT VALID")
    after = simple(Column("a", Integer, nullable=False))
    difference = await compare_schema(engine, after)
    assert [str(each) for each in difference.operations] == ["column public.t.a may be NULL"]
    difference.write_migrations(tmp_path, "proof")
    with pytest.raises(MigrationFailedError, match="is violated by some row"):
        await upgrade(engine, tmp_path)
    await run_sql(engine, "UPDATE t SET a = 1")
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_storage_parameters_of_what_lies_outside_the_table_are_followed(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    parameters = {"toast.autovacuum_enabled": False, "fillfactor": 70}
    for number, before in enumerate(({}, {"toast.vacuum_truncate": True, "fillfactor": 70}, {"fillfactor": 70})):
        await run_sql(engine, "DROP TABLE IF EXISTS t, schema_migrations")
        first, after = simple(Column("a", Text)), simple(Column("a", Text))
        first.tables["t"].dialect_options["postgresql"]["with"] = before
        after.tables["t"].dialect_options["postgresql"]["with"] = parameters
        await create(engine, first)
        difference = await compare_schema(engine, after)
        assert [type(each).__name__ for each in difference.operations] == ["TableOptionsChanged"]
        difference.write_migrations(tmp_path / str(number), "parameters")
        await upgrade(engine, tmp_path / str(number))
        assert not await compare_schema(engine, after)


async def test_a_new_table_is_one_file_with_its_indexes(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple(Column("a", Text, index=True)))
    (path,) = difference.write_migrations(tmp_path, "Add things")
    assert path.name == "001_add_things.py"
    assert "transactional" not in path.read_text()
    assert 'create_index("ix_t_a", "t", ["a"])' in path.read_text()


async def test_a_label_is_committed_before_its_use(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Enum("x", name="kind"))))
    after = simple(Column("a", Enum("x", "y", name="kind"), server_default="y"))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "labels")
    assert [path.name for path in paths] == ["001_labels_labels.py", "002_labels.py"]
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_a_label_that_nothing_uses_needs_no_file_of_its_own(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Enum("x", name="kind"))))
    after = simple(Column("a", Enum("x", "y", name="kind")), Column("b", Text))
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "label")
    assert 'add_enum_value("kind", "y")' in path.read_text()


async def test_what_loses_something_is_left_out_and_listed(engine: AsyncEngine, tmp_path: Path) -> None:
    before = simple(Column("a", Enum("x", "y", name="kind")), Column("b", Text), Column("n", Integer))
    Table("u", before, Column("k", Enum("p", name="other")))
    await create(engine, before)
    await run_sql(engine, "INSERT INTO t (a, b) VALUES ('y', 'kept')")
    after = simple(Column("a", Enum("x", "z", name="kind")), Column("c", Text))
    difference = await compare_schema(engine, after)
    paths = difference.write_migrations(tmp_path, "careful")
    (path,) = paths
    source = path.read_text()
    assert "drop_table" not in source
    assert "drop_column" not in source.partition("downgrade")[0]
    assert "drop_enum" not in source
    assert 'add_enum_value("kind", "z"' in source
    assert "# Left out, since something would be lost" in source
    left = {type(each).__name__ for each in paths.left_out}
    assert left == {"ColumnRemoved", "TableRemoved", "EnumRemoved", "EnumLabelsChanged"}
    assert "Left out, since something would be lost: column public.t.b" in str(paths)
    await upgrade(engine, tmp_path)
    remaining = await compare_schema(engine, after)
    assert {type(each).__name__ for each in remaining.operations} == left


async def test_only_what_loses_something_writes_no_file(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Text)))
    paths = (await compare_schema(engine, simple())).write_migrations(tmp_path / "none", "gone")
    assert paths == []
    assert str(paths).startswith("Nothing was written.")
    assert discover(tmp_path / "none").files == ()


async def test_what_loses_something_stands_last_and_has_no_way_back(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple(Column("a", Text)))
    difference = await compare_schema(engine, simple(Column("b", Text)))
    paths = difference.write_migrations(tmp_path, "swap", allow_destructive=True)
    assert [path.name for path in paths] == ["001_swap.py", "002_swap_drop.py"]
    assert "async def downgrade" not in paths[1].read_text()
    assert "# There is no way back: the values of a dropped column are gone." in paths[1].read_text()


async def test_an_equal_schema_writes_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    await create(engine, simple())
    assert (await compare_schema(engine, simple())).write_migrations(tmp_path, "nothing") == []


async def test_a_column_without_a_value_for_old_rows_fails_loudly_until_it_has_one(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await create(engine, simple())
    await run_sql(engine, "INSERT INTO t DEFAULT VALUES")
    after = simple(Column("a", Integer, nullable=False))
    paths = (await compare_schema(engine, after)).write_migrations(tmp_path, "must")
    assert "is NOT NULL and has no default" in paths[-1].read_text()
    with pytest.raises(MigrationsError, match="violated by some row"):
        await upgrade(engine, tmp_path)
    source = paths[-1].read_text()
    fill = '        await self.op.execute("UPDATE t SET a = 1 WHERE a IS NULL")\n'
    paths[-1].write_text(
        source.replace("        await self.op.set_not_null", fill + "        await self.op.set_not_null")
    )
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_types_of_the_application_are_written_so_that_the_file_outlives_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    after = simple(Column("p", Percent(2)), Column("r", Range8()), Column("s", String(5, collation="C")))
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "types")
    source = path.read_text()
    assert 'sa.Column("p", sa.Numeric(precision=5, scale=2))' in source
    assert 'sa.String(length=5, collation="C")' in source
    assert "tests.schema_cases.moved.Range8()" in source
    assert "import tests.schema_cases.moved\n" in source
    await upgrade(engine, tmp_path)
    assert not await compare_schema(engine, after)


async def test_the_numbers_go_on_and_the_head_file_follows(engine: AsyncEngine, tmp_path: Path) -> None:
    (tmp_path / "0041_first.sql").write_text("CREATE TABLE t (id serial PRIMARY KEY)")
    await upgrade(engine, tmp_path)
    paths = (await compare_schema(engine, simple(Column("a", Text, index=True)))).write_migrations(tmp_path, "more")
    assert [path.name for path in paths] == ["0042_more.py", "0043_more_indexes.py"]
    assert (tmp_path / "head.txt").read_text() == "0043_more_indexes\n"
    await upgrade(engine, tmp_path)
    assert not (await MigrationRunner(engine, None, tmp_path, observers=()).verify())


async def test_a_name_that_cannot_be_one_leaves_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple())
    with pytest.raises(ConfigurationError):
        difference.write_migrations(tmp_path, "!!!")
    with pytest.raises(ConfigurationError, match="longer than"):
        difference.write_migrations(tmp_path, "x" * 300)
    (tmp_path / "file").touch()
    with pytest.raises(MigrationsError):
        difference.write_migrations(tmp_path / "file", "name")
    assert discover(tmp_path).files == ()


async def test_a_table_moves_to_another_tablespace_and_back(engine: AsyncEngine, tmp_path: Path) -> None:
    space = f"space_{engine.url.database}"
    # In a folder that PostgreSQL chooses, which only tests may ask for.
    await run_sql(engine, f'ALTER ROLE CURRENT_USER IN DATABASE "{engine.url.database}" '
                          "SET allow_in_place_tablespaces = on")  # fmt: skip
    await engine.dispose()
    await run_sql(engine, f"CREATE TABLESPACE \"{space}\" LOCATION ''")
    try:
        await run_sql(engine, "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t VALUES (7)")
        moved = MetaData()
        Table("t", moved, Column("id", Integer, primary_key=True), postgresql_tablespace=space)
        difference = await compare_schema(engine, moved)
        assert [type(each).__name__ for each in difference.operations] == ["TablespaceChanged"]
        difference.write_migrations(tmp_path, "move")
        await upgrade(engine, tmp_path)
        assert not await compare_schema(engine, moved)
        await MigrationRunner(engine, None, tmp_path, observers=()).downgrade(0)
        assert str(await compare_schema(engine, moved)) == str(difference)
    finally:
        await run_sql(engine, "DROP TABLE t")
        await run_sql(engine, f'DROP TABLESPACE "{space}"')


async def test_a_slug_of_any_text_makes_a_file_that_python_reads(engine: AsyncEngine, tmp_path: Path) -> None:
    difference = await compare_schema(engine, simple())
    (path,) = difference.write_migrations(tmp_path, 'a"""\\b {name}')
    ast.parse(path.read_text())


async def test_the_formatter_has_nothing_to_add(engine: AsyncEngine, tmp_path: Path) -> None:
    formatter = shutil.which("ruff")
    assert formatter is not None
    where = text("column_3 = 'label_1'")
    after = simple(
        *(Column(f"column_{number}", Enum(*(f"label_{each}" for each in range(number)), name=f"kind_{number}"))
          for number in range(1, 12)),
        CheckConstraint(" AND ".join(f"column_{n} <> 'label_0'" for n in range(1, 6)), name="long"),
        Index("ix", text("(id * 2 + 1)"), text("column_2 DESC"), "column_4", postgresql_where=where),
    )  # fmt: skip
    (path,) = (await compare_schema(engine, after)).write_migrations(tmp_path, "wide")
    command = [formatter, "format", "--isolated", "--line-length", "120", "--check", "--diff", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - found above
    assert result.returncode == 0, result.stdout
