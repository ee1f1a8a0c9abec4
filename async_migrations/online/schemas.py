"""Schemas and extensions: created, renamed, dropped."""

from __future__ import annotations

from async_migrations.online import looks
from async_migrations.online.bench import Bench
from async_migrations.sql import quote_identifier, quote_literal


class SchemaOperations(Bench):
    """What tables live in, and what the server is extended with."""

    async def create_schema(self, name: str, *, if_not_exists: bool = False) -> None:
        """Create a schema; outside a transaction one that exists counts as done.

        Args:
            name: its name, exactly.
            if_not_exists: whether one that exists is no error.
        """
        lenient = "" if self._transactional and not if_not_exists else "IF NOT EXISTS "
        await self._do(f"Created schema {name}", f"CREATE SCHEMA {lenient}{quote_identifier(name)}")

    async def rename_schema(self, old: str, new: str) -> None:
        """Rename a schema with all that is in it. Defaults and views follow; the text inside functions does not.

        Args:
            old: its name now, exactly.
            new: its name then.
        """

        async def is_renamed() -> bool:
            return not await looks.schema_exists(self._wire, old) and await looks.schema_exists(self._wire, new)

        statement = f"ALTER SCHEMA {quote_identifier(old)} RENAME TO {quote_identifier(new)}"
        await self._do(f"Renamed schema {old} to {new}", statement, done=self._if_again(is_renamed))

    async def drop_schema(self, name: str, *, if_exists: bool = False, cascade: bool = False) -> None:
        """Drop a schema.

        Args:
            name: its name, exactly.
            if_exists: whether a missing schema is no error.
            cascade: whether what is in it goes too, with its rows.
        """
        lenient = "IF EXISTS " if if_exists or self._again else ""
        statement = f"DROP SCHEMA {lenient}{quote_identifier(name)}{' CASCADE' if cascade else ''}"
        await self._do(f"Dropped schema {name}", statement)

    async def create_extension(
        self, name: str, *, schema: str | None = None, version: str | None = None, cascade: bool = False
    ) -> None:
        """Create an extension unless it is there.

        Args:
            name: its name, exactly: `"pg_trgm"`.
            schema: where its objects are put; None takes the first of `search_path`.
            version: its version; None is the server's default.
            cascade: whether the extensions that it needs are created too.
        """
        clauses = [
            f"CREATE EXTENSION IF NOT EXISTS {quote_identifier(name)}",
            *([] if schema is None else [f"SCHEMA {quote_identifier(schema)}"]),
            *([] if version is None else [f"VERSION {quote_literal(version)}"]),
            *(["CASCADE"] if cascade else []),
        ]
        await self._do(f"Created extension {name}", " ".join(clauses))

    async def drop_extension(self, name: str, *, if_exists: bool = False, cascade: bool = False) -> None:
        """Drop an extension.

        Args:
            name: its name, exactly.
            if_exists: whether a missing extension is no error.
            cascade: whether what depends on it goes too: columns of its types with their values.
        """
        lenient = "IF EXISTS " if if_exists or self._again else ""
        statement = f"DROP EXTENSION {lenient}{quote_identifier(name)}{' CASCADE' if cascade else ''}"
        await self._do(f"Dropped extension {name}", statement)
