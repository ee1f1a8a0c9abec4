"""What pytest-asyncio runs for our pytest plugin: one fixture for each event loop in which a test may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest_asyncio

from async_migrations.integrations.pytest_plugin import in_a_sentence

Scope = Literal["function", "class", "module", "package", "session"]


def _in_loop_of(scope: Scope) -> Any:
    """Make the fixture; pytest-asyncio notes the loop on the function, so that each needs a function of its own."""

    async def rolled_back(_async_migrations_place: Any) -> AsyncIterator[Any]:
        from async_migrations.testing import rollback

        with in_a_sentence():
            async with rollback.rolled_back(*_async_migrations_place) as pair:
                yield pair

    return pytest_asyncio.fixture(rolled_back, loop_scope=scope, name=f"_async_migrations_asyncio_{scope}")


in_function = _in_loop_of("function")
in_class = _in_loop_of("class")
in_module = _in_loop_of("module")
in_package = _in_loop_of("package")
in_session = _in_loop_of("session")
