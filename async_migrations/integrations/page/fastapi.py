"""FastAPI: the page behind dependencies, `app.include_router(page_router(page, dependencies=[Depends(admin)]))`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from async_migrations.integrations.page.application import MigrationPage
from async_migrations.integrations.protocol import Receive, Scope, Send


def page_router(page: MigrationPage, **options: Any) -> APIRouter:
    """Return a router for a page and all that is below it.

    Args:
        page: its path is the router's; a prefix may come before it.
        options: those of APIRouter; `dependencies` are asked before every answer.
    """
    router = APIRouter(**options)

    async def show(request: Request, below: str = "") -> Response:
        return _Answer(page, request.scope["path"].removesuffix(f"/{below}" if below else ""))

    for path in (page.path, f"{page.path}/{{below:path}}"):
        router.add_api_route(path, show, methods=["GET", "HEAD"], include_in_schema=False)
    return router


class _Answer(Response):
    """A response that lets the page answer."""

    def __init__(self, page: MigrationPage, root: str) -> None:
        super().__init__()
        self._page = page
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._page({**scope, "root_path": self._root.removesuffix("/")}, receive, send)
