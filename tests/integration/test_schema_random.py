"""Any models to any others: generated migrations lead there, and from there back."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import create_async_engine

from async_migrations import compare_schema
from async_migrations.testing.databases import Databases
from async_migrations.testing.server import Server
from tests.support.generated import EMPTY, comparable, upgrade
from tests.support.schemas import run_sql

DEFAULTS: dict[str, tuple[Any, list[str | None]]] = {
    "smallint": (SmallInteger, [None, "1"]),
    "integer": (Integer, [None, "1", "2"]),
    "bigint": (BigInteger, [None, "1"]),
    "numeric": (Numeric(10, 2), [None, "1.50"]),
    "string": (String(20), [None, "1", "it's"]),
    "text": (Text, [None, "1", "a:b"]),
    "boolean": (Boolean, [None]),
    "jsonb": (pg.JSONB, [None, "{}"]),
}


SELDOM = st.sampled_from([False, False, True])


@dataclass(frozen=True)
class ColumnModel:
    name: str
    kind: str
    nullable: bool
    default: str | None
    labels: tuple[str, ...]
    unique: bool
    index: bool
    check: bool
    refers: bool
    comment: str | None
    special: str


@dataclass(frozen=True)
class TableModel:
    name: str
    key: str
    columns: tuple[ColumnModel, ...]
    pair: str
    comment: str | None


@st.composite
def columns(draw: st.DrawFn, name: str) -> ColumnModel:
    kind = draw(st.sampled_from([*DEFAULTS, "enum"]))
    defaults = DEFAULTS[kind][1] if kind in DEFAULTS else [None, "x"]
    return ColumnModel(
        name,
        kind,
        draw(st.booleans()),
        draw(st.sampled_from(defaults)),
        ("x", *draw(st.lists(st.sampled_from("yzw"), unique=True, max_size=2))),
        draw(SELDOM),
        draw(SELDOM),
        draw(SELDOM),
        draw(SELDOM),
        draw(st.sampled_from([None, None, "it's", 'a "b"'])),
        draw(st.sampled_from(["", "", "", "identity", "computed"])),
    )


@st.composite
def tables(draw: st.DrawFn, name: str) -> TableModel:
    names = draw(st.lists(st.sampled_from(["a", "b", "My C", "order"]), unique=True, min_size=1))
    return TableModel(
        name,
        draw(st.sampled_from(["serial", "bigserial", "identity", "plain"])),
        tuple(draw(columns(each)) for each in sorted(names)),
        draw(st.sampled_from(["", "unique", "index", "partial"])),
        draw(st.sampled_from([None, "one", "two"])),
    )


@st.composite
def models(draw: st.DrawFn) -> tuple[TableModel, ...]:
    names = draw(st.lists(st.sampled_from(["t", "u", "Odd One"]), unique=True))
    return tuple(draw(tables(each)) for each in sorted(names))


def metadata_of(model: tuple[TableModel, ...]) -> MetaData:
    """Return the metadata of a model."""
    metadata = MetaData()
    keys = {"serial": Integer, "bigserial": BigInteger, "identity": Integer, "plain": Integer}
    for table in model:
        parts: list[Any] = [_key(table, keys[table.key]), *(_column(table, each) for each in table.columns)]
        first = table.columns[0].name
        if table.pair == "unique":
            parts.append(UniqueConstraint("id", first, name=f"uq {table.name}"))
        elif table.pair:
            where: dict[str, Any] = {"postgresql_where": text("id > 5")} if table.pair == "partial" else {}
            parts.append(Index(f"ix {table.name}", "id", first, **where))
        Table(table.name, metadata, *parts, comment=table.comment)
    return metadata


def _key(table: TableModel, kind: Any) -> Column[Any]:
    if table.key == "identity":
        return Column("id", kind, Identity(), primary_key=True)
    return Column("id", kind, primary_key=True, autoincrement=table.key != "plain")


def _column(table: TableModel, each: ColumnModel) -> Column[Any]:
    quoted = f'"{each.name}"'
    check = (
        [CheckConstraint(f"{quoted} IS NOT NULL OR id > 0", name=f"ck {table.name} {each.name}")] if each.check else []
    )
    plain: dict[str, Any] = {"unique": each.unique, "index": each.index, "comment": each.comment}
    if each.kind == "jsonb":
        plain |= {"unique": False, "index": False}
    if each.special == "identity":
        return Column(each.name, BigInteger, Identity(start=3), *check, **plain)
    if each.special == "computed":
        return Column(each.name, Integer, Computed("id * 2", persisted=True), *check, **plain)
    if each.refers:
        number = BigInteger if table.key == "bigserial" else Integer
        target = f"{table.name}.id"
        return Column(each.name, number, ForeignKey(target, ondelete="CASCADE"), *check, **plain)
    kind: Any = (
        Enum(*each.labels, name=f"kind {table.name} {each.name}") if each.kind == "enum" else DEFAULTS[each.kind][0]
    )
    return Column(each.name, kind, *check, nullable=each.nullable, server_default=each.default, **plain)


@pytest.fixture(scope="module")
def random_url(databases: Databases, server: Server) -> Iterator[str]:
    name = databases.take().result()
    yield server.url(name)
    databases.drop(name)


@pytest.mark.timeout(600)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(one=models(), other=models())
def test_any_models_lead_to_any_others_and_back(
    random_url: str, one: tuple[TableModel, ...], other: tuple[TableModel, ...]
) -> None:
    async def there_and_back() -> None:
        # A connection that is kept knows the catalog already.
        engine = create_async_engine(random_url)
        try:
            await run_sql(engine, EMPTY)
            with tempfile.TemporaryDirectory() as folder:
                for model in (one, other, one):
                    metadata = metadata_of(model)
                    first = await compare_schema(engine, metadata, schemas=["public"])
                    paths = first.write_migrations(folder, "step", allow_destructive=True)
                    written = "\n".join(path.read_text() for path in paths)
                    await upgrade(engine, Path(folder))
                    second = await compare_schema(engine, metadata, schemas=["public"])
                    assert not second, f"{second}\n{written}"
                    assert comparable(second.live) == comparable(second.wanted), written
        finally:
            await engine.dispose()

    anyio.run(there_and_back)
