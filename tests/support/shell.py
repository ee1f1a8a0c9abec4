"""A project's folder, and commands of the command line in it: in this process, or in one of their own."""

import contextlib
import importlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from click.testing import CliRunner

from async_migrations.cli import main
from async_migrations.schema.bench import forget
from tests.support.processes import COMMAND, Child, child_process

STRICT = f"""
import warnings
warnings.simplefilter("error")
# A server that others still use is left running on purpose.
warnings.filterwarnings("ignore", "subprocess", ResourceWarning)
{COMMAND}
"""
"""The command line; a warning is an error."""
SECRET = "s3cret-pass"
DEADLINE = 60.0
MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
AUTO = """
from async_migrations import AutoSchemaMigration, BaseMigration

class Migration(BaseMigration):
    '''Create what the models have'''
    async def upgrade(self):
        print("hello from a migration")
        return await AutoSchemaMigration(self.engine, self.base).run()
"""
PYPROJECT = '[tool.async_migrations]\nbase = "cli_models:Base"\n'


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended; what it wrote, and both streams as a terminal mixes them, if it ran in this process."""

    code: int
    out: str
    err: str
    both: str = ""

    def __post_init__(self) -> None:
        assert "Traceback" not in self.out + self.err
        assert SECRET not in self.out + self.err

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return self.document["error"]


class Shell:
    """A project's directory, and commands run in it.

    Args:
        project: The directory.
        url: DATABASE_URL of the commands; None for none.
    """

    def __init__(self, project: Path, url: str | None) -> None:
        self.project = project
        self.url = url

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def write_three(self) -> None:
        """Write models and three migrations."""
        self.write("cli_models.py", MODELS)
        self.write("pyproject.toml", PYPROJECT)
        self.write("migrations/001_users.py", AUTO)
        self.write("migrations/002_orders.sql", "-- description: Orders\nCREATE TABLE orders (id int);")
        self.write("migrations/002_orders.down.sql", "DROP TABLE orders;")
        self.write("migrations/003_items.sql", "CREATE TABLE items (id int);")

    def __call__(self, *arguments: str, color: bool = False, **environment: str) -> Done:
        """Run a command in this process, which must not run an event loop."""
        self._be_new()
        runner = CliRunner(env={"DATABASE_URL": self.url, **environment})
        with contextlib.chdir(self.project):
            result = runner.invoke(main, arguments, color=color)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr, result.output)

    def _be_new(self) -> None:
        """Forget what commands have left in this process, here or for another test, and would not in one of its own."""
        tests = str(self.project.parent)
        ours = [name for name, each in sys.modules.items() if tests in str(getattr(each, "__file__", ""))]
        for name in ours:
            del sys.modules[name]
        importlib.invalidate_caches()
        forget()

    async def value(self, query: str) -> Any:
        """Run a query on the commands' database; return its one value."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def run(self, *arguments: str, **environment: str) -> Done:
        """Run a command in a process of its own."""
        async with self.start(*arguments, **environment) as process:
            return await ended(process)

    @asynccontextmanager
    async def start(self, *arguments: str, **environment: str) -> AsyncIterator[Child]:
        """Run a command in a process of its own, which is killed at the end of the block; `ended` waits for it."""
        variables = {"DATABASE_URL": self.url or "", **environment}
        async with child_process(STRICT, *arguments, environment=variables, directory=self.project) as process:
            yield process


async def ended(process: Child) -> Done:
    """Wait until a command has ended."""
    code = await process.wait(deadline=DEADLINE)
    out, err = ("".join(f"{line}\n" for line in lines) for lines in (process.lines, process.errors))
    return Done(code, out, err)
