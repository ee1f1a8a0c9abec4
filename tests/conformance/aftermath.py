"""What a database looks like when the replicas are gone."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from tests.support.waiting import eventually

LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY applied_at, id"
DIRTY = "SELECT migration_name FROM schema_migrations WHERE dirty OR steps IS NOT NULL"
AUDIT = "SELECT migration, count(*) FROM audit GROUP BY migration"
INDEXES = "SELECT c.relname FROM pg_class AS c WHERE c.relname LIKE 'ix%' AND c.relkind = 'i' ORDER BY 1"
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)"
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SESSIONS = (
    "SELECT format('%s %s: %s', pid, state, query) FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'witness' "
    "AND state <> ALL ($1)"
)


LOOK = f"""SELECT ARRAY({LEDGER}) AS ledger, ARRAY({DIRTY}) AS dirty,
 (SELECT json_object_agg(migration, count) FROM ({AUDIT}) AS a) AS audit,
 ARRAY({INDEXES}) AS indexes, ARRAY({INVALID}) AS invalid, ({LOCKS}) AS locks"""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What stayed.

    Attributes:
        ledger: Names in the ledger, in the order in which they were applied.
        dirty: Those that began and did not finish.
        audit: How often each migration wrote its line.
        indexes: Those of the migrations.
        invalid: Indexes that a dead build left.
        locks: Advisory locks that somebody holds.

    """

    ledger: list[str]
    dirty: list[str]
    audit: dict[str, int]
    indexes: list[str]
    invalid: list[str]
    locks: int


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection that looks at a database from the side."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain, server_settings={"application_name": "witness"})
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def look(witness: asyncpg.Connection) -> Aftermath:
    """Look at the witness's database."""
    (row,) = await witness.fetch(LOOK)
    found = dict(row)
    return Aftermath(**{**found, "audit": json.loads(found["audit"] or "{}")})


def names(directory: Path) -> list[str]:
    """Return the names of a folder's migrations, in order."""
    found = {path.stem for path in directory.iterdir() if path.suffix in {".py", ".sql"}}
    return sorted(name for name in found if not name.endswith(".down"))


async def check(
    witness: asyncpg.Connection,
    directory: Path,
    indexes: Sequence[str],
    *,
    perhaps_twice: Collection[str] = (),
    pooled: bool = False,
) -> None:
    """Assert that all of a history is there, nothing of it twice, and nobody left anything behind.

    Args:
        witness: A connection of `watching`.
        directory: The history.
        indexes: The indexes that it creates.
        perhaps_twice: Migrations that a death between a step and its record repeats, because they are not
            transactional.
        pooled: Whether a pooler keeps connections, which then are idle.

    """
    await gone(witness, pooled=pooled)
    found = await look(witness)
    assert found.ledger == names(directory)
    assert found.dirty == []
    assert found.indexes == sorted(indexes)
    assert found.invalid == []
    assert found.locks == 0
    wrong = {name: times for name, times in found.audit.items() if times != 1 and name not in perhaps_twice}
    assert wrong == {}


async def gone(witness: asyncpg.Connection, *, pooled: bool = False, deadline: float = 5.0) -> None:
    """Wait until no session but the witness's is left in the database, or with a pooler, none but idle ones."""

    async def nobody_is_left() -> bool:
        left = [row[0] for row in await witness.fetch(SESSIONS, ["idle"] if pooled else [])]
        if left:
            who.update(left)
        return not left

    who: Counter[str] = Counter()
    try:
        await eventually(nobody_is_left, deadline=deadline)
    except AssertionError:
        raise AssertionError(f"sessions that stayed: {who.most_common(5)}") from None


async def empty(witness: asyncpg.Connection) -> None:
    """Make the database as good as new."""
    await asyncio.wait_for(witness.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public"), 10)
