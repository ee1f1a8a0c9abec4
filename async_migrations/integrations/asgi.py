"""The gate: a server answers its probes while the database is migrated, and then the application starts."""

from __future__ import annotations

from async_migrations.integrations.protocol import ASGIApp, Message, Page, Receive, Scope, Send

__all__ = ["ASGIApp", "Message", "Page", "Receive", "Scope", "Send"]
