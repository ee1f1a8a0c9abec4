"""What rooms of tables, sequences and types do alike: drop, rename, create the types that columns need."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import DOMAIN, CreateDomainType, CreateEnumType

from async_migrations import ddl
from async_migrations.online import looks
from async_migrations.online.bench import Bench
from async_migrations.sql import qualified, quote_identifier, quote_literal

TYPES = frozenset({"TYPE", "DOMAIN"})


class RelationBench(Bench):
    """Drops and renames what has a name in a schema."""

    async def _drop(self, kind: str, schema: str | None, name: str, *, if_exists: bool, cascade: bool = False) -> None:
        lenient = " IF EXISTS" if if_exists else ""
        statement = f"DROP {kind}{lenient} {qualified(schema, name)}{' CASCADE' if cascade else ''}"

        async def is_gone() -> bool:
            return not await self._is_taken(kind, schema, name)

        await self._do(f"Dropped {kind.lower()} {name}", statement, done=self._if_again(is_gone))

    async def _rename(self, kind: str, schema: str | None, old: str, new: str) -> None:
        async def is_renamed() -> bool:
            return not await self._is_taken(kind, schema, old) and await self._is_taken(kind, schema, new)

        statement = f"ALTER {kind} {qualified(schema, old)} RENAME TO {quote_identifier(new)}"
        await self._do(f"Renamed {kind.lower()} {old} to {new}", statement, done=self._if_again(is_renamed))

    async def _is_taken(self, kind: str, schema: str | None, name: str) -> bool:
        return await self._schema_of(kind, schema, name) is not None

    async def _schema_of(self, kind: str, schema: str | None, name: str) -> str | None:
        """Return the schema in which a name is found; None if nothing of this kind has it."""
        if kind in TYPES:
            facts = await looks.type_facts(self._wire, schema, name)
            return None if facts is None else facts.schema
        return await looks.relation_schema(self._wire, schema, name)

    async def _is_partitioned(self, schema: str | None, table: str) -> bool:
        return await looks.relation_kind(self._wire, schema, table) == "p"

    async def _create_types(self, table: Table) -> None:
        """Create the enums and domains of a table's columns that are missing."""
        for column in table.columns:
            await self._create_types_of(column.type)

    async def _create_types_of(self, type_: Any) -> None:
        for named in ddl.named_types(type_, self._dialect):
            name = ddl.type_name(self._dialect, named)
            if not named.create_type or await self._wire.read(_FIND_TYPE.format(name=quote_literal(name))):
                continue
            construct = CreateDomainType if isinstance(named, DOMAIN) else CreateEnumType
            await self._do(f"Created type {named.name}", str(construct(named).compile(dialect=self._dialect)))


_FIND_TYPE = "SELECT 1 AS one WHERE to_regtype({name}) IS NOT NULL"
