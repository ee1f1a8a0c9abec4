"""Who runs a test's event loop: pytest-asyncio or anyio's plugin; and our fixture that each of them runs."""

from __future__ import annotations

import inspect
from typing import NoReturn

import pytest


def fixture_in_loop_of(request: pytest.FixtureRequest) -> str:
    """Return the name of our fixture that opens a connection in the event loop of the test that asks.

    Args:
        request: the test's.

    Raises:
        pytest.fail.Exception: nobody runs an event loop for it, or two do; the sentence says what to change.
    """
    marker = request.node.get_closest_marker("asyncio")
    anyio = "anyio_backend" in request.fixturenames
    if marker and anyio:
        _refuse(
            f"{request.node.name} is claimed by pytest-asyncio and by anyio, whose fixtures live in two event loops. "
            "Remove one of the marks; with marks of anyio, pytest-asyncio needs asyncio_mode = strict."
        )
    if marker and _is_async(request.node) and request.config.pluginmanager.hasplugin("asyncio"):
        default = request.config.getini("asyncio_default_test_loop_scope")
        return f"_async_migrations_asyncio_{marker.kwargs.get('loop_scope') or default or 'function'}"
    if not anyio:
        _refuse(
            f"{request.node.name} asks for migrated_connection or migrated_session, and neither pytest-asyncio nor "
            "anyio runs it. Make it `async def` and mark it with pytest.mark.asyncio or pytest.mark.anyio."
        )
    _check_backend(request.getfixturevalue("anyio_backend"))
    return "_async_migrations_anyio"


def _is_async(node: pytest.Item) -> bool:
    function = getattr(node, "obj", None)
    # A test of hypothesis is a synchronous wrapper.
    return inspect.iscoroutinefunction(getattr(getattr(function, "hypothesis", None), "inner_test", function))


def _check_backend(backend: str | tuple[str, object]) -> None:
    if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
        _refuse('SQLAlchemy and asyncpg run on asyncio only: let your fixture `anyio_backend` return "asyncio".')


def _refuse(sentence: str) -> NoReturn:
    pytest.fail(sentence, pytrace=False)
