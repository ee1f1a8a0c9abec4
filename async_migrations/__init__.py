"""Migrations for asyncio services on PostgreSQL."""
