"""A page for people: what is applied, what is pending, who migrates and who waits, live."""

from __future__ import annotations

from async_migrations.integrations.page.application import MigrationPage
from async_migrations.integrations.page.authorization import Authorize, Refusal, Visitor, basic

__all__ = ["Authorize", "MigrationPage", "Refusal", "Visitor", "basic"]
