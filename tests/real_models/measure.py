"""Walk the models of one package, in the environment that it is installed in; prints JSON."""

import asyncio
import dataclasses
import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import compare_schema
from async_migrations.testing.server import Server, temporary_directory, temporary_server
from tests.real_models.packages import EVERY, Package
from tests.real_models.walk import walk


async def measure(package: Package, server: Server, directory: Path) -> dict[str, object]:
    """Walk all that a package has, and add it up."""
    names: list[str] = []

    async def make_database() -> str:
        names.append(f"walk_{len(names)}")
        connection = await asyncpg.connect(server.url("postgres", driver=""))
        await connection.execute(f"CREATE DATABASE {names[-1]}")
        await connection.close()
        return server.url(names[-1])

    await _make_scratch_database(await make_database())
    walks = [
        dataclasses.asdict(
            await walk(each, server, make_database, directory / str(number), extensions=package.extensions)
        )
        for number, each in enumerate(package.load())
    ]
    return {
        "name": package.name,
        "version": importlib.metadata.version(package.name),
        "sqlalchemy": importlib.metadata.version("sqlalchemy"),
        **{name: _together(name, [each[name] for each in walks]) for name in walks[0]},
    }


def _together(name: str, values: list[Any]) -> Any:
    """Take the slowest time, and everything else in one."""
    return max(values) if name in {"first", "again"} else sum(values[1:], values[0])


async def _make_scratch_database(url: str) -> None:
    """Have what is made once for all comparisons of a server."""
    engine = create_async_engine(url, poolclass=NullPool)
    await compare_schema(engine, MetaData())
    await engine.dispose()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with temporary_server(version=18) as server, temporary_directory() as directory:
        result = asyncio.run(measure(EVERY[sys.argv[1]], server, directory))
    sys.stdout.write(f"\n{json.dumps(result)}\n")
