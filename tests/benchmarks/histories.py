"""The same history in three languages: plain SQL, Python, and Alembic's."""

from pathlib import Path

LEDGER = "schema_migrations"
CREATE_LEDGER = f"CREATE TABLE {LEDGER} (id SERIAL PRIMARY KEY, migration_name VARCHAR(255) UNIQUE NOT NULL)"

PYTHON = '''"""Create and fill one table."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Create and fill one table."""

    async def upgrade(self) -> None:
        await self.execute({0!r})
        await self.execute({1!r})
'''
ALEMBIC = '''"""Create and fill one table."""

from alembic import op

revision = "{number:04d}"
down_revision = {before!r}


def upgrade() -> None:
    op.execute({0!r})
    op.execute({1!r})
'''
ALEMBIC_ENV = '''"""Alembic's own template for an asyncio service."""

import asyncio

from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def run(connection) -> None:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(context.config.attributes["url"], poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
'''


def name(number: int) -> str:
    """Return the name of one migration."""
    return f"{number:03d}_table"


def statements(number: int) -> tuple[str, str]:
    """Return the two statements of one migration."""
    table = f"table_{number:04d}"
    return (
        f"CREATE TABLE {table} (id integer PRIMARY KEY, name text NOT NULL)",
        f"INSERT INTO {table} VALUES (1, 'one')",
    )


def record(number: int) -> str:
    """Return the least that records one migration."""
    return f"INSERT INTO {LEDGER} (migration_name) VALUES ('{name(number)}')"


def message(number: int) -> str:
    """Return the one message in which a bare script would send one migration and its row."""
    return "; ".join(["BEGIN", *statements(number), record(number), "COMMIT"])


def sql_files(folder: Path, count: int) -> None:
    """Write `count` migrations as plain SQL."""
    for number in range(1, count + 1):
        text = "".join(f"{statement};\n" for statement in statements(number))
        (folder / f"{name(number)}.sql").write_text(text, "utf-8")


def python_files(folder: Path, count: int) -> None:
    """Write `count` migrations in Python."""
    for number in range(1, count + 1):
        (folder / f"{name(number)}.py").write_text(PYTHON.format(*statements(number)), "utf-8")


def alembic_files(folder: Path, count: int) -> None:
    """Write `count` revisions for Alembic."""
    (folder / "env.py").write_text(ALEMBIC_ENV, "utf-8")
    (folder / "versions").mkdir()
    for number in range(1, count + 1):
        before = f"{number - 1:04d}" if number > 1 else None
        text = ALEMBIC.format(*statements(number), number=number, before=before)
        (folder / "versions" / f"{number:04d}.py").write_text(text, "utf-8")
