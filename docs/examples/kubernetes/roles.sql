-- Once, as an administrator of the database. The passwords belong into the Secret of secret.yaml.
CREATE ROLE shop_migrator LOGIN PASSWORD 'change-me-1';
CREATE ROLE shop_app LOGIN PASSWORD 'change-me-2';

-- Who migrates makes the tables, and so owns them; the service gets what it needs of each table as it is made.
GRANT USAGE, CREATE ON SCHEMA public TO shop_migrator;
GRANT USAGE ON SCHEMA public TO shop_app;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop_app;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_migrator IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO shop_app;

-- The ledger has a schema of its own: the service reads it, which is all that `async-migrations wait` needs.
CREATE SCHEMA ledger AUTHORIZATION shop_migrator;
GRANT USAGE ON SCHEMA ledger TO shop_app;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_migrator IN SCHEMA ledger GRANT SELECT ON TABLES TO shop_app;
