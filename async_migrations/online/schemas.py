"""Schemas and extensions: created, renamed, dropped."""

from __future__ import annotations

from async_migrations.online.bench import Bench


class SchemaOperations(Bench):
    """What tables live in, and what the server is extended with."""

    async def create_schema(self, name: str, *, if_not_exists: bool = False) -> None:
        """Create a schema; outside a transaction one that exists counts as done.

        Args:
            name: its name, exactly.
            if_not_exists: whether one that exists is no error.
        """
        raise NotImplementedError

    async def rename_schema(self, old: str, new: str) -> None:
        """Rename a schema with all that is in it. Defaults and views follow; the text inside functions does not.

        Args:
            old: its name now, exactly.
            new: its name then.
        """
        raise NotImplementedError

    async def drop_schema(self, name: str, *, if_exists: bool = False, cascade: bool = False) -> None:
        """Drop a schema.

        Args:
            name: its name, exactly.
            if_exists: whether a missing schema is no error.
            cascade: whether what is in it goes too, with its rows.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def drop_extension(self, name: str, *, if_exists: bool = False, cascade: bool = False) -> None:
        """Drop an extension.

        Args:
            name: its name, exactly.
            if_exists: whether a missing extension is no error.
            cascade: whether what depends on it goes too: columns of its types with their values.
        """
        raise NotImplementedError
