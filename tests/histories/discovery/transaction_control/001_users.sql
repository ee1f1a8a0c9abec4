-- description: Create users, as pg_dump would
BEGIN;
CREATE TABLE users (id integer PRIMARY KEY);
COMMIT;
