from async_migrations import BaseMigration
from sqlalchemy import text


class Migration(BaseMigration):
    """Create users"""

    def upgrade(self) -> dict:
        with self.engine.connect() as conn:
            conn.execute(text("CREATE TABLE users (id integer PRIMARY KEY)"))
            conn.commit()
        return {"tables_created": 1}
