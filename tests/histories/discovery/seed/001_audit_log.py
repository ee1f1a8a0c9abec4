"""Migration 001: Add audit_logs

More words that are not for the log.
"""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Brief description for logs."""

    @property
    def name(self) -> str:
        return "001_audit_log"

    @property
    def description(self) -> str:
        return "Add audit_logs table for tracking user activities and system events"

    async def upgrade(self) -> dict:
        return {"tables_created": 1, "columns_added": 0, "indexes_created": 5}
