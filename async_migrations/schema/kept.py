"""The database that is kept beside the live ones for comparisons, and is always empty."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from async_migrations.retry import sqlstate
from async_migrations.schema.answers import ask, rows
from async_migrations.schema.catalog import Place
from async_migrations.session import Session
from async_migrations.sql import quote_identifier, quote_literal

PREFIX = "async_migrations_scratch_"

SELECT_DATABASE = "SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = {name}"
_PROVIDER_SINCE = 150000
_HALF_MADE = "-2"  # datconnlimit of a database whose CREATE or DROP was killed
_ALREADY = frozenset({"42P04", "23505"})
_REASONS = {
    "42501": "the role {role} may not create a database",
    "25006": "transactions are read-only here",
    "57014": "CREATE DATABASE took longer than the statement_timeout of the role {role}",
    # What PostgreSQL 18 says instead of 57014 where the timeout comes while it reads ahead.
    "XX000": "CREATE DATABASE did not work in the server: {error}",
}
"""Why there is none, by error code. No setting is changed for it: behind a pooler that would reach others."""


def scratch_name(place: Place) -> str:
    """Name the scratch database of a role for databases of one locale: many databases share it."""
    facts = json.dumps([place.role, sorted(place.locale.items())], default=str)
    return PREFIX + hashlib.sha256(facts.encode()).hexdigest()[:16]


async def is_kept(driver: Any, name: str) -> bool:
    """Whether the scratch database is there, and whole."""
    return await _limit(driver, name) not in {None, _HALF_MADE}


async def ensure(live: Session, name: str, place: Place) -> str | None:
    """Have the scratch database; return why there is none."""
    limit = await _limit(live.driver, name)
    if limit not in {None, _HALF_MADE}:
        return None
    try:
        if limit is not None:
            await live.send(f"DROP DATABASE IF EXISTS {quote_identifier(name)}")
        await live.send(_creation(name, place))
    except Exception as error:
        if sqlstate(error) in _ALREADY:
            return None
        if reason := _REASONS.get(sqlstate(error) or ""):
            return reason.format(role=place.role, error=error)
        raise
    return None


async def _limit(driver: Any, name: str) -> str | None:
    found = rows(await ask(driver, SELECT_DATABASE.format(name=quote_literal(name))))
    return found[0][0] if found else None


def _creation(name: str, place: Place) -> str:
    locale = place.locale
    options = [
        "TEMPLATE template0",
        f"ENCODING {quote_literal(locale['encoding'])}",
        f"LC_COLLATE {quote_literal(locale['collate'])}",
        f"LC_CTYPE {quote_literal(locale['ctype'])}",
    ]
    if place.version >= _PROVIDER_SINCE:
        provider = {"i": "icu", "b": "builtin"}.get(locale.get("provider") or "c", "libc")
        options.append(f"LOCALE_PROVIDER {provider}")
        if locale.get("locale"):
            options.append(f"{provider.upper()}_LOCALE {quote_literal(locale['locale'])}")
        if locale.get("rules"):
            options.append(f"ICU_RULES {quote_literal(locale['rules'])}")
    return f"CREATE DATABASE {quote_identifier(name)} {' '.join(options)}"
