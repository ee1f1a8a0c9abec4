from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Create users, one day"""
