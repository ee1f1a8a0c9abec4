"""Walk the models of one package, in the environment that it is installed in; prints JSON."""

import asyncio
import dataclasses
import importlib.metadata
import json
import sys
import warnings
from pathlib import Path

import asyncpg

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
        **{name: sum((each[name] for each in walks[1:]), walks[0][name]) for name in walks[0]},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with temporary_server(version=18) as server, temporary_directory() as directory:
        result = asyncio.run(measure(EVERY[sys.argv[1]], server, directory))
    sys.stdout.write(f"\n{json.dumps(result)}\n")
