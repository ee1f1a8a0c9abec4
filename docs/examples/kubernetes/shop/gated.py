"""The service behind the gate: the pod answers its probes while it migrates, with a role of its own."""

import os

from service import app as service
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from async_migrations import MigrationRunner
from async_migrations.integrations.asgi import MigrationGate

# Another role, and not through the pooler: see roles.sql and pgbouncer.yaml.
owner = create_async_engine(os.environ["MIGRATION_DATABASE_URL"], poolclass=NullPool)

app = MigrationGate(service, MigrationRunner(owner, directory="migrations", schema="ledger", grace=30))
