"""A client of the servers that tests start."""

import httpx

PATIENCE = 30.0
"""Seconds that an answer may take."""


def plain_client(**options: object) -> httpx.AsyncClient:
    """Return a client without TLS: it would read the system's certificates, which takes longer than many requests.

    Args:
        options: Those of `httpx.AsyncClient`.
    """
    return httpx.AsyncClient(verify=False, **{"timeout": PATIENCE, **options})  # type: ignore[arg-type]  # noqa: S501
