"""A process that compares, and stands still at a named point until it is killed or gets a line."""

import asyncio
import sys
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import compare_schema
from async_migrations.schema import bench, scratch

POINTS = {"ensured": (scratch, "ensure"), "locked": (scratch, "_lock"), "created": (bench, "create")}


def main(url: str, point: str) -> None:
    """Compare one table; stand still after `point`."""
    if point in POINTS:
        module, name = POINTS[point]
        setattr(module, name, _then_stand_still(getattr(module, name), point))
    asyncio.run(_compare(url))


async def _compare(url: str) -> None:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True))
    engine = create_async_engine(url, poolclass=NullPool)
    difference = await compare_schema(engine, metadata)
    sys.stdout.write(f"found {len(difference.operations)}\n")
    await engine.dispose()


def _then_stand_still(work: Any, point: str) -> Any:
    async def stands_still(*arguments: Any, **options: Any) -> Any:
        result = await work(*arguments, **options)
        sys.stdout.write(f"at {point}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        return result

    return stands_still


if __name__ == "__main__":
    main(*sys.argv[1:])
