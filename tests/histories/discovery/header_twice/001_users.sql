-- description: Create users
-- description: Create accounts
CREATE TABLE users (id integer PRIMARY KEY);
