"""Rows of a query in the simple query protocol, which prepares nothing and keeps no snapshot."""

from __future__ import annotations

import json
from typing import Any

UNHURRIED = 2_000_000.0
"""Seconds, 23 days, for what the engine says itself: a service's command_timeout is made for its requests."""


def unhurried(driver: Any) -> float | None:
    """Return the timeout of what the engine says itself.

    Without a limit of the driver's own there is none to lift, and no timer is set for each message.

    Args:
        driver: asyncpg's connection.
    """
    own = getattr(driver, "_config", None)
    return None if own is not None and own.command_timeout is None else UNHURRIED


async def read_rows(driver: Any, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query, values as JSON has them, in one round trip.

    COPY is the one way in which the simple protocol hands rows through the driver.

    Args:
        driver: asyncpg's connection.
        query: one SELECT.
    """
    received = bytearray()

    async def receive(data: bytes) -> None:
        received.extend(data)

    await driver.copy_from_query(f"SELECT to_jsonb(r) FROM ({query}) AS r", output=receive, timeout=unhurried(driver))
    # JSON has no raw control characters, so that doubled backslashes are COPY's only escape.
    lines = received.decode().replace("\\\\", "\\").split("\n")
    return [json.loads(line) for line in lines if line]
