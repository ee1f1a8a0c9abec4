-- description: Tables, and a gate that a test holds shut
CREATE TABLE audit (migration text);
CREATE TABLE orders (id integer PRIMARY KEY, customer text);
INSERT INTO orders SELECT n, 'customer' || n % 7 FROM generate_series(1, 50) AS n;
CREATE UNLOGGED TABLE gate (seconds integer);
